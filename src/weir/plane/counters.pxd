# One worker's hand on the shared statistics table (byte map: docs/shared-memory.md).
#
# A directory, shared by all workers, maps a series (route, path) to a row number; each worker has columns
# of its own, in which counting is a plain add. Nothing here allocates, locks or fails once it is made:
# what no longer fits is counted in the route's `(other)` row.

from libc.stdint cimport int64_t, uint32_t, uint64_t

# Counts `us` in a histogram of ROW_BUCKETS places: base-2 exponential, schema 3.
cdef void count_in(uint32_t* buckets, int64_t us) noexcept nogil

cdef class Counters:
    cdef readonly uint32_t rows             # in the directory, the routes' (other) rows included
    cdef readonly uint32_t routes           # places for routes
    cdef readonly uint32_t workers
    cdef readonly uint32_t worker           # which column is ours
    cdef object _memory                     # keeps the mapping alive
    cdef object _view
    cdef char* _base

    cdef char* base(self) noexcept nogil    # of the table
    cdef char* block(self) noexcept nogil   # of this worker's part of it
    cdef object memory(self)
    # The row of a series: found, claimed, or the route's (other) row. Never fails. p[0:n] is the path as received.
    cdef uint32_t find(self, uint32_t route, const char* path, uint32_t n) noexcept nogil
    # This worker's own counters of a row: ROW_COUNTERS places (K_*), to be added to in place.
    cdef uint64_t* row(self, uint32_t row) noexcept nogil
    # Counts `us` in a route's histogram of a part of the time ledger: 0 TR, 1 Tw, 2 Tc, 3 Tr, 4 Td.
    cdef void observe_part(self, uint32_t route, uint32_t part, int64_t us) noexcept nogil
    # This worker's own counters of reasons: REASON_COUNT places (R_*), to be added to in place.
    cdef uint64_t* reasons(self) noexcept nogil
    # The sum of one counter of a row over all workers.
    cdef uint64_t total(self, uint32_t row, uint32_t counter) noexcept nogil
    # Counts `us` in histogram 0 (total time) or 1 (first byte) of a row: base-2 exponential, schema 3.
    cdef void observe(self, uint32_t row, uint32_t histogram, int64_t us) noexcept nogil
