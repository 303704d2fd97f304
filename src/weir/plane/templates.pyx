"""The template of a path: its identifiers replaced, so that what differs in them alone is one series.

A path is taken apart at its slashes. A segment of at most TEMPLATE_BYTES that has a digit is an identifier, written
`{id}`, if it is

- a number: digits; or eight or more of them in groups, with one hyphen between two groups (an ISBN, an order number);
- hexadecimal: eight or more digits and letters from a to f; or a UUID (8-4-4-4-12 of them);
- a long token: 16 or more letters, digits and -, _, ~, =, with four or more changes inside. A change is a letter beside
  a digit, or a capital letter directly after a small one, unless a small letter follows: that is how a word begins. One
  change at least is of the first kind.

A date (four, two and two digits with hyphens, alone or with a time: T, a digit, anything) is written `{date}`. What
follows the last dot is left as it is, if it is one to eight letters and digits, the first a letter: `{id}.json`.

All other segments are words. They stay as they are: version numbers, percent-encoded text, empty segments and dots.

A template that would be longer than TEMPLATE_BYTES ends after the last whole segment that leaves room for `/{more}`,
which stands for the rest. So a name is never longer than the table shows, and a long path has no series of its own.

What is hard here is where to draw the line of a token. Every token that is missed takes a row for good, every word that
is taken for one loses its row. Four changes between letters and digits alone miss a quarter of all nanoids (21 random
characters, mostly letters), and counting all capitals takes `CreateS3BucketForUser` for one. With the rule above 7 % of
nanoids are missed, 6 % of UUIDs in base64, 0.3 % of ULIDs, and of 560 000 names of packages, which look like the words
of paths, 0.1 % are taken for tokens, not counting those that have a hash inside.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint64_t weir_digits8(const char *p) {
        uint64_t v;
        memcpy(&v, p, 8);
        v ^= 0x3030303030303030ULL;     /* digits become 0 to 9; adding 0x76 carries from 10 on */
        return ~(((v & 0x7F7F7F7F7F7F7F7FULL) + 0x7676767676767676ULL) | v) & 0x8080808080808080ULL;
    }
    /* Is there a digit in p[0:n]? Eight bytes at a time, the last eight overlapping what is done. */
    static inline int weir_has_digit(const char *p, uint32_t n) {
        uint32_t i;
        if (n < 8) {
            for (i = 0; i < n; i++)
                if ((unsigned char)(p[i] - '0') < 10)
                    return 1;
            return 0;
        }
        for (i = 0; i + 8 <= n; i += 8)
            if (weir_digits8(p + i))
                return 1;
        return weir_digits8(p + n - 8) != 0;
    }
    """
    bint weir_has_digit(const char* p, uint32_t n) noexcept nogil

cdef enum:
    IS_DIGIT = 1
    IS_HEX_LETTER = 2
    IS_OTHER_LETTER = 4
    IS_HYPHEN = 8
    IS_TOKEN_MARK = 16          # _ ~ =
    IS_DOT = 32
    IS_OTHER = 64
    IS_CAPITAL = 128            # beside one of the letters
    IS_LETTER = IS_HEX_LETTER | IS_OTHER_LETTER
    IS_TOKEN = IS_DIGIT | IS_LETTER | IS_HYPHEN | IS_TOKEN_MARK | IS_CAPITAL

    HEX_DIGITS = 8              # a shorter one is too often a word
    GROUPED_DIGITS = 8          # 24-7 and 2024-05 are words
    TOKEN_BYTES = 16
    TOKEN_CHANGES = 4
    EXTENSION_BYTES = 8

    KIND_WORD = 0
    KIND_ID = 1
    KIND_DATE = 2

    MORE_BYTES = 7              # of "/{more}"

cdef uint8_t CLASS[256]


cdef void templates_fill() noexcept:
    cdef int c
    for c in range(256):
        if c"0" <= c <= c"9":
            CLASS[c] = IS_DIGIT
        elif c"a" <= (c | 32) <= c"z" and c < 128:
            CLASS[c] = IS_HEX_LETTER if (c | 32) <= c"f" else IS_OTHER_LETTER
            if c < c"a":
                CLASS[c] |= IS_CAPITAL
        elif c == c"-":
            CLASS[c] = IS_HYPHEN
        elif c == c"_" or c == c"~" or c == c"=":
            CLASS[c] = IS_TOKEN_MARK
        else:
            CLASS[c] = IS_DOT if c == c"." else IS_OTHER


templates_fill()


cdef inline uint8_t class_of(char c) noexcept nogil:
    return CLASS[<uint8_t>c]


