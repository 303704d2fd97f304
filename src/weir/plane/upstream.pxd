# One connection to an endpoint, and who uses it.
# A connection's states are in spec/states.toml.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason
from weir.plane.origin cimport Origin
from weir.plane.stream cimport Stream, StreamOwner
from weir.plane.timers cimport TimerOwner

cpdef enum Waiting:
    W_NOT = 0
    W_POOL = 1          # in a pool's line: for a dial, or for a connection given back
    W_QUEUE = 2         # in the cluster's queue: every endpoint is at max_connections

# Whoever needs a connection. It waits in at most one line, whose links are its own fields.
cdef class UpstreamUser(TimerOwner):
    cdef UpstreamUser line_next
    cdef UpstreamUser line_previous
    cdef uint8_t waiting            # Waiting
    cdef bint patient               # in a pool's line for what others give back: no dial is under way for it
    cdef set tried                  # of UpstreamHome: those that failed this user; None: none has
    cdef UpstreamHome wanted        # where a hook wants it to go, if that may be asked; None: nowhere in particular
    cdef bint idempotent            # what it will send may be sent twice
    cdef bint repeatable            # ... and it can be: it is at hand in whole, and repeating is allowed
    cdef bint fresh                 # a replay: no connection that was used before
    cdef bint admitted              # it is one of the cluster's exchanges in progress
    cdef bint tries                 # let through by a breaker that is half open
    # Of clusters that bind requests to endpoints, and valid only for those (Cluster.binds).
    cdef bint keyed                 # it has a key
    cdef bint strays                # not at the endpoint that its cookie names, for once
    cdef bint rehashed              # its key's own endpoint was passed over in the last choice
    cdef uint64_t key               # KeyRule's
    cdef uint64_t bound             # the mark in its cookie, Sticky's; 0: none
    # The upstream is yours: connected, BUSY, and tells you of its events.
    cdef int on_upstream(self, Upstream upstream) except -1
    # You have left the cluster's queue for a pool's line: a dial is under way.
    cdef int on_line(self, UpstreamHome home) except -1
    # What you waited for in a pool's line has failed.
    cdef int on_no_upstream(self, UpstreamHome home, Reason reason) except -1
    cdef int on_upstream_event(self, Upstream upstream, uint32_t what) except -1
    # A connection that speaks for your client only is given back: whether you keep it for its next request.
    cdef bint keep(self, Upstream upstream) except -1

# A line of users, in the order in which they came.
cdef class Line:
    cdef UpstreamUser first
    cdef UpstreamUser last
    cdef readonly uint32_t length
    cdef uint64_t taken                             # how many were taken; who left by itself was not
    cdef bint newest                                # the last take was of the last
    cdef void join(self, UpstreamUser user, uint8_t waiting) noexcept
    cdef void join_again(self, UpstreamUser user, uint8_t waiting) noexcept  # where it was taken, just now
    cdef void leave(self, UpstreamUser user) noexcept
    cdef UpstreamUser take(self)                    # None when empty
    cdef UpstreamUser take_impatient(self)          # None: all are patient
    # The first, or the last, of those that `home` has not failed; of a few, so that a long line costs no more. None:
    # there is none of them.
    cdef UpstreamUser take_for(self, UpstreamHome home, bint newest)

# Where connections live: a pool.
cdef class UpstreamHome(TimerOwner):
    cdef bytes endpoint_text
    cdef bytes host_text                            # what a Host says of it; "localhost" behind a Unix socket
    cdef int on_connected(self, Upstream upstream) except -1
    cdef int on_connect_failed(self, Upstream upstream, Reason reason) except -1
    cdef int on_idle_event(self, Upstream upstream) except -1
    cdef int on_upstream_timeout(self, Upstream upstream) except -1

# What the log says of a dial that failed with this errno.
cdef Reason connect_reason(int error) noexcept

cdef class Upstream(StreamOwner):
    cdef Stream stream
    cdef UpstreamHome home
    cdef UpstreamUser user
    cdef Upstream next                  # the pool's idle or surplus list
    cdef Upstream previous
    cdef uint8_t state                  # UpstreamState
    cdef bint reused                    # this is not its first exchange
    cdef int first_address              # of the pool's addresses, the one that was tried first
    cdef int addresses_tried
    cdef uint32_t requests
    cdef int64_t born_ms
    cdef int64_t dialled_us             # when the address that it has was dialled
    cdef int64_t idle_since_ms
    cdef Origin speaks_for              # whose client a PROXY header has said it to be
    cdef int64_t answered_ms            # when the head of its last response came
    cdef int64_t doubt_ms               # by how much longer it may have rested, for the endpoint, than since then
    cdef int64_t rested_ms              # before it was taken by the user that it has
