"""Which Python functions a request meets.

A hook says with its selectors which requests it is about; they are looked at here, in C, once for each request. One
that no selector takes never meets Python, and costs the look alone.
"""

import logging

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp

from weir.plane.filters cimport Asked, Filter, filter_is_plain, plain_path
from weir.plane.head cimport F_HOST, Head
from weir.plane.tally cimport HC_FAILURES, HC_TIMEOUTS, HookRow, Tally
from weir.plane.text cimport equals_lower

_PHASES = ("request", "upstream", "response", "log", "request_body", "response_body")    # by Phase
log = logging.getLogger("weir.hooks")

cdef enum:
    SAY_AGAIN_US = 1_000_000    # one traceback of a hook, or one line of its timeouts, a second says enough


cdef class Selector(Filter):
    """Selectors of a hook: `path` (ending in `*`: a prefix), `hosts` (`*.example.com`: any name below it), and as
    Filter `methods` and `field`."""

    def __cinit__(self, methods=(), str prefix="", str field="", str path="", hosts=()):
        cdef bytearray plain
        cdef bytes given = path.encode()
        if path:
            plain = bytearray(len(given) + 1)
            self.path = bytes(plain[:plain_path(given, <uint32_t>len(given), <char*>plain)])
        self.hosts = tuple([(host.lower().lstrip("*").encode(), host.startswith("*")) for host in hosts])

    cdef bint chooses(self, const Asked* asked) noexcept:
        cdef uint32_t n = asked.head.path_length
        cdef const char* path = asked.p + asked.head.path_at
        if self.hosts and not hooks_has_host(self.hosts, asked):
            return False
        if self.path is not None:
            if not filter_is_plain(path, n):
                n = plain_path(path, n, asked.scratch)
                path = asked.scratch
            if n != <uint32_t>len(self.path) or memcmp(path, <const char*>self.path, n):
                return False
        return self.takes(asked)


cdef bint hooks_has_host(tuple hosts, const Asked* asked) noexcept:
    cdef const Head* head = asked.head
    cdef const char* host = asked.p + head.authority_at
    cdef uint32_t n = head.authority_length
    cdef uint32_t i, length
    cdef bytes name
    if n == 0:
        if head.count[<int>F_HOST] == 0:
            return False
        host = asked.p + head.fields[head.first[<int>F_HOST] - 1].value
        n = head.fields[head.first[<int>F_HOST] - 1].value_length
    # Without the port: behind the last colon, unless that stands inside an IPv6 address.
    i = n
    while i and c"0" <= host[i - 1] <= c"9":
        i -= 1
    if i and host[i - 1] == c":":
        n = i - 1
    if n and host[n - 1] == c".":
        n -= 1
    for name, suffix in hosts:
        length = <uint32_t>len(name)
        if suffix:
            if n > length and equals_lower(host + n - length, <const char*>name, length):
                return True
        elif n == length and equals_lower(host, <const char*>name, n):
            return True
    return False


cdef class Hook:
    """One function at one phase: a `weir.hooks.Hook`, ready to be called; `memory` is what `worker` counts in."""

    def __cinit__(self, hook, memory, uint32_t worker):
        self.tally = Tally(memory, worker, hook)
        path = hook.path
        prefix = ""
        if path.endswith("*"):
            path, prefix = "", path.removesuffix("*")
        self.name = hook.name
        self.function = hook.function
        self.phase = _PHASES.index(hook.phase)
        self.skips = hook.on_error == "skip"
        self.timeout_ms = hook.timeout_ms
        self.selector = Selector(hook.methods, prefix, hook.field, path, hook.hosts)

    cdef int complain(self, object error, int64_t now_us) except -1:
        self.tally.counts[<int>HC_FAILURES] += 1
        if now_us - self.said_us < SAY_AGAIN_US and self.said_us:
            self.unsaid += 1
            return 0
        log.error(
            "hook %s failed%s%s", self.name, ", and is passed over" if self.skips else "",
            f" ({self.unsaid} more times since it was last said)" if self.unsaid else "", exc_info=error,
        )
        self.said_us = now_us
        self.unsaid = 0
        return 0

    cdef int overdue(self, int64_t now_us) except -1:
        self.tally.counts[<int>HC_TIMEOUTS] += 1
        self.tally.spent(1_000_000 * self.timeout_ms, now_us)
        if now_us - self.late_said_us < SAY_AGAIN_US and self.late_said_us:
            self.late_unsaid += 1
            return 0
        log.error(
            "hook %s took longer than %d ms, and was cancelled%s", self.name, self.timeout_ms,
            f" ({self.late_unsaid} more times since it was last said)" if self.late_unsaid else "",
        )
        self.late_said_us = now_us
        self.late_unsaid = 0
        return 0


cdef class Hooks:
    """The hooks of a route; `memory` is for all of them together. ValueError for more than HOOKS_MOST."""

    def __cinit__(self, entries, memory, uint32_t worker):
        cdef Hook hook
        self.together = HookRow(memory, worker)
        self.entries = list(entries)
        if len(self.entries) > HOOKS_MOST:
            raise ValueError(f"{len(self.entries)} hooks for one route; there may be {HOOKS_MOST}")
        for number, hook in enumerate(self.entries):
            self.masks[hook.phase] |= <uint64_t>1 << number

    cdef uint64_t select(self, const Asked* asked) noexcept:
        cdef uint64_t chosen = 0
        cdef uint64_t bit = 1
        cdef Hook hook
        for hook in self.entries:
            if hook.selector.chooses(asked):
                chosen |= bit
            bit <<= 1
        return chosen
