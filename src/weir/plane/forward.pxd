# A request's way to an endpoint.

from libc.stdint cimport int64_t

from weir.plane.codes cimport Step
from weir.plane.exchange cimport Exchange
from weir.plane.pool cimport Acquired
from weir.plane.workspace cimport Workspace

cdef class Forward(Exchange):
    cdef int _acquire(self) except -1
    cdef int _acquired(self, Acquired how) except -1
    cdef bint _restore_head(self) noexcept
    cdef int _send_request(self) except -1
    cdef Step _prepare_body(self) except *
    cdef void _await_head(self) noexcept
    cdef void _wait_on(self, int64_t now_ms) noexcept
    cdef int _overdue(self) except -1
    cdef int _pause(self, int64_t pause_ms) except -1
    cdef int _drop_attempt(self) except -1
    cdef int _pump_request(self) except -1
    cdef int _request_broken(self) except -1

# A new or used one: it and its two relays are the only objects of a request.
cdef Exchange take_exchange(Workspace workspace)
