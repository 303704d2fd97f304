# Which series a request's path is counted under: a template of an API's description, one by rule, or the path itself.

from libc.stdint cimport int32_t, uint32_t

from weir.plane.counters cimport Counters

cdef enum:
    SERIES_SEGMENTS = 64        # of a template from a description; a longer path matches none
    SERIES_VISITS = 128         # nodes and patterns that are looked at for one path
    SERIES_NAME_MOST = 8192     # characters of a name that is no path's

# A place in the tree of templates: what the segments so far have in common.
cdef struct Node:
    int32_t template            # the one that ends here; -1: none
    int32_t parameter           # the node behind a segment that is a parameter; -1: none
    uint32_t first_pattern      # its segments that are partly parameters: most literal bytes first
    uint32_t pattern_count

# A literal segment behind a node; node 0: an empty place of the hash table, for no edge leads to the root.
cdef struct Edge:
    uint32_t parent
    uint32_t node
    uint32_t text_at
    uint32_t length

# A segment with parameters between literals, which may be empty: "report.", "-", "".
cdef struct Pattern:
    uint32_t first_literal
    uint32_t literal_count
    uint32_t node

# A text within the names.
cdef struct Piece:
    uint32_t at
    uint32_t length

# A segment of a path.
cdef struct Segment:
    uint32_t at
    uint32_t length
    uint32_t hash

cdef class SeriesNames:
    cdef readonly bint exact            # a path is its own series
    cdef readonly uint32_t templates    # from descriptions
    cdef bytes _text                    # what the offsets below point into
    cdef const char* _base
    cdef Node* _nodes
    cdef Edge* _edges                   # hash table: _edge_mask + 1 places, at least half of them empty
    cdef uint32_t _edge_mask
    cdef Pattern* _patterns
    cdef Piece* _literals               # of patterns
    cdef Piece* _names                  # of templates
    cdef uint32_t _depth                # segments of the longest template

    # The row of a path's series: claimed if it is new, the route's `(other)` row if there is no room.
    cdef uint32_t find(self, Counters counters, uint32_t route, const char* path, uint32_t n) noexcept nogil
    # What a path is counted under, template or path: its length and, in *text, where it is: in `out` (TEMPLATE_BYTES),
    # in p or in the names.
    cdef uint32_t name_of(self, const char* path, uint32_t n, char* out, const char** text) noexcept nogil
    # The same as text.
    cdef str text_of(self, const char* path, uint32_t n)
    # The row of a series that a hook has named. ValueError for what cannot be a name.
    cdef uint32_t find_text(self, Counters counters, uint32_t route, str name) except? 0
    # Number of the description's template that a path matches; -1: none.
    cdef int32_t _match(self, const char* path, uint32_t n) noexcept nogil
    cdef int32_t _match_from(self, uint32_t node, const char* path, const Segment* segments, uint32_t left,
                             uint32_t* visits) noexcept nogil
    cdef uint32_t _literal(self, uint32_t node, const char* path, const Segment* segment) noexcept nogil
