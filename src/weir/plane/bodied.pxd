# Requests and responses, as far as their bodies go.

from weir.plane.bodies cimport Body
from weir.plane.codes cimport Step
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange, ExchangeView
from weir.plane.head cimport Head
from weir.plane.hooks cimport Hook

cdef enum:
    BODY_MOST = 16777216        # bytes of one that Python gives whole
    READ_MOST = 1048576         # bytes that are read whole unless a hook says otherwise

# What requests and responses have in common: a head that is read and changed, and a body.
cdef class Bodied(ExchangeView):
    cdef Hook calls             # the hook that is called with it now
    cdef Body body_of(self)     # made if there is none. RuntimeError when it has gone on
    # ValueError if it can have no other body in place of its own, made of its own or (`whole`) a new one.
    cdef int may_be_given(self, bint whole) except -1
    cdef Edits edits(self)
    cdef Edits edits_if_any(self)
    cdef tuple reserved(self)           # names of fields that hooks may not write, in lower case
    cdef dict good_names(self)          # those that were found good before
    # Its parsed head, and in p[0] what offsets count from. RuntimeError when it is gone.
    cdef const Head* parsed(self, const char** p) except NULL

cdef Body request_body(Exchange exchange, Bodied view)
cdef Body response_body(Exchange exchange, Bodied view)
# Makes what goes on of a request's body ready to be written, from its beginning. FAILED: exchange.request.reason.
cdef Step send_body(Exchange exchange) except *
# The body of a hook's own answer, made of `source`'s pieces, or bytes.
cdef Body made_body(Exchange exchange, Bodied view, object source)
