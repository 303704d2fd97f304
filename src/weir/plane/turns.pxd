# Whose turn it is, by weight: each gets its part of all turns, and never waits or hurries by as much as one of its own.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    NOBODY = 0xFFFFFFFF

# One that takes turns: its next one is wanted at `start`, and the one after it a `stride` later.
cdef struct Turn:
    uint64_t start
    uint64_t stride

# A place in a heap: the smallest key is first, of equal keys the smallest index.
cdef struct Place:
    uint64_t key
    uint32_t index

cdef class Turns:
    cdef uint32_t count
    cdef uint64_t now                   # virtual time: it has advanced by 1 / (sum of weights) with each turn
    cdef uint64_t step
    cdef Turn* turns
    cdef Place* early                   # whose next turn is not due, by start
    cdef Place* due                     # the others, by the end of that turn
    cdef uint32_t* held
    cdef uint32_t early_count
    cdef uint32_t due_count
    cdef uint32_t held_count
    # For `count` with `total` weight; then each is added once, 0 to count - 1. `lag` is what lag() said of it before.
    cdef int begin(self, uint32_t count, uint64_t total) except -1
    cdef void add(self, uint32_t index, uint32_t weight, double lag) noexcept
    # How far it is from its due, in turns of its own: above 0 it has had more.
    cdef double lag(self, uint32_t index) noexcept
    # Whose turn is next, out of `count`; NOBODY: all are held. It is told at once what becomes of it:
    cdef uint32_t take(self) noexcept
    cdef void serve(self, uint32_t index) noexcept      # it has had its turn
    cdef void hold(self, uint32_t index) noexcept       # it is passed over until release()
    cdef void release(self) noexcept
    cdef void _rebase(self) noexcept
