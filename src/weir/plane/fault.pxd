# A fault that is injected into requests, for a person's own tests.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from weir.plane.filters cimport Asked, Filter
from weir.plane.rule cimport Rule

# Places of counts: weir.stats.rules.FAULT_COUNTERS.
cdef enum FaultCount:
    FC_MATCHED = 0
    FC_DELAYED = 1
    FC_ABORTED = 2
    FC_PACED = 3

# What is done to one request.
cdef struct Injected:
    uint32_t delay_ms
    bint aborts
    uint64_t bytes_per_s        # 0: as fast as it goes

cdef class Fault(Rule):
    cdef Filter filter
    cdef uint32_t delay_from_ms
    cdef uint32_t delay_to_ms           # 0: no delay
    cdef uint32_t delay_percent
    cdef uint32_t abort_percent         # 0: no abort
    cdef uint64_t bytes_per_s           # 0: no limit
    cdef uint32_t bandwidth_percent
    cdef uint64_t seed
    # of an abort
    cdef bint reset                     # the connection is reset
    cdef uint16_t variant               # of the answer (answers.ErrorPages)

    # Decides about a request and counts; whether it matched.
    cdef bint decide(self, const Asked* asked, Injected* injected) noexcept
