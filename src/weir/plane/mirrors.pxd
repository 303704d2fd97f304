# Where a route's requests are copied to, and the copies in progress.

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.cluster cimport Cluster

cdef class Mirrors:
    cdef Cluster cluster
    cdef uint32_t percent               # of requests
    cdef uint32_t most                  # in progress at a time
    cdef set copies                     # those in progress: mirror.Copy
    cdef uint64_t dice
    # Whether this request is to be copied, as the percentage says.
    cdef bint wants(self) noexcept
    # One that is not copied though it should be.
    cdef int skip(self) except -1
