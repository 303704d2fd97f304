# A request's way to an endpoint.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.attempts cimport Trying
from weir.plane.codes cimport Step
from weir.plane.exchange cimport Exchange
from weir.plane.pool cimport Acquired
from weir.plane.workspace cimport Workspace

cdef class Forward(Trying):
    cdef bint _is_late(self) noexcept
    cdef int _too_late(self) except -1
    cdef void _wait(self, int64_t ms) noexcept
    cdef uint32_t _add_times(self, uint32_t n) noexcept
    cdef int _acquired(self, Acquired how) except -1
    cdef int _send_request(self) except -1
    cdef Step _prepare_body(self) except *
    cdef int _pump_request(self) except -1
    cdef int _request_broken(self) except -1

# A new or used one: it and its two relays are the only objects of a request.
cdef Exchange take_exchange(Workspace workspace)
