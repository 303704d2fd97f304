"""One worker's hand on the memory of a rule: its own counters, and what is shared with the others."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint32_t, uint64_t

from weir.stats import rules


cdef class Rule:
    """Worker number `worker`'s hand on memory that `weir.stats.rules.create()` has made.

    ValueError if `memory` is none such, or has no such worker.
    """

    def __cinit__(self, memory, uint32_t worker, *_args, **_options):
        cdef Py_buffer buffer
        self._view = memoryview(memory)
        PyObject_GetBuffer(self._view, &buffer, PyBUF_WRITABLE)
        self.header = <RuleHeader*>buffer.buf
        PyBuffer_Release(&buffer)
        if len(self._view) < rules.HEADER_BYTES or self._view[:8] != rules.MAGIC:
            raise ValueError("not the memory of a rule")
        if worker >= self.header.workers:
            raise ValueError(f"worker {worker} of {self.header.workers}")
        if len(self._view) < <Py_ssize_t>(self.header.buckets_at + self.header.buckets * sizeof(RuleBucket)):
            raise ValueError("the memory of a rule is cut off")
        self.buckets = <RuleBucket*>(<char*>self.header + self.header.buckets_at)
        self.counts = <uint64_t*>(<char*>self.header + self.header.counters_at) + <uint64_t>worker * RULE_COUNTERS
