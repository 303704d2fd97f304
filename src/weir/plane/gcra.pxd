# A rate limit: the generic cell rate algorithm (GCRA) over keys in memory that all workers share.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.rule cimport Rule

cdef enum:
    GCRA_KEYS = 15              # of a bucket
    GCRA_TRIES = 1000           # then the request passes, counted as crowded: some 40 us
    GCRA_DEAD_MS = 100          # who holds a bucket's lock for so long was killed

# Places of counts: weir.stats.rules.LIMIT_COUNTERS.
cdef enum LimitCount:
    LC_PASSED = 0
    LC_DELAYED = 1              # of those that passed
    LC_LIMITED = 2
    LC_EVICTED = 3              # keys forgotten before their time: their bucket was full
    LC_CROWDED = 4              # of those that passed: without being charged, since their bucket was not to be had

# What a request was charged to, so that it can be given back. `place` -1: to nothing.
cdef struct Charge:
    uint64_t bucket
    uint64_t mark
    int place

cdef class RateLimit(Rule):
    cdef uint64_t interval_ns           # of one request
    cdef uint64_t burst_ns              # how far ahead of its time a request may come: (burst - 1) intervals
    cdef uint64_t delay_ns              # ... and how much further, if it waits

    # The fingerprint of a key; never 0.
    cdef uint64_t fingerprint(self, uint32_t salt, const char* p, uint32_t n) noexcept nogil
    # Charges a request at now_ns > 2 to a key. 0: it passes; > 0: after so many ns;
    # < 0: it does not, and would after -result ns. Never fails; counts evictions and crowding, nothing else.
    cdef int64_t take(self, uint64_t mark, uint64_t now_ns, Charge* charge) noexcept nogil
    # Takes a charge back: the request was not let in after all.
    cdef void give_back(self, const Charge* charge, uint64_t now_ns) noexcept nogil

    cdef int _claim(self, uint64_t bucket, uint64_t mark, uint64_t now_ns) noexcept nogil
