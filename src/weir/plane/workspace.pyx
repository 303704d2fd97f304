"""What all parts of one worker's plane share."""

from libc.stdlib cimport free, malloc

from weir.plane.accesslog cimport AccessLog
from weir.plane.buffer cimport BufferPool
from weir.plane.codes cimport R_DRAINING, REASON_COUNT
from weir.plane.counters cimport Counters
from weir.plane.engine cimport Engine
from weir.plane.stream cimport Dialer


cdef class Workspace:
    """Made once per worker. MemoryError if there is no memory for it."""

    def __cinit__(self, Engine engine not None, Counters counters not None, AccessLog log not None,
                  Dialer dialer not None):
        cdef int i
        self.engine = engine
        self.clock = engine.clock
        self.wheel = engine.wheel
        self.buffers = BufferPool()
        self.closing_reason = R_DRAINING
        self.counters = counters
        self.log = log
        self.dialer = dialer
        for i in range(REASON_COUNT):
            self.reasons[i] = 0
        self.compose = <char*>malloc(COMPOSE_BYTES)
        if self.compose == NULL:
            raise MemoryError("the compose buffer")

    def __dealloc__(self):
        free(self.compose)
