"""Which route a request takes.

Hosts are in a hash table, and each has a tree of paths: places in flat arrays, with literal segments in one more
hash table, a segment that is a parameter, and the routes that end there or take all that follows. The most specific one
wins:

- the host itself, then the wildcards that cover it, the longest first, then routes that name no host;
- of these by path, segment by segment from the left: a literal segment before a parameter, a parameter before a prefix
  that takes all the rest, and the end of the path before a prefix that takes nothing more;
- of these the one with more conditions, then the first in the file.

A route whose conditions are not met is passed over, and the next one in this order is tried. What this costs does not
depend on the number of routes but on how many lead to the same path; `weir.config.route_checks` has a bound for that,
so that the search needs none, and is never broken off with an answer that is not the right one.

What is compared is what the path leads to, as rules do (`weir.plane.filters`): `/%61pi`, `//api` and `/x/../api` are
`/api`, so that nobody comes by another spelling to where he should not be.
"""

import os
import time
from urllib.parse import unquote_to_bytes

from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from weir.plane.codes cimport DONE
from weir.plane.conditions cimport U_CLIENT, U_FIELD, U_METHOD, U_NONE, U_QUERY, Conditions
from weir.plane.filters cimport Asked, Filter, filter_is_plain, plain_path
from weir.plane.head cimport F_HOST, HEAD_MAX_FIELDS, T_ASTERISK, Head, HeadLimits, scan_request
from weir.plane.host cimport host_ipv6
from weir.plane.keyed cimport weir_hash
from weir.plane.origin cimport Origin, read_origin
from weir.plane.split cimport Split

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* s[0:n] with small letters, to out: eight bytes at a time, the last eight overlapping what is done. */
    static inline uint64_t weir_lower8(uint64_t v) {
        uint64_t low = v & 0x7F7F7F7F7F7F7F7FULL;
        uint64_t from_a = low + 0x3F3F3F3F3F3F3F3FULL, behind_z = low + 0x2525252525252525ULL;
        return v | ((from_a ^ behind_z) & ~v & 0x8080808080808080ULL) >> 2;
    }
    static inline void weir_put_lower(char *out, const char *s, uint32_t n) {
        uint64_t v;
        uint32_t i;
        if (n < 8) {
            for (i = 0; i < n; i++)
                out[i] = s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i];
            return;
        }
        for (i = 0; ; i = i + 16 <= n ? i + 8 : n - 8) {
            memcpy(&v, s + i, 8);
            v = weir_lower8(v);
            memcpy(out + i, &v, 8);
            if (i + 8 == n)
                return;
        }
    }
    """
    void weir_put_lower(char* out, const char* s, uint32_t n) noexcept nogil

cdef enum:
    # What is hashed with a text, so that kinds of them are kept apart.
    SALT_EXACT = 0
    SALT_WILDCARD = 1
    SALT_SEGMENT = 2
    WILD_LABELS = 128           # a host of 255 bytes has no more

_UNMET = {U_NONE: "", U_METHOD: "methods", U_FIELD: "fields", U_QUERY: "query", U_CLIENT: "clients"}


class _Tree:
    """The routes as Python has them, before they are laid out."""

    def __init__(self, plans):
        # By place, of which the first is nobody's: what leads there, and the candidates that end or go on there.
        self.parameters = [0]
        self.exact = [[]]
        self.prefix = [[]]
        self.edges = {}             # (place, literal) -> place
        self.hosts = {}             # (wildcard, host) -> root
        self.any = 0
        self.depth = 0
        for number, plan in enumerate(plans):
            for host in plan.hosts or ("",):
                self._add(number, plan, self._root(host))

    def _place(self):
        self.parameters.append(0)
        self.exact.append([])
        self.prefix.append([])
        return len(self.parameters) - 1

    def _root(self, host):
        if not host:
            self.any = self.any or self._place()
            return self.any
        key = (1, host[2:].encode()) if host.startswith("*.") else (0, host.encode())
        if key not in self.hosts:
            self.hosts[key] = self._place()
        return self.hosts[key]

    def _add(self, number, plan, place):
        path = plan.path or "/*"
        ends = not path.endswith("/*")
        segments = path.removesuffix("/*").split("/")[1:]
        for segment in segments:
            if segment.startswith("{"):
                place = self._parameter(place)
            else:
                place = self._behind(place, unquote_to_bytes(segment))
        self.depth = max(self.depth, len(segments))
        (self.exact if ends else self.prefix)[place].append((-conditions_of(plan), number))

    def _parameter(self, place):
        if not self.parameters[place]:
            self.parameters[place] = self._place()
        return self.parameters[place]

    def _behind(self, place, literal):
        found = self.edges.get((place, literal), 0)
        if not found:
            found = self.edges[place, literal] = self._place()
        return found


def conditions_of(plan) -> int:
    """How many conditions a route has beside its host and path."""
    return bool(plan.methods) + len(plan.fields) + len(plan.query) + bool(plan.clients)


cdef class Router:
    """Routes of a listener: `weir.config.plan.MatchPlan`s, in the order of the file.

    ValueError for a path with too many segments, MemoryError if there is no memory for them.
    """

    def __cinit__(self, plans):
        listed = list(plans)
        tree = _Tree(listed)
        if tree.depth > ROUTER_SEGMENTS:
            raise ValueError(f"a route's path has {tree.depth} segments; {ROUTER_SEGMENTS} are the most")
        seeds = os.urandom(16)
        self._seed_0 = int.from_bytes(seeds[:8], "little")
        self._seed_1 = int.from_bytes(seeds[8:], "little")
        self.routes = len(listed)
        self._depth = tree.depth
        self._any = tree.any
        self._kept = []
        self._lay_out_candidates(tree, listed)
        self._lay_out_texts(tree)

    def __dealloc__(self):
        free(self._places)
        free(self._edges)
        free(self._hosts)
        free(self._candidates)

    def _lay_out_candidates(self, tree, plans):
        cdef uint32_t at = 0
        cdef uint32_t number
        cdef Place* place
        made = [self._candidate_parts(plan) for plan in plans]
        self._candidate_count = sum(map(len, tree.exact)) + sum(map(len, tree.prefix))
        self._candidates = <Candidate*>router_room(self._candidate_count, sizeof(Candidate))
        self._places = <Place*>router_room(len(tree.parameters), sizeof(Place))
        for number in range(<uint32_t>len(tree.parameters)):
            place = &self._places[number]
            place.parameter = tree.parameters[number]
            place.first_exact = at
            place.exact_count = len(tree.exact[number])
            at += place.exact_count
            place.first_prefix = at
            place.prefix_count = len(tree.prefix[number])
            at += place.prefix_count
        at = 0
        for exact, prefix in zip(tree.exact, tree.prefix, strict=True):
            for _conditions, number in [*sorted(exact), *sorted(prefix)]:
                self._put_candidate(at, number, *made[number])
                at += 1

    def _candidate_parts(self, plan):
        cdef Filter methods = Filter(plan.methods)
        conditions = None
        if plan.fields or plan.query or plan.clients or methods.other_methods:
            conditions = Conditions(plan)
        split = Split(plan.sides, plan.split_by) if len(plan.sides) > 1 else None
        self._kept += [conditions, split]
        return methods.known_methods, plan.sides[0][0], conditions, split

    def _put_candidate(self, uint32_t at, uint32_t number, uint32_t methods, int32_t route, conditions, split):
        cdef Candidate* candidate = &self._candidates[at]
        candidate.methods = methods
        candidate.number = number
        candidate.route = route
        candidate.conditions = NULL if conditions is None else <PyObject*>conditions
        candidate.split = NULL if split is None else <PyObject*>split

    def _lay_out_texts(self, tree):
        cdef uint32_t place, mark
        cdef const char* text
        self._text = b"".join([*(literal for _place, literal in tree.edges), *(host for _kind, host in tree.hosts)])
        self._base = self._text
        self._edge_mask = <uint32_t>router_places(len(tree.edges)) - 1
        self._edges = <RouteEdge*>router_room(self._edge_mask + 1, sizeof(RouteEdge))
        at = 0
        for (parent, literal), behind in tree.edges.items():
            text = literal
            mark = <uint32_t>weir_hash(self._seed_0, self._seed_1, SALT_SEGMENT, text, <uint32_t>len(literal))
            place = router_edge(parent, mark) & self._edge_mask
            while self._edges[place].place:
                place = (place + 1) & self._edge_mask
            self._edges[place] = RouteEdge(parent, behind, at, len(literal))
            at += len(literal)
        self._host_count = len(tree.hosts)
        self._host_mask = <uint32_t>router_places(len(tree.hosts)) - 1
        self._hosts = <RouteHost*>router_room(self._host_mask + 1, sizeof(RouteHost))
        for (wildcard, host), root in tree.hosts.items():
            text = host
            place = <uint32_t>weir_hash(self._seed_0, self._seed_1, wildcard, text, <uint32_t>len(host))
            place &= self._host_mask
            while self._hosts[place].root:
                place = (place + 1) & self._host_mask
            self._hosts[place] = RouteHost(root, at, len(host), wildcard)
            at += len(host)
            if wildcard:
                self._wild_labels = max(self._wild_labels, <uint32_t>host.count(b".") + 1)

    # -- looking ------------------------------------------------------------------------------------------

    cdef int32_t find(self, const Asked* asked, const Origin* origin) noexcept:
        cdef Walk walk
        cdef const Candidate* found
        walk.asked = asked
        walk.origin = origin
        walk.tried = NULL
        found = self._match(&walk)
        if found == NULL:
            return NO_ROUTE
        return found.route if found.split == NULL else (<Split>found.split).choose(asked, origin)

    cdef const Candidate* _match(self, Walk* walk) noexcept:
        cdef const Head* head = walk.asked.head
        cdef const Candidate* found = NULL
        cdef uint32_t n = head.path_length
        walk.path = walk.asked.p + head.path_at
        walk.count = 0
        walk.whole = False
        if head.target_form != T_ASTERISK:      # which is no path: only a route for any takes it
            if not filter_is_plain(walk.path, n):
                n = plain_path(walk.path, n, walk.asked.scratch)
                walk.path = walk.asked.scratch
            self._take_apart(walk, n)
        if self._host_count:
            found = self._match_host(walk)
        if found == NULL and self._any:
            found = self._match_from(self._any, 0, walk)
        return found

    cdef void _take_apart(self, Walk* walk, uint32_t n) noexcept nogil:
        # path[0:n] begins with a slash.
        cdef const char* path = walk.path
        cdef PathSegment* segment
        cdef uint32_t at = 1
        cdef uint32_t end
        while walk.count < self._depth:
            end = at
            while end < n and path[end] != c"/":
                end += 1
            segment = &walk.segments[walk.count]
            segment.at = at
            segment.length = end - at
            segment.hash = <uint32_t>weir_hash(self._seed_0, self._seed_1, SALT_SEGMENT, path + at, end - at)
            walk.count += 1
            if end == n:
                walk.whole = True
                return
            at = end + 1

    cdef const Candidate* _match_host(self, Walk* walk) noexcept:
        cdef const Head* head = walk.asked.head
        cdef const Candidate* found = NULL
        cdef const char* text = NULL
        cdef uint32_t n = 0
        cdef uint32_t i, root
        cdef uint32_t labels = 0
        cdef uint32_t dots[WILD_LABELS]         # what stands behind them, from the right
        cdef char host[ROUTER_HOST_BYTES]
        if head.authority_length:
            text = walk.asked.p + head.authority_at
            n = head.authority_length
        elif head.first[<int>F_HOST]:
            text = walk.asked.p + head.fields[head.first[<int>F_HOST] - 1].value
            n = head.fields[head.first[<int>F_HOST] - 1].value_length
        n = router_host_length(text, n)
        if n == 0 or n > ROUTER_HOST_BYTES:
            return NULL
        weir_put_lower(host, text, n)
        if host[0] == c"[":
            n = host_ipv6(host, n)
        root = self._host(SALT_EXACT, host, n)
        if root:
            found = self._match_from(root, 0, walk)
        if found != NULL or self._wild_labels == 0:
            return found
        i = n
        while i > 1 and labels < self._wild_labels:
            i -= 1
            if host[i - 1] == c".":
                dots[labels] = i
                labels += 1
        while labels and found == NULL:
            labels -= 1
            i = dots[labels]
            root = self._host(SALT_WILDCARD, host + i, n - i) if i > 1 else 0
            if root:
                found = self._match_from(root, 0, walk)
        return found

    cdef const Candidate* _match_from(self, uint32_t place, uint32_t level, Walk* walk) noexcept:
        # The depth is that of the tree: ROUTER_SEGMENTS at most.
        cdef const Place* here = &self._places[place]
        cdef const Candidate* found
        cdef uint32_t behind
        if level == walk.count:
            if walk.whole and here.exact_count:
                found = self._take(here.first_exact, here.exact_count, walk)
                if found != NULL:
                    return found
        else:
            behind = self._literal(place, walk.path, &walk.segments[level])
            if behind:
                found = self._match_from(behind, level + 1, walk)
                if found != NULL:
                    return found
            if here.parameter and walk.segments[level].length:
                found = self._match_from(here.parameter, level + 1, walk)
                if found != NULL:
                    return found
        return self._take(here.first_prefix, here.prefix_count, walk)

    cdef const Candidate* _take(self, uint32_t first, uint32_t count, Walk* walk) noexcept:
        cdef const Candidate* candidate
        cdef uint8_t why
        cdef uint32_t i
        for i in range(first, first + count):
            candidate = &self._candidates[i]
            why = U_NONE
            if candidate.methods and not candidate.methods >> walk.asked.head.method & 1:
                why = U_METHOD
            elif candidate.conditions != NULL:
                why = (<Conditions>candidate.conditions).unmet(walk.asked, walk.origin)
            if walk.tried != NULL:
                walk.tried[walk.tried_count] = Tried(candidate.number, why)
                walk.tried_count += 1
            if why == U_NONE:
                return candidate
        return NULL

    cdef uint32_t _literal(self, uint32_t place, const char* path, const PathSegment* segment) noexcept nogil:
        # The place behind a literal segment; 0: none.
        cdef uint32_t at = router_edge(place, segment.hash) & self._edge_mask
        cdef const RouteEdge* edge
        while True:
            edge = &self._edges[at]
            if edge.place == 0:
                return 0
            if (
                edge.parent == place and edge.length == segment.length
                and memcmp(self._base + edge.text_at, path + segment.at, segment.length) == 0
            ):
                return edge.place
            at = (at + 1) & self._edge_mask

    cdef uint32_t _host(self, uint32_t wildcard, const char* host, uint32_t n) noexcept nogil:
        cdef uint32_t at = <uint32_t>weir_hash(self._seed_0, self._seed_1, wildcard, host, n) & self._host_mask
        cdef const RouteHost* entry
        while True:
            entry = &self._hosts[at]
            if entry.root == 0:
                return 0
            if (
                entry.wildcard == wildcard and entry.length == n
                and memcmp(self._base + entry.text_at, host, n) == 0
            ):
                return entry.root
            at = (at + 1) & self._host_mask

    # -- for people ---------------------------------------------------------------------------------------

    def explain(self, bytes request, str client="unix:"):
        """What becomes of a request (its head, whole), from a client's address: the code is that of the data path.

        An index into Plan.routes, or -1; and what was looked at for it, in order: numbers of MatchPlans, each with the
        condition that was not met ("methods", "fields", "query", "clients"), "" for the one that is taken. Where a
        route has sides, which one is taken is drawn again with each call. ValueError for what is no request.
        """
        cdef Head head
        cdef Asked asked
        cdef Origin origin
        cdef bytearray scratch = bytearray(len(request) + 1)
        cdef bytes address = client.encode()
        router_ask(request, address, scratch, &head, &asked, &origin)
        return self.trace(&asked, &origin)

    cdef tuple trace(self, const Asked* asked, const Origin* origin):
        cdef Walk walk
        cdef const Candidate* found
        cdef uint32_t i
        walk.asked = asked
        walk.origin = origin
        walk.tried_count = 0
        walk.tried = <Tried*>router_room(self._candidate_count, sizeof(Tried))
        try:
            found = self._match(&walk)
            tried = [(walk.tried[i].number, _UNMET[walk.tried[i].why]) for i in range(walk.tried_count)]
        finally:
            free(walk.tried)
        if found == NULL:
            return NO_ROUTE, tried
        return found.route if found.split == NULL else (<Split>found.split).choose(asked, origin), tried

    def find_ns(self, bytes request, int times):
        """For tests: what it costs to find a request's route, measured over `times`."""
        cdef Head head
        cdef Asked asked
        cdef Origin origin
        cdef bytearray scratch = bytearray(len(request) + 1)
        cdef int _i
        router_ask(request, b"unix:", scratch, &head, &asked, &origin)
        begun = time.perf_counter_ns()
        for _i in range(times):
            self.find(&asked, &origin)
        return (time.perf_counter_ns() - begun) / times


