# Bodies that Python reads, replaces, changes or makes.

from libc.stdint cimport uint8_t, uint64_t

from weir.plane.codes cimport Reason
from weir.plane.exchange cimport Exchange
from weir.plane.framing cimport Framing
from weir.plane.hooks cimport Hook
from weir.plane.passage cimport Passage
from weir.plane.pipe cimport Pipe

cdef enum:
    BODY_ROUNDS = 8             # in one turn; then it is somebody else's

cdef enum BodyMode:
    BODY_STAYS = 0              # goes on as it is, from what Python has read of it on
    BODY_READ = 1               # Python reads it whole, before it goes on
    BODY_PLAIN = 2              # goes through plain functions
    BODY_TASK = 3               # goes through async generators, in a task
    BODY_REPLACED = 4           # is dropped

cdef class Body(Passage):
    cdef Exchange exchange      # None: it is over
    cdef Pipe through           # pipe
    cdef Framing framing        # with which it came
    cdef uint8_t mode           # BodyMode
    cdef bint of_response
    cdef bint departed          # it goes on, or has
    cdef bint more              # the last turn could have gone on
    cdef bytearray held         # what was read of it and is still to go on
    cdef bytes all              # it was read whole; None: not
    cdef bytes new              # in its place; None: nothing
    cdef uint64_t limit         # of what is read whole
    cdef bint too_large         # ... and it is larger
    cdef Reason cut             # why its sender cannot be read on; R_NONE: it can
    cdef Reason reason          # why it cannot go on; R_NONE: it can
    cdef list stages            # functions that it goes through
    cdef list hooks             # ... and by which hook, each
    cdef object source          # pieces that come from Python alone; None: they come from the sender
    cdef object task            # None: none runs
    cdef object reader          # future of who waits for a piece
    cdef object writer          # ... and for room

    cdef int fill(self, Exchange exchange, const char* p, uint64_t n) except -1
    cdef int _feed(self) except -1
    cdef bint _work(self) except -1
    cdef bint _gather(self) except -1
    cdef bint _change(self) except -1
    cdef bytes _next(self)
    cdef bint _is_over(self) noexcept
    cdef bytes _through(self, bytes piece, bint last)
    cdef int _turn(self) except -1
    cdef int _start(self) except -1
    cdef int _go(self) except -1
    cdef int _wake(self) except -1
    cdef int _failed(self, Hook hook, object error) except -1
    cdef int _describe(self, Framing* framing) except -1
