"""What a hook was called for, and whether it keeps to its budget.

Counting is a plain add in this worker's own row of shared memory. A budget is looked at after the fact: nothing can
take the processor from a Python function that has it.
"""

import logging

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.counters cimport count_in
from weir.plane.syscalls cimport CLOCK_MONOTONIC, clock_gettime, timespec

from weir.stats.hooks import BUCKETS_AT, HEADER_BYTES, MAGIC, ROW_BYTES

log = logging.getLogger("weir.hooks")

_ON_EXCEED = {"log": EXCEED_LOG, "skip": EXCEED_SKIP, "fail": EXCEED_FAIL}

cdef enum:
    SAY_AGAIN_US = 1_000_000
    # So long one that is too slow is not called: long enough that whatever it waits for may recover, short enough that
    # nobody has to be told to switch it on again.
    OFF_US = 10_000_000
    # The weight of one call in the mean is 1/8: a single slow one (a collection of garbage, a page fault) is no reason.
    MEAN_SHIFT = 3


cdef int64_t tally_ns() noexcept nogil:
    cdef timespec ts
    clock_gettime(CLOCK_MONOTONIC, &ts)
    return <int64_t>ts.tv_sec * 1_000_000_000 + ts.tv_nsec


cdef class HookRow:
    """Worker number `worker`'s row in memory that `weir.stats.hooks.create()` has made.

    ValueError if `memory` is none such, or has no such worker.
    """

    def __cinit__(self, memory, uint32_t worker, *_more):
        cdef Py_buffer buffer
        cdef char* base
        self._view = memoryview(memory)
        if len(self._view) < HEADER_BYTES or self._view[:8] != MAGIC:
            raise ValueError("not the memory of a hook")
        if len(self._view) < <Py_ssize_t>(HEADER_BYTES + (worker + 1) * ROW_BYTES):
            raise ValueError(f"no worker {worker} in the memory of a hook")
        PyObject_GetBuffer(self._view, &buffer, PyBUF_WRITABLE)
        base = <char*>buffer.buf + <Py_ssize_t>(HEADER_BYTES + worker * ROW_BYTES)
        PyBuffer_Release(&buffer)
        self.counts = <uint64_t*>base
        self.buckets = <uint32_t*>(base + <Py_ssize_t>BUCKETS_AT)


cdef class Tally(HookRow):
    """The row of a `weir.hooks.Hook`, with its budget."""

    def __cinit__(self, memory, uint32_t worker, hook):
        self.name = hook.name
        self.budget_ns = 1000 * hook.budget_us
        self.on_exceed = _ON_EXCEED[hook.on_exceed]

    cdef bint rests(self, int64_t now_us) noexcept:
        if self.off_until_us == 0:
            return False
        if now_us < self.off_until_us:
            self.counts[<int>HC_SKIPPED] += 1
            return True
        self.off_until_us = 0
        self.mean_ns = 0
        return False

    cdef bint spent(self, int64_t ns, int64_t now_us) except -1:
        self.counts[<int>HC_SPENT_NS] += <uint64_t>ns
        count_in(self.buckets, ns // 1000)
        if self.budget_ns == 0:
            return False
        self.mean_ns += (ns - self.mean_ns) >> MEAN_SHIFT
        if ns > self.budget_ns:
            self.counts[<int>HC_OVER_BUDGET] += 1
            self._exceeded(ns, now_us)
            return self.on_exceed == EXCEED_FAIL
        return False

    cdef int _exceeded(self, int64_t ns, int64_t now_us) except -1:
        if self.on_exceed == EXCEED_SKIP and self.mean_ns > self.budget_ns:
            self.off_until_us = now_us + OFF_US
            log.warning(
                "hook %s takes %.3f ms on average; its budget is %.3f ms: it is passed over for %d s",
                self.name, self.mean_ns / 1e6, self.budget_ns / 1e6, OFF_US // 1_000_000,
            )
        elif now_us - self.said_us >= SAY_AGAIN_US or self.said_us == 0:
            log.warning(
                "hook %s took %.3f ms; its budget is %.3f ms%s", self.name, ns / 1e6, self.budget_ns / 1e6,
                f" ({self.unsaid} more times since it was last said)" if self.unsaid else "",
            )
            self.said_us = now_us
            self.unsaid = 0
        else:
            self.unsaid += 1
        return 0
