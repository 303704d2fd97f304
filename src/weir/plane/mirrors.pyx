"""Where a route's requests are copied to."""

from libc.stdint cimport uint32_t

from weir.plane.cluster cimport Cluster
from weir.plane.columns cimport CF_MIRRORS_SKIPPED
from weir.plane.ids cimport next_number


cdef class Mirrors:
    """The mirror of a route: a cluster, how many of 100 requests are copied to it, and how many are so at a time."""

    def __cinit__(self, Cluster cluster not None, uint32_t percent, uint32_t most):
        self.cluster = cluster
        self.percent = percent
        self.most = most
        self.copies = set()
        self.dice = cluster.workspace.id_state

    cdef bint wants(self) noexcept:
        return self.percent >= 100 or next_number(&self.dice) % 100 < self.percent

    cdef int skip(self) except -1:
        self.cluster.group.figures[CF_MIRRORS_SKIPPED] += 1
        return 0
