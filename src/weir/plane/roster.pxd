# What all processes know of the endpoints, and this worker's figures of them: the shared table (docs/shared-memory.md).
#
# Standings are written by other processes at any time; each field is one load or store.

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.columns cimport CLUSTER_FIGURES, ENDPOINT_FIGURES
from weir.plane.counters cimport Counters

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>

    /* weir.stats.bytemap.STANDING */
    typedef struct {
        volatile uint32_t order, weight, health, health_reason;
        volatile uint64_t ejected_until_us;
        volatile uint32_t ejections, ejection_reason;
        volatile uint64_t joined_us, changed_us, checks, checks_failed, check_us, checked_us;
        volatile uint32_t origin, priority, source_weight, noted;
        volatile uint64_t seen_us;
    } weir_standing;

    _Static_assert(offsetof(weir_standing, ejected_until_us) == 16, "standing");
    _Static_assert(offsetof(weir_standing, joined_us) == 32, "standing");
    _Static_assert(offsetof(weir_standing, origin) == 80, "standing");
    """
    ctypedef struct Standing "weir_standing":
        uint32_t order
        uint32_t weight
        uint32_t health
        uint32_t health_reason
        uint64_t ejected_until_us
        uint32_t ejections
        uint32_t ejection_reason
        uint64_t joined_us
        uint64_t changed_us
        uint64_t checks
        uint64_t checks_failed
        uint64_t check_us
        uint64_t checked_us
        uint32_t origin
        uint32_t priority
        uint32_t source_weight
        uint64_t seen_us

cdef enum Order:
    ORDER_READY = 0
    ORDER_DRAIN = 1
    ORDER_DOWN = 2
    ORDER_REMOVED = 3

cdef enum Health:
    HEALTH_UNKNOWN = 0
    HEALTH_HEALTHY = 1
    HEALTH_UNHEALTHY = 2

# One endpoint: where its standing lies, and this worker's figures (ENDPOINT_FIGURES places, EF_*). An endpoint without
# a place in the table has both in here.
cdef class Entry:
    cdef readonly int number            # in the table; -1: it has no place
    cdef Standing* standing
    cdef uint64_t* figures
    cdef Standing _standing
    cdef uint64_t _figures[ENDPOINT_FIGURES]
    cdef object _memory                 # keeps the mapping alive

# One cluster's figures of this worker: CLUSTER_FIGURES places, CF_*.
cdef class GroupEntry:
    cdef readonly int number
    cdef uint64_t* figures
    cdef uint64_t _figures[CLUSTER_FIGURES]
    cdef object _memory

cdef class Roster:
    cdef Counters counters
    cdef dict endpoints                 # (cluster, endpoint) -> number
    cdef dict clusters
    cdef uint64_t endpoints_at          # from base()
    cdef uint64_t endpoint_figures_at   # from block()
    cdef uint64_t cluster_figures_at
    cdef volatile uint64_t* changes
    # Another number each time that somebody has changed a standing.
    cdef uint64_t changed(self) noexcept nogil
    cdef int announce(self) except -1   # makes all workers look, this one as well
    cdef int read_names(self) except -1  # somebody has given out new ones
    # Random; the same for all that use this table, as long as it is there.
    cdef bytes seed(self)
    cdef Entry entry(self, str cluster, str endpoint)
    cdef GroupEntry group(self, str cluster)
