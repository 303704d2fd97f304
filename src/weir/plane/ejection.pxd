# Who fails again and again gets no requests for a while: as far as one worker sees it by itself.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.pool cimport Pool
from weir.plane.workspace cimport Workspace

cdef class Ejector:
    cdef Workspace workspace
    cdef object memory                  # the shared table
    cdef readonly uint32_t failures     # in a row; 0: off
    cdef readonly uint32_t errors_5xx   # the same
    cdef uint32_t percent               # of the members that may be ejected
    cdef int64_t time_us
    cdef int64_t max_time_us

    # `pool`, one of `pools`, has failed often enough. `why` is what its standing says then.
    cdef bint eject(self, list pools, Pool pool, uint32_t why) except -1
