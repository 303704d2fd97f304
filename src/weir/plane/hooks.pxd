# Hooks of a route: which Python functions a request meets, found without Python.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.filters cimport Asked, Filter
from weir.plane.tally cimport HookRow, Tally

cdef enum:
    HOOKS_MOST = 64             # of a route: one bit each

cpdef enum Phase:
    PHASE_REQUEST = 0           # the head is there; nothing was sent yet
    PHASE_UPSTREAM = 1          # a connection to an endpoint is there; the head is about to be sent
    PHASE_RESPONSE = 2          # the response head is there; nothing was sent to the client
    PHASE_LOG = 3               # it is over
    PHASE_REQUEST_BODY = 4      # the request's body, as it passes
    PHASE_RESPONSE_BODY = 5     # the response's

cdef enum:
    PHASES = 6

cdef class Selector(Filter):
    cdef bytes path                     # the whole path, plain; None: any
    cdef tuple hosts                    # (name, whether it is a suffix), in lower case; (): any
    cdef bint chooses(self, const Asked* asked) noexcept

cdef class Hook:
    cdef readonly str name
    cdef readonly object function
    cdef Selector selector
    cdef readonly uint8_t phase         # Phase
    cdef readonly bint skips            # one that fails is passed over
    cdef readonly int64_t timeout_ms
    cdef Tally tally
    cdef int64_t said_us                # when a failure was last logged with its traceback
    cdef uint64_t unsaid                # ... and how many were not since
    cdef int64_t late_said_us           # the same of calls that took too long
    cdef uint64_t late_unsaid
    # It has failed: counted, and logged with its traceback, once a second at most.
    cdef int complain(self, object error, int64_t now_us) except -1
    # A call has taken longer than it may: likewise.
    cdef int overdue(self, int64_t now_us) except -1

cdef class Hooks:
    cdef readonly list entries                   # of Hook, HOOKS_MOST at most, in the order in which they are called
    cdef HookRow together                        # of all hooks of a worker
    cdef uint64_t masks[PHASES]
    cdef public object on_met                    # called before the first request meets one of them; None: it was
    # A bit for each hook that a request meets.
    cdef uint64_t select(self, const Asked* asked) noexcept
