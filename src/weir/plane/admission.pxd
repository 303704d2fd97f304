# Whether and when a request is let in, by its listener's rate limits, and which faults are injected into it.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from weir.plane.filters cimport Asked, FieldName, Filter
from weir.plane.gcra cimport RateLimit
from weir.plane.series cimport SeriesNames

cdef enum:
    MOST_LIMITS = 16            # of a listener, and of a route
    MOST_ASKED = 32             # MOST_LIMITS of each

cdef enum LimitBy:
    BY_CLIENT = 0
    BY_PATH = 1
    BY_FIELD = 2
    BY_ALL = 3

cdef enum Outcome:
    O_GO = 0
    O_REFUSE = 1                # by a rate limit, at once
    O_ABORT = 2                 # by a fault, with an answer
    O_RESET = 3                 # by a fault, without one

cdef struct Verdict:
    uint8_t outcome             # Outcome, after the wait
    bint injected               # a fault has a part in it
    uint32_t wait_ms
    uint16_t variant            # of the answer (answers.ErrorPages)
    int64_t retry_after_s       # O_REFUSE: then all its limits let it in, if nobody else comes
    uint64_t bytes_per_s        # of the response; 0: as fast as it goes

# A rate limit of a listener or a route: whom it takes, and by which key.
cdef class Limit:
    cdef RateLimit gcra
    cdef Filter filter
    cdef LimitBy by
    cdef FieldName field
    cdef bint dry_run
    cdef uint16_t variant
    # The fingerprint of a request's key; 0: it has none and is not limited. `row` is that of its series,
    # `other` the row of those that have none of their own.
    cdef uint64_t key(self, const Asked* asked, SeriesNames series, uint32_t row, uint32_t other) noexcept

cdef class Admission:
    cdef list limits                    # of the listener
    # By a route's number: the listener's limits and then the route's own; None, or no place: it has none of its own.
    cdef list of_routes
    cdef list faults
    cdef list asked_of(self, uint32_t route)
    cdef void decide(self, const Asked* asked, SeriesNames series, uint32_t row, uint32_t other, int64_t now_us,
                     Verdict* verdict) noexcept
    cdef void _limit(self, list limits, const Asked* asked, SeriesNames series, uint32_t row, uint32_t other,
                     int64_t now_us, Verdict* verdict) noexcept

# The bytes that a client is known by, written to out (CLIENT_KEY); how many. Rate limits ask nothing else.
cdef enum:
    CLIENT_KEY = 64
cdef uint32_t client_key(const Asked* asked, char* out) noexcept nogil
