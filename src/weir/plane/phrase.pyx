"""Texts with variables.

What is hard here: a value comes from a client and ends in a head. No value can end its line: all of them are parts of
a head that was parsed, which has no CR, LF or NUL in any target or value, or weir's own words. And none can be longer
than the room that there is: whoever fills a phrase in says how much that is, and is told when it is not enough.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from weir.plane.cookies cimport Span, find_cookie
from weir.plane.head cimport Field
from weir.plane.text cimport equals_lower

# By Variable. The last of them have a name or a number beside them.
VARIABLES = (
    *("client", "host", "path", "query", "target", "method", "scheme", "request_id"),
    *("route", "cluster", "endpoint", "listener", "text", "segment", "field", "cookie"),
)


cdef class Phrase:
    """`plan` is a `weir.config.action_plan.Phrase`: pieces of a text, each ("text", "...") or a variable."""

    def __cinit__(self, plan):
        cdef uint32_t i = 0
        text = bytearray()
        self.pieces = <Piece*>calloc(len(plan) + 1, sizeof(Piece))
        if self.pieces == NULL:
            raise MemoryError("phrase")
        self.constant = True
        for variable, what in plan:
            self.pieces[i].variable = <uint8_t>VARIABLES.index(variable)
            if variable == "segment":
                self.pieces[i].at = what
            else:
                more = what.lower() if variable == "field" else what
                self.pieces[i].at = <uint32_t>len(text)
                text += more.encode()
                self.pieces[i].n = <uint32_t>len(text) - self.pieces[i].at
            self.constant = self.constant and variable == "text"
            self.wants_head = self.wants_head or variable in ("field", "cookie", "host")
            i += 1
        self.count = i
        self.text = bytes(text)

    def __dealloc__(self):
        free(self.pieces)

    cdef uint32_t put(self, const Facts* facts, char* out, uint32_t room) noexcept:
        cdef const char* text = self.text
        cdef const Piece* piece
        cdef uint32_t n = 0
        cdef uint32_t i
        for i in range(self.count):
            piece = &self.pieces[i]
            if piece.variable == V_TEXT:
                n = phrase_add(out, n, room, text + piece.at, piece.n)
            elif piece.variable == V_TARGET:
                n = phrase_add(out, n, room, facts.said[<int>V_PATH].p, facts.said[<int>V_PATH].n)
                if facts.said[<int>V_QUERY].p != NULL:
                    n = phrase_add(out, n, room, b"?", 1)
                    n = phrase_add(out, n, room, facts.said[<int>V_QUERY].p, facts.said[<int>V_QUERY].n)
            elif piece.variable < V_KNOWN:
                n = phrase_add(out, n, room, facts.said[piece.variable].p, facts.said[piece.variable].n)
            elif piece.variable == V_SEGMENT:
                n = phrase_add_segment(out, n, room, facts, piece.at)
            elif piece.variable == V_FIELD:
                n = phrase_add_field(out, n, room, facts, text + piece.at, piece.n)
            else:
                n = phrase_add_cookie(out, n, room, facts, text + piece.at, piece.n)
        return n


cdef uint32_t phrase_add(char* out, uint32_t at, uint32_t room, const char* p, uint32_t n) noexcept nogil:
    # At out[at:room]; once there was no room it stays so.
    if at == PHRASE_TOO_LONG or n > room - at:
        return PHRASE_TOO_LONG
    if n:
        memcpy(out + at, p, n)
    return at + n


cdef uint32_t phrase_add_segment(char* out, uint32_t at, uint32_t room, const Facts* facts, uint32_t number) noexcept:
    cdef Slice segments[PHRASE_SEGMENTS]
    cdef bint dotted
    if number >= path_segments(facts.said[<int>V_PATH].p, facts.said[<int>V_PATH].n, segments, &dotted):
        return at
    return phrase_add(out, at, room, segments[number].p, segments[number].n)


cdef uint32_t phrase_add_field(
    char* out, uint32_t at, uint32_t room, const Facts* facts, const char* name, uint32_t length
) noexcept:
    # Several lines are one value, joined (RFC 9110 section 5.3).
    cdef const Field* field
    cdef uint32_t begin = at
    cdef uint32_t i
    for i in range(facts.head.field_count):
        field = &facts.head.fields[i]
        if field.name_length == length and equals_lower(facts.p + field.name, name, length):
            if at != begin:
                at = phrase_add(out, at, room, b", ", 2)
            at = phrase_add(out, at, room, facts.p + field.value, field.value_length)
    return at


cdef uint32_t phrase_add_cookie(
    char* out, uint32_t at, uint32_t room, const Facts* facts, const char* name, uint32_t length
) noexcept:
    cdef Span span
    if not find_cookie(facts.p, facts.head, name, length, 0, &span):
        return at
    return phrase_add(out, at, room, facts.p + span.at, span.length)


cdef uint32_t slash_at(const char* s, uint32_t n) noexcept nogil:
    if n and (s[0] == c"/" or s[0] == c"\\"):
        return 1
    if n < 3 or s[0] != c"%":
        return 0
    return 3 if (s[1] == c"2" and (s[2] | 32) == c"f") or (s[1] == c"5" and (s[2] | 32) == c"c") else 0


cdef uint32_t segment_end(const char* p, uint32_t at, uint32_t n, uint32_t* name) noexcept nogil:
    while at < n and p[at] != c";" and slash_at(p + at, n - at) == 0:
        at += 1
    name[0] = at
    if at < n and p[at] == c";":
        while at < n and p[at] != c"/":
            at += 1
    return at


cdef uint32_t dots_of(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t dots = 0
    while n:
        if s[0] == c".":
            s += 1
            n -= 1
        elif n >= 3 and s[0] == c"%" and s[1] == c"2" and (s[2] | 32) == c"e":
            s += 3
            n -= 3
        else:
            return 0
        dots += 1
        if dots > 2:
            return 0
    return dots


cdef uint32_t path_segments(const char* p, uint32_t n, Slice* segments, bint* dotted) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t at = 0
    cdef uint32_t end, name, dots
    dotted[0] = False
    while at <= n:
        end = segment_end(p, at, n, &name)
        dots = dots_of(p + at, name - at)
        if dots:
            dotted[0] = True
            if dots == 2 and count:
                count -= 1
        elif name > at:
            if count < PHRASE_SEGMENTS:
                segments[count].p = p + at
                segments[count].n = end - at
            count += 1
        at = end + (slash_at(p + end, n - end) if end < n else 1)
    return count
