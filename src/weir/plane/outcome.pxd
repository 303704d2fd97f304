# What became of the attempts at one endpoint: its figures, and whether it has failed too often in a row.

from libc.stdint cimport int64_t, uint16_t, uint32_t

from weir.plane.codes cimport Reason
from weir.plane.engine cimport Source
from weir.plane.peak cimport Peak
from weir.plane.roster cimport Entry
from weir.plane.upstream cimport Line, UpstreamHome, UpstreamUser
from weir.plane.workspace cimport Workspace

# The cluster, as a pool sees it: its queue gets what is free before it rests, and the cluster is put into
# the engine's ready list when a closed connection has made room.
cdef class PoolOwner(Source):
    cdef Line queue
    cdef uint32_t busy              # exchanges in progress with its pools
    cdef bint observes              # it wants to be told what came of attempts
    # Who is given a free connection of this pool next: taken out of the queue. None: nobody, or nobody may go on yet.
    cdef UpstreamUser next_waiting(self, UpstreamHome home)
    # What came of an attempt: a final response head with this status, or none (0), for this reason.
    cdef int observe(self, uint16_t status, Reason reason, int64_t us) except -1
    # One has failed as often in a row as eject_failures or eject_5xx says; `why` for its standing.
    cdef int on_failing(self, Outcomes pool, uint32_t why) except -1

# A pool, as far as it is judged.
cdef class Outcomes(UpstreamHome):
    cdef Workspace workspace
    cdef PoolOwner owner
    cdef readonly Entry entry       # its standing among all workers, and this worker's figures of it
    cdef bint closed                # it gets nothing new any more
    cdef bint timed                 # the peak is wanted
    cdef Peak peak
    # In a row, as this worker sees it; how many are too many is the owner's to set, 0: none.
    cdef uint32_t failing           # attempts without a valid response
    cdef uint32_t failing_5xx
    cdef uint32_t eject_failures
    cdef uint32_t eject_5xx

    # What came of an attempt on one of its connections: a final response head after so long, or nothing valid.
    cdef int responded(self, uint16_t status, int64_t us) except -1
    cdef int failed(self, Reason reason) except -1
    # After failed(): this failure says something of the endpoint, not of a connection that was old.
    cdef int suspect(self, Reason reason) except -1
