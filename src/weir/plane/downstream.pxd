# A client's connection: reads heads, hands each to an exchange, keeps order, closes politely.
# Its states are in spec/states.toml.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.arrival cimport Arrival
from weir.plane.codes cimport Step
from weir.plane.engine cimport Source
from weir.plane.exchange cimport Exchange
from weir.plane.framing cimport Framing
from weir.plane.intake cimport Intake
from weir.plane.options cimport Route

cdef enum:
    DOWNSTREAM_ROUNDS = 16          # requests of one client in one turn
    LINGER_MS = 2000                # nginx: lingering_timeout 5 s; a close that takes longer helps nobody
    LINGER_BYTES = 16777216
    PROMISE_MS = 500                # draining: how long a connection stays open that a client was told would

# The listener, as its connections see it.
cdef class DownstreamOwner(Source):
    cdef Downstream first               # its open connections
    cdef Downstream waiting_first       # those with no exchange in progress, the longest waiting first
    cdef Downstream waiting_last
    cdef readonly int64_t open
    cdef int on_closed(self) except -1

cdef class Downstream(Arrival):
    cdef DownstreamOwner listener
    cdef Downstream next
    cdef Downstream previous
    cdef Downstream wait_next           # the listener's list of those that wait
    cdef Downstream wait_previous
    cdef int64_t waits_since_ms         # for a head, for the rest of one, or for the client to close
    cdef Exchange exchange
    cdef uint8_t state                  # DownstreamState
    cdef bint running                   # _run is on the stack
    cdef bint waits
    cdef bint close_when_done           # no request after this one
    cdef bint told                      # drain() was here
    cdef bint leaving                   # it was idle then, or is by now, and goes as soon as nothing is left to read
    cdef uint32_t scanned               # of the head that is not complete
    cdef uint64_t requests

    cdef int start(self) except -1                  # the connection was accepted
    cdef int drain(self) except -1                  # close as soon as what is in progress is over
    cdef int _say_goodbye(self) except -1
    cdef int evict(self) except -1                  # closed to make room for others

    # Takes its place at the end of those that wait; `anew` even if it has one.
    cdef void _wait_here(self, bint anew) noexcept
    cdef void _stop_waiting(self) noexcept
    cdef bint _greet(self) except -1                # reads the PROXY header; True: requests may come
    cdef int _run(self) except -1
    cdef int _rest(self) except -1
    cdef int _read(self) except -2
    cdef Step _parse(self) except *
    cdef int _begin(self, Route route, const Framing* framing, const Intake* intake) except -1
    cdef int _linger(self) except -1
