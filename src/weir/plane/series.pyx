"""Which series a request's path is counted under: a template of an API's description, one by rule, or the path itself.

Templates of descriptions are a tree of segments in flat arrays. At each segment a literal is tried first, then
segments that are partly parameters, then a parameter: `/users/me` before `/users/{id}`, as OpenAPI has it. Where that
leads to no template the next is tried, so that `/users/me/orders` is `/users/{id}/orders` if no other is written down.
A path is taken apart and hashed once; each step is then a look into a hash table. The steps for a path are bounded: a
description could be made in which every path leads everywhere.

What is matched is the path as it came. Nothing is decoded: the literals are percent-encoded as clients send them.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from weir.plane.counters cimport Counters
from weir.plane.templates cimport TEMPLATE_BYTES, template_of

import re

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* Of a segment, eight bytes at a time. No secret: what is in the table is the operator's, others only look. */
    static inline uint32_t weir_segment_hash(const char *p, uint32_t n) {
        uint64_t h = n, v;
        for (; n >= 8; n -= 8, p += 8) {
            memcpy(&v, p, 8);
            h = (h ^ v) * 0x9E3779B97F4A7C15ULL;
            h ^= h >> 32;
        }
        v = 0;
        while (n)
            v = v << 8 | (unsigned char)p[--n];
        h = (h ^ v) * 0x9E3779B97F4A7C15ULL;
        return (uint32_t)(h >> 32);
    }
    static inline uint32_t weir_edge_place(uint32_t parent, uint32_t hash) {
        return (uint32_t)(((uint64_t)(parent ^ hash) * 0x9E3779B97F4A7C15ULL) >> 32);
    }
    """
    uint32_t weir_segment_hash(const char* p, uint32_t n) noexcept nogil
    uint32_t weir_edge_place(uint32_t parent, uint32_t hash) noexcept nogil

_PARAMETER = re.compile(r"\{[^{}/]+\}")
# Of a name that a hook gives: "(other)" and its like are weir's.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f]|^\(|^\Z")


class _Tree:
    """The templates as Python has them, before they are laid out."""

    def __init__(self, templates):
        self.ends = [-1]            # by node
        self.parameters = [-1]
        self.patterns = [{}]        # by node: literals -> node
        self.edges = {}             # (node, literal) -> node
        self.depth = 0
        for number, template in enumerate(templates):
            self._add(number, template)

    def _add(self, number, template):
        segments = template.split("/")[1:]
        if not template.startswith("/") or not 0 < len(segments) <= SERIES_SEGMENTS:
            raise ValueError(f"a template has 1 to {SERIES_SEGMENTS} segments, each after a slash: {template!r}")
        self.depth = max(self.depth, len(segments))
        node = 0
        for segment in segments:
            literals = tuple(literal.encode() for literal in _PARAMETER.split(segment))
            if len(literals) == 1:
                node = self._behind(self.edges, (node, literals[0]))
            elif literals == (b"", b""):
                node = self._behind(self.parameters, node)
            else:
                node = self._behind(self.patterns[node], literals)
        if self.ends[node] < 0:
            self.ends[node] = number        # of two that are alike but for the names of parameters, the first

    def _behind(self, places, key):
        """The node that `places[key]` leads to, made if there is none."""
        found = places[key] if isinstance(places, list) else places.get(key, -1)
        if found < 0:
            found = places[key] = len(self.ends)
            self.ends.append(-1)
            self.parameters.append(-1)
            self.patterns.append({})
        return found


