"""The endpoints in the shared table, as one worker's plane uses them."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from weir.plane.columns cimport CLUSTER_FIGURES, ENDPOINT_FIGURES
from weir.plane.counters cimport Counters

from weir.stats import layout

cdef extern from *:
    """
    static inline uint64_t weir_seen(volatile uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void weir_bump(volatile uint64_t *p) { __atomic_fetch_add(p, 1, __ATOMIC_RELEASE); }
    """
    uint64_t weir_seen(volatile uint64_t* p) noexcept nogil
    void weir_bump(volatile uint64_t* p) noexcept nogil

cdef enum:
    ENDPOINT_BYTES = 512    # weir.stats.bytemap: an endpoint's entry, and its standing in there
    STANDING_AT = 256


cdef class Entry:
    """An endpoint's standing and figures."""

    def __cinit__(self):
        memset(&self._standing, 0, sizeof(self._standing))
        memset(self._figures, 0, sizeof(self._figures))
        self.number = -1
        self.standing = &self._standing
        self.figures = self._figures


cdef class GroupEntry:
    """A cluster's figures."""

    def __cinit__(self):
        memset(self._figures, 0, sizeof(self._figures))
        self.number = -1
        self.figures = self._figures


cdef class Roster:
    """Finds endpoints and clusters in the table that `counters` counts in."""

    def __cinit__(self, Counters counters not None):
        self.counters = counters
        self.changes = <volatile uint64_t*>(counters.base() + <uint32_t>layout.HEADER["endpoints_changed"][1])
        places = layout.read_header(counters.memory()).places
        self.endpoints_at = places.endpoints_at
        self.endpoint_figures_at = places.endpoint_figures_at
        self.cluster_figures_at = places.cluster_figures_at
        self.read_names()

    cdef int read_names(self) except -1:
        memory = self.counters.memory()
        self.endpoints = {names: number for number, names in enumerate(layout.endpoint_names(memory))}
        self.clusters = {name: number for number, name in enumerate(layout.cluster_names(memory))}
        return 0

    cdef uint64_t changed(self) noexcept nogil:
        return weir_seen(self.changes)

    cdef int announce(self) except -1:
        weir_bump(self.changes)
        return 0

    cdef bytes seed(self):
        return b"%016x%016x" % layout.read_header(self.counters.memory()).seeds

    cdef Entry entry(self, str cluster, str endpoint):
        cdef Entry entry = Entry.__new__(Entry)
        number = self.endpoints.get(layout.endpoint_key(cluster, endpoint))
        if number is None:
            # It may have come since.
            self.read_names()
            number = self.endpoints.get(layout.endpoint_key(cluster, endpoint))
        if number is None:
            return entry
        entry.number = number
        entry.standing = <Standing*>(
            self.counters.base() + self.endpoints_at + <uint64_t>ENDPOINT_BYTES * <uint32_t>number + STANDING_AT
        )
        entry.figures = <uint64_t*>(
            self.counters.block() + self.endpoint_figures_at + <uint64_t>ENDPOINT_FIGURES * 8 * <uint32_t>number
        )
        entry._memory = self.counters.memory()
        return entry

    cdef GroupEntry group(self, str cluster):
        cdef GroupEntry group = GroupEntry.__new__(GroupEntry)
        number = self.clusters.get(layout.endpoint_key(cluster, "")[0])
        if number is None:
            return group
        group.number = number
        group.figures = <uint64_t*>(
            self.counters.block() + self.cluster_figures_at + <uint64_t>CLUSTER_FIGURES * 8 * <uint32_t>number
        )
        group._memory = self.counters.memory()
        return group
