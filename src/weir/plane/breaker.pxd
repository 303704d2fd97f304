# A circuit breaker: requests are refused at once while attempts at them fail.
# Its states are in spec/states.toml.

from libc.stdint cimport int64_t, uint8_t, uint32_t

from weir.plane.upstream cimport UpstreamUser
from weir.plane.workspace cimport Workspace

cdef enum:
    BREAKER_PARTS = 10          # of the window: the oldest is forgotten at a time
    BREAKER_TRIES = 3           # let through at a time when half open; as many have to go well

cdef class Breaker:
    cdef Workspace workspace
    cdef readonly uint8_t state             # CircuitState
    cdef uint32_t percent
    cdef uint32_t volume
    cdef int64_t part_us
    cdef int64_t open_for_us
    cdef int64_t part                       # the number of the newest part of the window
    cdef uint32_t attempts[BREAKER_PARTS]
    cdef uint32_t failures[BREAKER_PARTS]
    cdef int64_t opened_us
    cdef uint32_t trying                    # exchanges that were let through to try, in progress
    cdef uint32_t went_well                 # attempts, since it is half open

    # Whether this one may go on; if it is let through to try, user.tries is set, and let_go is called when it ends.
    cdef bint admit(self, UpstreamUser user) noexcept
    cdef void let_go(self) noexcept
    # What came of an attempt. True: it has just opened.
    cdef bint observe(self, bint failed) noexcept
    cdef int64_t retry_after_s(self) noexcept

    cdef void _forget(self) noexcept
    cdef void _open(self) noexcept
