# A second request, to another endpoint, while the first has no response yet. Its states are in spec/states.toml.

from libc.stdint cimport int64_t, uint8_t, uint32_t

from weir.plane.buffer cimport Buffer
from weir.plane.cluster cimport Cluster
from weir.plane.codes cimport Reason
from weir.plane.exchange cimport Exchange, SecondTry
from weir.plane.pool cimport Pool
from weir.plane.upstream cimport Upstream
from weir.plane.workspace cimport Workspace

cdef class Hedge(SecondTry):
    cdef Workspace workspace
    cdef Cluster cluster
    cdef Exchange exchange              # None: it is over
    cdef Pool pool                      # in whose line it waits, or whose connection it has
    cdef Upstream upstream
    cdef Buffer buf                     # what has come of a response head
    cdef uint32_t interim               # heads before the final one: they are dropped
    cdef uint8_t state                  # HedgeState
    cdef int64_t began_us
    cdef int64_t connected_us           # as the exchange's, for the connection of this one
    cdef int64_t connect_us

    # If that is allowed, paid for, and there is another endpoint.
    cdef int start(self, Exchange exchange) except -1
    cdef int _read(self) except -1
    cdef int _heads(self) except -2     # 1: a final head that may win; 0: not yet; -1: it may not
    cdef int _failed(self, Reason reason) except -1
    cdef void _outrun(self) noexcept    # its response head was there first
    cdef int _win(self) except -1
    cdef int _end(self) except -1
    cdef int _give_up(self) except -1