cdef int router_ask(bytes request, bytes client, bytearray scratch, Head* head, Asked* asked, Origin* origin) except -1:
    cdef HeadLimits limits = [1 << 20, 1 << 20, HEAD_MAX_FIELDS]
    head.scanned = 0
    if scan_request(request, <uint32_t>len(request), &limits, head) != DONE:
        raise ValueError("no request")
    asked.p = request
    asked.head = head
    asked.client = client
    asked.client_length = <uint32_t>len(client)
    asked.scratch = scratch
    if not read_origin(client, <uint32_t>len(client), origin):
        raise ValueError(f"no address: {client!r}")
    return 0


cdef uint32_t router_host_length(const char* s, uint32_t n) noexcept nogil:
    # Of the host in s[0:n] without its port and the dot that may end it; 0: there is none.
    cdef uint32_t i = n
    while i and c"0" <= s[i - 1] <= c"9":
        i -= 1
    if i and s[i - 1] == c":":
        n = i - 1
    if n and s[n - 1] == c".":
        n -= 1
    return n


cdef inline uint32_t router_edge(uint32_t parent, uint32_t mark) noexcept nogil:
    return mark ^ parent * <uint32_t>0x9E3779B1


cdef size_t router_places(size_t count) noexcept:
    cdef size_t places = 4
    while places < 2 * count:
        places *= 2
    return places


cdef void* router_room(size_t count, size_t size) except NULL:
    cdef void* room = calloc(count if count else 1, size)
    if room == NULL:
        raise MemoryError("routes")
    return room
