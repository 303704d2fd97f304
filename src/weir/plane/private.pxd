# Connections to an endpoint that is told by a PROXY header who the client is: each speaks for one client.

from libc.stdint cimport uint32_t

from weir.plane.pool cimport Pool
from weir.plane.upstream cimport Upstream, UpstreamUser

cdef class PrivatePool(Pool):
    cdef Upstream kept_first            # in hands of clients' connections that rest: given back last comes first
    cdef Upstream kept_last
    cdef readonly uint32_t kept
    cdef UpstreamUser giver             # who is giving a connection back

    # The connection that a client has kept, for its next request; False: it is of no use any more.
    cdef bint retake(self, Upstream upstream, UpstreamUser user) except -1
    # The client has gone, or has become another.
    cdef int drop(self, Upstream upstream) except -1

    cdef void _unkeep(self, Upstream upstream) noexcept
