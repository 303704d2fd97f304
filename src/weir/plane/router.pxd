# Which route a request takes: by host, by path, and by what else a route wants.

from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from weir.plane.filters cimport Asked
from weir.plane.origin cimport Origin

cdef enum:
    ROUTER_SEGMENTS = 64        # of a route's path
    ROUTER_HOST_BYTES = 255     # a longer host is none that a route names
    NO_ROUTE = -1

# A place in the tree of paths: what the segments so far have in common.
cdef struct Place:
    uint32_t parameter          # the place behind a segment that is a parameter; 0: none
    uint32_t first_exact        # candidates whose path ends here: the preferred first
    uint32_t exact_count
    uint32_t first_prefix       # candidates that take whatever follows
    uint32_t prefix_count

# A literal segment behind a place; `place` 0: an empty one of the hash table, for no edge leads to the first place.
cdef struct RouteEdge:
    uint32_t parent
    uint32_t place
    uint32_t text_at
    uint32_t length

# A host that routes name, and the root of their paths; `root` 0: an empty one of the hash table.
cdef struct RouteHost:
    uint32_t root
    uint32_t text_at
    uint32_t length
    uint32_t wildcard           # 1: it stands for all below it

# What a route is, seen from the place of its path.
cdef struct Candidate:
    uint32_t methods            # a bit for each Method; 0: any
    uint32_t number             # its place in the plan's list
    int32_t route               # index into Plan.routes, if it has one side
    PyObject* conditions        # Conditions; NULL: none but `methods`
    PyObject* split             # Split; NULL: it has one side

# A segment of a request's path.
cdef struct PathSegment:
    uint32_t at
    uint32_t length
    uint32_t hash

# A candidate that was looked at, and why it was not taken (Unmet; U_NONE: it was).
cdef struct Tried:
    uint32_t number
    uint8_t why

# A look for a route.
cdef struct Walk:
    const Asked* asked
    const Origin* origin
    const char* path            # what the request's path leads to
    uint32_t count              # of segments, as many as the longest path of a route has at most
    bint whole                  # those are all
    Tried* tried                # NULL: nobody wants to know
    uint32_t tried_count
    PathSegment segments[ROUTER_SEGMENTS]

cdef class Router:
    cdef readonly uint32_t routes       # how many it knows
    cdef uint64_t _seed_0
    cdef uint64_t _seed_1
    cdef bytes _text                    # what offsets point into
    cdef const char* _base
    cdef Place* _places
    cdef RouteEdge* _edges              # hash table: _edge_mask + 1 places, at least half of them empty
    cdef uint32_t _edge_mask
    cdef RouteHost* _hosts              # likewise
    cdef uint32_t _host_mask
    cdef uint32_t _host_count
    cdef uint32_t _wild_labels          # of the longest wildcard, the asterisk not counted; 0: there is none
    cdef uint32_t _any                  # the root of routes that name no host; 0: there are none
    cdef uint32_t _depth                # segments of the longest path
    cdef Candidate* _candidates
    cdef uint32_t _candidate_count
    cdef list _kept                     # what candidates point to

    # Index into Plan.routes, or NO_ROUTE. `asked` has room for a path.
    cdef int32_t find(self, const Asked* asked, const Origin* origin) noexcept
    # As find, with what was looked at: see explain().
    cdef tuple trace(self, const Asked* asked, const Origin* origin)
    cdef const Candidate* _match(self, Walk* walk) noexcept
    cdef const Candidate* _match_host(self, Walk* walk) noexcept
    cdef const Candidate* _match_from(self, uint32_t place, uint32_t level, Walk* walk) noexcept
    cdef const Candidate* _take(self, uint32_t first, uint32_t count, Walk* walk) noexcept
    cdef uint32_t _literal(self, uint32_t place, const char* path, const PathSegment* segment) noexcept nogil
    cdef uint32_t _host(self, uint32_t wildcard, const char* host, uint32_t n) noexcept nogil
    cdef void _take_apart(self, Walk* walk, uint32_t n) noexcept nogil
