# A cluster: its endpoints' pools, whose turn it is, and the queue.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.codes cimport Reason
from weir.plane.pool cimport Acquired, Pool, PoolOwner
from weir.plane.retry cimport HedgeDelay, Retries
from weir.plane.upstream cimport UpstreamHome, UpstreamUser
from weir.plane.workspace cimport Workspace

cdef class Cluster(PoolOwner):
    cdef Workspace workspace
    cdef readonly str name
    cdef list pools                         # of Pool
    cdef uint32_t turn                      # round robin
    # from the plan
    cdef bytes host                         # b"": keep the client's
    cdef uint32_t queue_size
    cdef int64_t queue_timeout_ms
    cdef int64_t response_header_timeout_ms
    cdef int64_t stream_idle_timeout_ms
    cdef uint32_t max_response_head_bytes
    cdef uint32_t max_response_fields
    cdef readonly Retries retry
    cdef readonly HedgeDelay hedge          # None: nothing is hedged
    cdef Pool chosen                        # after acquire: where the user got its place (not for A_QUEUED)
    cdef Reason failure

    # Sets chosen, failure, and for A_TAKEN chosen.taken. `now`: do not wait for an idle connection.
    cdef Acquired acquire(self, UpstreamUser user, bint now) except *
    cdef Acquired _dial_for(self, UpstreamUser user) except *
    cdef void forget(self, UpstreamUser user, Pool pool) noexcept
    # The user's next place is not at this endpoint, as long as there is another.
    cdef void avoid(self, UpstreamUser user, UpstreamHome home) noexcept
    cdef void forgive(self, UpstreamUser user) noexcept # ... or may be at any again
    cdef bint has_other(self, UpstreamUser user) noexcept   # whether there is one that it need not avoid
    cdef int64_t retry_after_s(self) noexcept           # what a 503 tells the client to wait
