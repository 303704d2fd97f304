# Time for the plane: one clock object per worker, so that tests can stop it.
# Monotonic time in microseconds and milliseconds; wall time only for people (log lines).

from libc.stdint cimport int64_t

cdef class Clock:
    cdef readonly int64_t now_us      # monotonic, as of the last tick; us
    cdef bint fake                    # a test moves it; tick() leaves it alone

    cdef int64_t tick(self) noexcept nogil    # read the clock now and remember it
    cdef int64_t wall_s(self) noexcept nogil  # seconds since 1970, read now
    cdef int64_t wall_us(self) noexcept nogil  # likewise, microseconds

cdef inline int64_t clock_ms(Clock clock) noexcept:
    return clock.now_us // 1000
