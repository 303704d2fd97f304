# What a hook was called for, and whether it keeps to its budget. The byte map: src/weir/stats/hooks.py.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

# Places of counts: weir.stats.hooks.HOOK_COUNTERS.
cdef enum HookCount:
    HC_CALLS = 0
    HC_FAILURES = 1
    HC_TIMEOUTS = 2
    HC_SKIPPED = 3
    HC_OVER_BUDGET = 4
    HC_SPENT_NS = 5

# Likewise of the memory for all hooks together.
cdef enum MetCount:
    MC_ASKED = 0
    MC_MET = 1

cpdef enum OnExceed:
    EXCEED_LOG = 0
    EXCEED_SKIP = 1             # the hook is switched off for a while
    EXCEED_FAIL = 2             # the call has failed

# One worker's row in the memory of a hook, or in that for all together.
cdef class HookRow:
    cdef object _view                   # keeps the mapping alive, and from being closed
    cdef uint64_t* counts
    cdef uint32_t* buckets

cdef class Tally(HookRow):
    cdef str name
    cdef int64_t budget_ns              # 0: there is none
    cdef uint8_t on_exceed              # OnExceed
    cdef int64_t mean_ns                # of the last calls
    cdef int64_t off_until_us           # 0: it is not switched off
    cdef int64_t said_us                # when a call over budget was last logged
    cdef uint64_t unsaid                # ... and how many were not since

    # Whether it is switched off now; counts if it is.
    cdef bint rests(self, int64_t now_us) noexcept
    # A call has taken so long. Whether it has thereby failed.
    cdef bint spent(self, int64_t ns, int64_t now_us) except -1
    cdef int _exceeded(self, int64_t ns, int64_t now_us) except -1

# Nanoseconds of a monotonic clock.
cdef int64_t tally_ns() noexcept nogil