cdef uint32_t template_of(const char* p, uint32_t n, char* out) noexcept nogil:
    cdef uint32_t at = 0        # of the segment
    cdef uint32_t end
    cdef uint32_t name          # bytes of the segment without its extension
    cdef uint32_t copied = 0    # p[0:copied] stands in out[0:size], as far as it goes
    cdef uint32_t size = 0
    cdef uint32_t length        # of the template so far: `size`, and what is still to be copied
    cdef uint32_t cut = 0       # its length after the last segment that leaves room for the mark
    cdef uint8_t seen
    cdef int kind
    cdef const char* mark
    cdef uint32_t mark_bytes
    if n <= TEMPLATE_BYTES and not weir_has_digit(p, n):
        return 0                # the usual case
    while True:
        end = at
        seen = 0
        while end < n and p[end] != c"/" and end - at <= TEMPLATE_BYTES:
            seen |= class_of(p[end])
            end += 1
        if seen & IS_DIGIT and end - at <= TEMPLATE_BYTES:
            name = end - at
            kind = segment_kind(p + at, &name, seen)
            if kind != KIND_WORD:
                mark = b"{id}" if kind == KIND_ID else b"{date}"
                mark_bytes = 4 if kind == KIND_ID else 6
                if size + (at - copied) + mark_bytes > TEMPLATE_BYTES:
                    break
                memcpy(out + size, p + copied, at - copied)
                size += at - copied
                memcpy(out + size, mark, mark_bytes)
                size += mark_bytes
                copied = at + name
        length = size + (end - copied)
        if length > TEMPLATE_BYTES:
            break
        if length <= TEMPLATE_BYTES - MORE_BYTES:
            cut = length
        if end == n:
            if copied == 0:
                return 0
            memcpy(out + size, p + copied, n - copied)
            return length
        at = end + 1
    if cut > size:
        memcpy(out + size, p + copied, cut - size)
    memcpy(out + cut, b"/{more}", MORE_BYTES)
    return cut + MORE_BYTES


cdef int segment_kind(const char* s, uint32_t* length, uint8_t seen) noexcept nogil:
    # What s[0:length] is, which has a digit and whose classes are `seen`; *length becomes that without the extension.
    cdef uint32_t n = length[0]
    if seen & IS_DOT:
        n = without_extension(s, n, &seen)
        length[0] = n
    if seen == IS_DIGIT:
        return KIND_ID
    if not seen & IS_DIGIT:
        return KIND_WORD        # it was the extension's
    if is_date(s, n):
        return KIND_DATE
    if n < HEX_DIGITS or seen & ~<uint32_t>IS_TOKEN:
        return KIND_WORD
    if not seen & (IS_OTHER_LETTER | IS_TOKEN_MARK):
        if not seen & IS_HYPHEN:
            return KIND_ID      # hexadecimal
        if is_grouped_number(s, n) or is_uuid(s, n):
            return KIND_ID
    return KIND_ID if is_token(s, n) else KIND_WORD


cdef uint32_t without_extension(const char* s, uint32_t n, uint8_t* seen) noexcept nogil:
    # The length of s[0:n] without its extension, and the classes of what is left; n if it has none.
    cdef uint32_t dot = n - 1
    cdef uint32_t i
    while s[dot] != c".":
        if not class_of(s[dot]) & (IS_LETTER | IS_DIGIT) or dot == 0 or n - dot > EXTENSION_BYTES:
            return n
        dot -= 1
    if dot == 0 or dot == n - 1 or class_of(s[dot + 1]) & IS_DIGIT:
        return n
    seen[0] = 0
    for i in range(dot):
        seen[0] |= class_of(s[i])
    return dot


cdef bint has_shape(const char* s, const char* shape, uint32_t n) noexcept nogil:
    # s[0:n] with a shape in which d is a digit, h a hexadecimal digit and anything else itself.
    cdef uint32_t i
    for i in range(n):
        if shape[i] == c"d":
            if not class_of(s[i]) & IS_DIGIT:
                return False
        elif shape[i] == c"h":
            if not class_of(s[i]) & (IS_DIGIT | IS_HEX_LETTER):
                return False
        elif s[i] != shape[i]:
            return False
    return True


cdef inline bint is_date(const char* s, uint32_t n) noexcept nogil:
    if n < 10 or not has_shape(s, b"dddd-dd-dd", 10):
        return False
    return n == 10 or (n >= 12 and has_shape(s + 10, b"Td", 2))


cdef inline bint is_uuid(const char* s, uint32_t n) noexcept nogil:
    return n == 36 and has_shape(s, b"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh", 36)


cdef bint is_grouped_number(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t digits = 0
    cdef uint32_t i
    for i in range(n):
        if class_of(s[i]) & IS_DIGIT:
            digits += 1
        elif s[i] != c"-" or i == 0 or i == n - 1 or s[i - 1] == c"-":
            return False
    return digits >= GROUPED_DIGITS


cdef bint is_token(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t digits = 0        # changes between a letter and a digit
    cdef uint32_t capitals = 0
    cdef uint32_t i
    cdef uint8_t before, here
    if n < TOKEN_BYTES:
        return False
    here = class_of(s[0])
    for i in range(1, n):
        before = here
        here = class_of(s[i])
        if (before & IS_DIGIT and here & IS_LETTER) or (before & IS_LETTER and here & IS_DIGIT):
            digits += 1
        elif here & IS_CAPITAL and is_small(before) and not (i + 1 < n and is_small(class_of(s[i + 1]))):
            capitals += 1
    return digits >= 1 and digits + capitals >= TOKEN_CHANGES


cdef inline bint is_small(uint8_t seen) noexcept nogil:
    return seen & IS_LETTER and not seen & IS_CAPITAL


def template(path: bytes, repeat: int = 1) -> bytes:
    """The template of a path, the path itself if it has no identifier; made `repeat` times, for measurements."""
    cdef char out[TEMPLATE_BYTES]
    cdef const char* p = path
    cdef uint32_t n = <uint32_t>len(path)
    cdef uint32_t length = 0
    cdef int64_t turns = repeat
    cdef int64_t _i
    with nogil:
        for _i in range(turns):
            length = template_of(p, n, out)
    return out[:length] if length else path
