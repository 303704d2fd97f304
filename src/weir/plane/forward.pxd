# A request's way to an endpoint.

from weir.plane.exchange cimport Exchange
from weir.plane.pool cimport Acquired
from weir.plane.workspace cimport Workspace

cdef class Forward(Exchange):
    cdef int _go_on(self) except -1
    cdef int _acquire(self) except -1
    cdef int _acquired(self, Acquired how) except -1
    cdef bint _restore_head(self) noexcept
    cdef int _send_request(self) except -1
    cdef int _pump_request(self) except -1
    cdef int _request_broken(self) except -1

# A new or used one: it and its two relays are the only objects of a request.
cdef Exchange take_exchange(Workspace workspace)
