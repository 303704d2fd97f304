# Connections to one endpoint: idle ones kept newest first, dials that race with connections given back.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason
from weir.plane.keepalive cimport IdleLearner
from weir.plane.outcome cimport Outcomes
from weir.plane.stream cimport Address
from weir.plane.upstream cimport Line, Upstream, UpstreamUser

cpdef enum Acquired:
    A_TAKEN = 0         # Pool.taken is yours
    A_WAIT_IDLE = 1     # you are in line for wait_idle_ms; then call dial_for
    A_CONNECTING = 2    # you are in line: a dial, or a connection given back, will come to you
    A_FULL = 3          # at max_connections, you are in no line
    A_FAILED = 4        # Pool.failure says why
    A_QUEUED = 5        # Cluster only: in the cluster's queue

cdef class Pool(Outcomes):
    cdef readonly str name          # the endpoint as configured
    cdef uint32_t mark              # Cluster's: the choice in which it was found wanting last
    # Choice's: as configured, and as it is now.
    cdef uint32_t base_weight
    cdef uint32_t base_priority
    cdef bint near                  # of weir's own zone, or zones do not matter
    cdef bint wanted
    cdef readonly uint32_t weight
    cdef readonly uint32_t ramp     # percent of its weight that it gets: less than 100 in a slow start, 0: nothing
    cdef readonly uint32_t level
    cdef readonly uint32_t share    # weight * ramp
    cdef double lag                 # RoundRobin's, between two of its Turns
    cdef uint64_t mark_of_sticky    # Sticky's; 0: none
    cdef bytes sticky_line
    cdef list addresses             # of Address; [] until the name is resolved
    cdef int preferred              # the address that connected last
    cdef readonly uint32_t max_idle
    cdef readonly uint32_t max_connections
    cdef int64_t max_age_ms
    cdef uint32_t max_requests
    cdef readonly uint32_t min_idle
    cdef int64_t wait_idle_ms
    cdef int64_t give_back_ms
    cdef int64_t connect_timeout_ms
    cdef int64_t backoff_ms         # after a failed early dial
    cdef readonly IdleLearner learner
    cdef int64_t unused_limit_ms    # of a connection that has carried nothing yet
    cdef Upstream probe             # rests on when its time is over, to see when the endpoint closes it; or None

    cdef Upstream idle              # newest first, linked by next and previous
    cdef Upstream surplus
    cdef Upstream dialling
    cdef readonly uint32_t idle_count
    cdef readonly uint32_t surplus_count
    cdef readonly uint32_t connecting
    cdef readonly uint32_t open     # all states but CLOSED
    cdef Line line
    cdef uint32_t patient           # of those in line, how many wait for what others give back
    cdef Upstream taken
    cdef Reason failure

    # For `user`; `now` not to wait for an idle one, but dial at once.
    cdef Acquired acquire(self, UpstreamUser user, bint now) except *
    # After A_WAIT_IDLE ran out: the user stays in line and a dial is started for it.
    cdef Acquired dial_for(self, UpstreamUser user) except *
    # The user leaves the line.
    cdef void forget(self, UpstreamUser user) noexcept
    # The exchange is over: a connection in order goes back, any other is closed.
    cdef int give(self, Upstream upstream, bint reusable) except -1
    cdef int keep_warm(self) except -1
    cdef int close_all(self) except -1          # idle ones; busy ones close when given back
    # It gets nothing new any more: what rests is closed, who waits in its line is still served.
    cdef int retire(self) except -1
    cdef uint32_t active(self) noexcept         # exchanges in progress
    cdef uint32_t load(self) noexcept           # ... and those in line for a connection

    # A used connection broke before a byte of a response, soon after a request was sent on it.
    cdef void lost_race(self, Upstream upstream) noexcept
    # The head of a final response has come on it.
    cdef void answered(self, Upstream upstream, int64_t now_ms) noexcept

    cdef Acquired _start_dial(self) except *
    cdef bint _connect_next(self, Upstream upstream) except *
    cdef void _unlist(self, Upstream upstream) noexcept
    cdef void _list_idle(self, Upstream upstream) noexcept
    cdef int _close(self, Upstream upstream) except -1
    cdef int _time_over(self, Upstream upstream, int64_t now_ms) except -1
    cdef int _found_closed(self, Upstream upstream, int64_t now_ms) except -1
    cdef void _learn_close(self, Upstream upstream, int64_t rest_ms, int64_t now_ms) noexcept
    cdef int _settle(self, Upstream upstream) except -1
    cdef void _back_off(self) noexcept
    cdef void _hand_over(self, Upstream upstream, UpstreamUser user) noexcept
    cdef int _prefer(self, Upstream upstream) except -1
    cdef inline void _hurry(self, UpstreamUser user) noexcept:      # it is patient no longer
        if user.patient:
            user.patient = False
            self.patient -= 1
