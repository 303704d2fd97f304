"""The plane's clock: read once per turn and at the few moments that the time ledger needs."""

from weir.plane.syscalls cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec


cdef class Clock:
    """A monotonic clock, or a fake one that stands still until a test advances it."""

    def __cinit__(self, bint fake=False):
        self.fake = fake
        self.now_us = 1_000_000
        if not fake:
            self.tick()

    cdef int64_t tick(self) noexcept nogil:
        cdef timespec ts
        if not self.fake:
            clock_gettime(CLOCK_MONOTONIC, &ts)
            self.now_us = <int64_t>ts.tv_sec * 1_000_000 + ts.tv_nsec // 1000
        return self.now_us

    cdef int64_t wall_s(self) noexcept nogil:
        return self.wall_us() // 1_000_000

    cdef int64_t wall_us(self) noexcept nogil:
        cdef timespec ts
        if self.fake:
            return self.now_us
        clock_gettime(CLOCK_REALTIME, &ts)
        return <int64_t>ts.tv_sec * 1_000_000 + ts.tv_nsec // 1000

    def advance(self, int64_t us):
        """Moves a fake clock forward by `us` microseconds; on a real clock a ValueError."""
        if not self.fake:
            raise ValueError("only a fake clock can be advanced")
        self.now_us += us
