"""What all parts of one worker's plane share."""

import logging
import os

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from weir.plane.accesslog cimport AccessLog
from weir.plane.buffer cimport BufferPool
from weir.plane.codes cimport R_DRAINING
from weir.plane.counters cimport Counters
from weir.plane.engine cimport Engine
from weir.plane.machines import MACHINES
from weir.plane.states cimport Machine
from weir.plane.stream cimport Dialer

log = logging.getLogger("weir.plane")


cdef class Workspace:
    """Made once per worker. MemoryError if there is no memory for it."""

    def __cinit__(self, Engine engine not None, Counters counters not None, AccessLog log not None,
                  Dialer dialer not None):
        self.engine = engine
        self.clock = engine.clock
        self.wheel = engine.wheel
        self.buffers = BufferPool()
        self.id_state = int.from_bytes(os.urandom(8), "little")
        self.closing_reason = R_DRAINING
        self.counters = counters
        self.reasons = counters.reasons()
        self.log = log
        self.dialer = dialer
        memset(self.moves, 0, sizeof(self.moves))
        self.compose = <char*>malloc(COMPOSE_BYTES)
        if self.compose == NULL:
            raise MemoryError("the compose buffer")

    def __dealloc__(self):
        free(self.compose)

    cdef void note_illegal_move(self, Machine machine, uint8_t old, uint8_t new) noexcept:
        self.engine.bugs += 1
        about = MACHINES[<int>machine]
        log.error("a bug: %s went from %s to %s", about.name, about.states[old], about.states[new])