cdef class SeriesNames:
    """How paths become series. `exact`: each is its own. `templates` come before the rule, such as `/users/{id}`.

    ValueError for what is no template, MemoryError if there is no memory for them.
    """

    def __cinit__(self, bint exact, templates):
        listed = list(templates)
        tree = _Tree(listed)
        self.exact = exact
        self.templates = len(listed)
        self._depth = tree.depth
        if listed:
            self._lay_out(tree, [template.encode() for template in listed])

    def __dealloc__(self):
        free(self._nodes)
        free(self._edges)
        free(self._patterns)
        free(self._literals)
        free(self._names)

    def _lay_out(self, tree, names):
        cdef uint32_t number, place
        cdef const char* text
        patterns = [
            (literals, node)
            for mine in tree.patterns
            for literals, node in sorted(mine.items(), key=lambda item: (-sum(map(len, item[0])), item[0]))
        ]
        literals = [literal for pattern, _node in patterns for literal in pattern]
        texts = [*names, *literals, *(text for _node, text in tree.edges)]
        self._text = b"".join(texts)
        self._base = self._text
        places = 4
        while places < 2 * len(tree.edges):
            places *= 2
        self._edge_mask = <uint32_t>places - 1
        self._nodes = <Node*>series_room(len(tree.ends), sizeof(Node))
        self._edges = <Edge*>series_room(places, sizeof(Edge))
        self._patterns = <Pattern*>series_room(len(patterns), sizeof(Pattern))
        self._literals = <Piece*>series_room(len(literals), sizeof(Piece))
        self._names = <Piece*>series_room(len(names), sizeof(Piece))
        at = 0
        for number, name in enumerate(names):
            self._names[number] = Piece(at, len(name))
            at += len(name)
        for number, literal in enumerate(literals):
            self._literals[number] = Piece(at, len(literal))
            at += len(literal)
        for (parent, literal), node in tree.edges.items():
            text = literal
            place = weir_edge_place(parent, weir_segment_hash(text, len(literal))) & self._edge_mask
            while self._edges[place].node:
                place = (place + 1) & self._edge_mask
            self._edges[place] = Edge(parent, node, at, len(literal))
            at += len(literal)
        first = 0
        for number in range(<uint32_t>len(tree.ends)):
            self._nodes[number] = Node(tree.ends[number], tree.parameters[number], first, len(tree.patterns[number]))
            first += len(tree.patterns[number])
        first = 0
        for number, (pattern, node) in enumerate(patterns):
            self._patterns[number] = Pattern(first, len(pattern), node)
            first += len(pattern)

    cdef uint32_t find(self, Counters counters, uint32_t route, const char* path, uint32_t n) noexcept nogil:
        cdef char out[TEMPLATE_BYTES]
        cdef const char* text
        cdef uint32_t length = self.name_of(path, n, out, &text)
        return counters.find(route, text, length)

    cdef uint32_t name_of(self, const char* path, uint32_t n, char* out, const char** text) noexcept nogil:
        cdef int32_t number
        cdef uint32_t length
        if not self.exact:
            if self.templates:
                number = self._match(path, n)
                if number >= 0:
                    text[0] = self._base + self._names[number].at
                    return self._names[number].length
            length = template_of(path, n, out)
            if length:
                text[0] = out
                return length
        text[0] = path
        return n

    cdef str text_of(self, const char* path, uint32_t n):
        cdef char out[TEMPLATE_BYTES]
        cdef const char* text = NULL
        cdef uint32_t length = self.name_of(path, n, out, &text)
        return text[:length].decode("utf-8", "surrogateescape")

    cdef uint32_t find_text(self, Counters counters, uint32_t route, str name) except? 0:
        cdef bytes text
        if _NOT_IN_NAMES.search(name) or len(name) > SERIES_NAME_MOST:
            raise ValueError(f"{name!r} cannot be a series: not empty, no control characters, and \"(\" not first")
        text = name.encode("utf-8", "surrogateescape")
        return counters.find(route, <const char*>text, <uint32_t>len(text))

    cdef int32_t _match(self, const char* path, uint32_t n) noexcept nogil:
        cdef Segment segments[SERIES_SEGMENTS + 1]      # the last one has no text: it is the end
        cdef uint32_t count = 0
        cdef uint32_t at = 1
        cdef uint32_t end
        cdef uint32_t visits = SERIES_VISITS
        if n == 0 or path[0] != c"/":
            return -1
        while True:
            if count == self._depth:
                return -1
            end = at
            while end < n and path[end] != c"/":
                end += 1
            segments[count].at = at
            segments[count].length = end - at
            segments[count].hash = weir_segment_hash(path + at, end - at)
            count += 1
            if end == n:
                break
            at = end + 1
        return self._match_from(0, path, segments, count, &visits)

    cdef int32_t _match_from(self, uint32_t node, const char* path, const Segment* segments, uint32_t left,
                             uint32_t* visits) noexcept nogil:
        cdef const Node* here = &self._nodes[node]
        cdef uint32_t i, behind
        cdef int32_t found
        if left == 0:
            return here.template
        if visits[0] == 0:
            return -1
        visits[0] -= 1
        behind = self._literal(node, path, segments)
        if behind:
            found = self._match_from(behind, path, segments + 1, left - 1, visits)
            if found >= 0:
                return found
        for i in range(here.first_pattern, here.first_pattern + here.pattern_count):
            if visits[0] == 0:
                return -1
            visits[0] -= 1
            if series_fits(self._base, self._literals + self._patterns[i].first_literal,
                           self._patterns[i].literal_count, path + segments.at, segments.length):
                found = self._match_from(self._patterns[i].node, path, segments + 1, left - 1, visits)
                if found >= 0:
                    return found
        if here.parameter >= 0 and segments.length:
            return self._match_from(<uint32_t>here.parameter, path, segments + 1, left - 1, visits)
        return -1

    cdef uint32_t _literal(self, uint32_t node, const char* path, const Segment* segment) noexcept nogil:
        # The node behind a literal segment; 0: none.
        cdef uint32_t place = weir_edge_place(node, segment.hash) & self._edge_mask
        cdef const Edge* edge
        while True:
            edge = &self._edges[place]
            if edge.node == 0:
                return 0
            if (
                edge.parent == node and edge.length == segment.length
                and memcmp(self._base + edge.text_at, path + segment.at, segment.length) == 0
            ):
                return edge.node
            place = (place + 1) & self._edge_mask

    def name(self, path: bytes, repeat: int = 1) -> bytes:
        """What a path is counted under, found `repeat` times; for tests, tools and measurements."""
        cdef char out[TEMPLATE_BYTES]
        cdef const char* p = path
        cdef uint32_t n = <uint32_t>len(path)
        cdef int32_t number = -1
        cdef uint32_t length = 0
        cdef int64_t turns = repeat
        cdef int64_t _i
        if self.exact:
            return path
        with nogil:
            for _i in range(turns):
                number = self._match(p, n) if self.templates else -1
                if number < 0:
                    length = template_of(p, n, out)
        if number >= 0:
            return self._text[self._names[number].at:self._names[number].at + self._names[number].length]
        return out[:length] if length else path


cdef void* series_room(size_t count, size_t size) except NULL:
    cdef void* room = calloc(count if count else 1, size)
    if room == NULL:
        raise MemoryError("path templates")
    return room


cdef bint series_fits(const char* base, const Piece* literals, uint32_t count,
                      const char* s, uint32_t n) noexcept nogil:
    # Is s[0:n] the literals in their order, each two with something between them?
    cdef const Piece* last = literals + count - 1
    cdef uint32_t at = literals.length
    cdef uint32_t i
    if n < literals.length + last.length or memcmp(s, base + literals.at, literals.length):
        return False
    if memcmp(s + n - last.length, base + last.at, last.length):
        return False
    n -= last.length
    for i in range(1, count - 1):
        at += 1         # what stands before it has a byte at least; the first place that fits leaves most for the rest
        while at + literals[i].length < n and memcmp(s + at, base + literals[i].at, literals[i].length):
            at += 1
        if at + literals[i].length >= n:
            return False
        at += literals[i].length
    return at < n
