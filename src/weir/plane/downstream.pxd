# A client's connection: reads heads, hands each to an exchange, keeps order, closes politely.
#
# States:  IDLE -> HEAD -> EXCHANGE -> IDLE ... ;  any -> CLOSING -> LINGER -> CLOSED
#   IDLE      no byte of a request here; owns no buffer
#   HEAD      part of a head here, under the slow-head timeout
#   EXCHANGE  one exchange in progress; requests behind it wait unread
#   CLOSING   the last bytes of an answer wait for the client
#   LINGER    our side is closed; what the client still sends is read and dropped, so that no reset
#             overtakes the answer (RFC 9112 section 9.6)

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason, Step
from weir.plane.engine cimport Source
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.framing cimport Framing

cdef enum:
    DOWNSTREAM_ROUNDS = 16          # requests of one client in one turn
    LINGER_MS = 2000                # nginx: lingering_timeout 5 s; a close that takes longer helps nobody
    LINGER_BYTES = 16777216

cpdef enum DownstreamState:
    D_IDLE = 0
    D_HEAD = 1
    D_EXCHANGE = 2
    D_CLOSING = 3
    D_LINGER = 4
    D_CLOSED = 5

# The listener, as its connections see it.
cdef class DownstreamOwner(Source):
    cdef Downstream first               # its open connections
    cdef readonly int64_t open
    cdef int on_closed(self) except -1

cdef class Downstream(ExchangeOwner):
    cdef DownstreamOwner listener
    cdef Downstream next
    cdef Downstream previous
    cdef Exchange exchange
    cdef uint8_t state                  # DownstreamState
    cdef bint running                   # _run is on the stack
    cdef bint close_when_done           # no request after this one
    cdef uint32_t scanned               # of the head that is not complete
    cdef uint32_t lingered
    cdef uint64_t requests
    cdef int64_t head_started_us

    cdef int start(self) except -1                  # the connection was accepted
    cdef int drain(self) except -1                  # close as soon as what is in progress is over
    cdef int close(self) except -1

    cdef int _run(self) except -1
    cdef int _rest(self) except -1
    cdef int _read(self) except -2
    cdef Step _parse(self) except *
    cdef int _begin(self, const Framing* framing) except -1
    cdef bint _wants_page(self) noexcept
    cdef int _serve_page(self, const Framing* framing) except -1
    cdef int _refuse(self, Reason reason, bint has_head) except -1
    cdef int _flush_out(self) except -1
    cdef int _leave(self) except -1
    cdef int _linger(self) except -1
