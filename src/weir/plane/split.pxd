# Weights between the sides of a route.

from libc.stdint cimport int32_t, uint64_t

from weir.plane.filters cimport Asked
from weir.plane.keys cimport KeyRule
from weir.plane.origin cimport Origin

# Weights between sides: each request is drawn, or has the side of its key.
cdef class Split:
    cdef list routes                    # indices into Plan.routes
    cdef list weights
    cdef uint64_t total
    cdef KeyRule rule                   # None: each is drawn
    cdef uint64_t dice
    cdef int32_t choose(self, const Asked* asked, const Origin* origin) noexcept
