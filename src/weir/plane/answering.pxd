# A client's connection, as far as it answers by itself: what it owes the client beside responses that pass through.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.accept cimport AnswerKind
from weir.plane.answers cimport AnswerPolicy
from weir.plane.codes cimport Reason
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.framing cimport Framing
from weir.plane.answer cimport Answer
from weir.plane.options cimport Route

cdef class Answering(ExchangeOwner):
    cdef uint32_t lingered              # more of the client's is to be read and dropped before the close
    cdef int64_t head_started_us

    cdef void _own_policy(self, Exchange exchange, AnswerPolicy* policy, bint keep, bint bare) noexcept
    cdef AnswerKind _kind_for(self, Exchange exchange) noexcept
    # Answers what is not a request that can be served, and leaves. It is counted as a request of that route.
    cdef int _refuse(self, Reason reason, bint has_head, Route route) except -1
    cdef bint _wants_page(self) noexcept
    cdef int _serve_page(self, const Framing* framing) except -1
    # Writes what is left in `out`; then _written is called.
    cdef int _flush_out(self) except -1
    cdef int _written(self) except -1
    cdef int _leave(self) except -1                 # closes, after the client has had what it is owed
    cdef int close(self) except -1
