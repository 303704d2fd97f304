"""Which requests a rule is about.

What is hard here is the path. `/login`, `//login`, `/%6Cogin` and `/a/../login` are the same to many an endpoint, and a
limit that took only the first would be none. So what is compared is what the path leads to; where endpoints read it in
two ways (an encoded slash, a backslash, what follows a semicolon), the reading that a rule takes: of servers that take
`/login;x` and `/a/..;/login` for `/login` there are many, and to others these are names that nobody has.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp

from weir.plane.head cimport F_OTHER, M_OTHER, Field, Head, known_name
from weir.plane.text cimport equals_lower, lower

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* The high bit of each byte of v that is c; exactly, and on machines of either byte order. */
    static inline uint64_t weir_bytes_that_are(uint64_t v, unsigned char c) {
        v ^= 0x0101010101010101ULL * c;
        return ~(((v & 0x7F7F7F7F7F7F7F7FULL) + 0x7F7F7F7F7F7F7F7FULL) | v) & 0x8080808080808080ULL;
    }
    /* No percent sign, semicolon or backslash in p[1:n], and no slash that a slash or a dot follows: eight pairs at a
       time, the last eight overlapping what is done. */
    static inline int weir_is_plain(const char *p, uint32_t n) {
        uint64_t here, next, found = 0;
        uint32_t i;
        if (n < 9) {
            for (i = 1; i < n; i++)
                if (p[i] == '%' || p[i] == ';' || p[i] == 0x5C || (p[i - 1] == '/' && (p[i] == '/' || p[i] == '.')))
                    return 0;
            return 1;
        }
        for (i = 0; ; i = i + 17 <= n ? i + 8 : n - 9) {
            memcpy(&here, p + i, 8);
            memcpy(&next, p + i + 1, 8);
            found |= weir_bytes_that_are(next, '%') | weir_bytes_that_are(next, ';') | weir_bytes_that_are(next, 0x5C);
            found |= weir_bytes_that_are(here, '/') & (weir_bytes_that_are(next, '/') | weir_bytes_that_are(next, '.'));
            if (i + 9 == n)
                return found == 0;
        }
    }
    """
    bint weir_is_plain(const char* p, uint32_t n) noexcept nogil

_METHODS = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT")     # by Method


cdef class FieldName:
    """A field's name, in any case."""

    def __cinit__(self, str name):
        self.name = name.lower().encode()
        self.known = known_name(self.name, <uint32_t>len(self.name))
        self.parted = b"-" in self.name

    cdef int find(self, const Asked* asked) noexcept:
        cdef const Head* head = asked.head
        cdef const char* name = self.name
        cdef const Field* field
        cdef uint32_t length = <uint32_t>len(self.name)
        cdef int found = FIELD_MISSING
        cdef uint32_t i
        if self.known != F_OTHER:
            if head.count[<int>self.known] > 1:
                return FIELD_SEVERAL
            found = <int>head.first[<int>self.known] - 1
            if not self.parted:
                return found
        for i in range(head.field_count):
            field = &head.fields[i]
            if field.id != F_OTHER or field.name_length != length or not filter_is_spelled(
                asked.p + field.name, name, length
            ):
                continue
            if found >= 0 or not equals_lower(asked.p + field.name, name, length):
                return FIELD_SEVERAL
            found = <int>i
        return found


cdef bint filter_is_spelled(const char* s, const char* name, uint32_t n) noexcept nogil:
    # Whether s[0:n] is `name` in any case, also with "_" for "-" or the other way round.
    cdef uint32_t i
    cdef char c
    for i in range(n):
        c = lower(s[i])
        if c != name[i] and not ((c == c"_" or c == c"-") and (name[i] == c"_" or name[i] == c"-")):
            return False
    return True


cdef class Filter:
    """`methods` (none: all), `prefix` of the path ("": all), `field` ("Name" or "Name: value"; "": all)."""

    def __cinit__(self, methods=(), str prefix="", str field="", *_more, **_options):
        cdef char* out
        cdef bytes path = prefix.encode()
        cdef bytearray plain = bytearray(len(path) + 1)
        for method in methods:
            if method in _METHODS:
                self.known_methods |= <uint32_t>1 << <int>_METHODS.index(method)
        self.other_methods = tuple([method.encode() for method in methods if method not in _METHODS])
        if self.other_methods:
            self.known_methods |= <uint32_t>1 << <int>M_OTHER
        out = plain
        self.prefix = bytes(plain[:plain_path(path, <uint32_t>len(path), out)]) if path else b""
        name, colon, value = field.partition(":")
        self.field = FieldName(name.strip()) if field else None
        self.value = value.strip().encode() if colon else None
        self.all = not (self.known_methods or self.prefix or field)

    cdef bint takes(self, const Asked* asked) noexcept:
        cdef const Head* head = asked.head
        cdef const char* path = asked.p + head.path_at
        cdef uint32_t n = head.path_length
        cdef uint32_t wanted = <uint32_t>len(self.prefix)
        cdef int line
        cdef bytes method
        if self.all:
            return True
        if self.known_methods and not self.known_methods >> head.method & 1:
            return False
        if self.known_methods and head.method == M_OTHER:
            for method in self.other_methods:
                if <uint32_t>len(method) == head.method_length and memcmp(
                    <const char*>method, asked.p + head.method_at, head.method_length
                ) == 0:
                    break
            else:
                return False
        if wanted:
            if not filter_is_plain(path, n):
                n = plain_path(path, n, asked.scratch)
                path = asked.scratch
            if n < wanted or memcmp(path, <const char*>self.prefix, wanted):
                return False
        if self.field is not None:
            line = self.field.find(asked)
            if line == FIELD_MISSING:
                return False
            if self.value is not None:
                return line >= 0 and head.fields[line].value_length == <uint32_t>len(self.value) and memcmp(
                    asked.p + head.fields[line].value, <const char*>self.value, len(self.value)
                ) == 0
        return True


cdef bint filter_is_plain(const char* p, uint32_t n) noexcept nogil:
    return n != 0 and p[0] == c"/" and weir_is_plain(p, n)


cdef int filter_hex(char c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"a" <= c | 32 <= c"f":
        return (c | 32) - c"a" + 10
    return -1


cdef uint32_t plain_path(const char* p, uint32_t n, char* out) noexcept nogil:
    cdef uint32_t at = 0                # of p
    cdef uint32_t end = 1               # of out
    cdef uint32_t segment = 1           # where the last segment of out begins: behind a slash
    cdef uint32_t length
    cdef char c
    out[0] = c"/"
    while at <= n:
        c = p[at] if at < n else c"/"
        if c == c"%" and at + 2 < n and filter_hex(p[at + 1]) >= 0 and filter_hex(p[at + 2]) >= 0:
            c = <char>(filter_hex(p[at + 1]) << 4 | filter_hex(p[at + 2]))
            at += 2
        elif c == c";":
            while at < n and p[at] != c"/":
                at += 1
            c = c"/"
        if c == c"/" or c == c"\\":
            length = end - segment
            if length == 1 and out[segment] == c".":
                end = segment
            elif length == 2 and out[segment] == c"." and out[segment + 1] == c".":
                end = segment
                if end > 1:
                    end -= 1
                    while out[end - 1] != c"/":
                        end -= 1
            elif length and at < n:
                out[end] = c"/"
                end += 1
            segment = end
        else:
            out[end] = c
            end += 1
        at += 1
    return end


def plain(path: bytes) -> bytes:
    """What a path leads to, as rules compare it; for tests."""
    cdef bytearray out = bytearray(len(path) + 1)
    return bytes(out[:plain_path(path, <uint32_t>len(path), out)])
