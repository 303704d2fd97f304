# From an attempt at a request to the next one.

from libc.stdint cimport int64_t

from weir.plane.exchange cimport Exchange

cdef class Trying(Exchange):
    # It is let in: its hooks first, then to an endpoint.
    cdef int _go_on(self) except -1
    cdef int _begin(self) except -1
    cdef int _answer(self) except -1
    # Goes and gets a connection.
    cdef int _acquire(self) except -1
    # The whole request is sent.
    cdef void _await_head(self) noexcept
    cdef void _wait_on(self, int64_t now_ms) noexcept
    # ... and the time for something is over.
    cdef int _overdue(self) except -1
    cdef int _pause(self, int64_t pause_ms) except -1
    cdef int _drop_attempt(self) except -1
