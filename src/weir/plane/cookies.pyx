"""Cookies of a request. What is no pair is passed over: browsers send whatever was once set."""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp

from weir.plane.head cimport F_OTHER, Field, Head
from weir.plane.text cimport equals_lower, put_bytes

# One part of a Cookie field, between semicolons.
cdef struct Crumb:
    uint32_t at             # the whole of it, white space around it left out
    uint32_t length
    uint32_t name_length    # up to the equals sign; 0: it has none
    uint32_t next           # where the part after it begins; `end` of the value: there is none


cdef inline bint cookie_is_space(char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef void cookie_next(const char* p, uint32_t at, uint32_t end, Crumb* crumb) noexcept nogil:
    # The part that begins at `at`, of a value that ends at `end`.
    cdef uint32_t stop = at
    while stop < end and p[stop] != c";":
        stop += 1
    crumb.next = stop + 1 if stop < end else end
    while at < stop and cookie_is_space(p[at]):
        at += 1
    while stop > at and cookie_is_space(p[stop - 1]):
        stop -= 1
    crumb.at = at
    crumb.length = stop - at
    crumb.name_length = 0
    while at < stop and p[at] != c"=":
        at += 1
    if at < stop:
        crumb.name_length = at - crumb.at


cdef inline bint cookie_is(const char* p, const Crumb* crumb, const char* name, uint32_t n) noexcept nogil:
    return crumb.name_length == n and n > 0 and memcmp(p + crumb.at, name, n) == 0


cdef bint is_cookie_field(const char* p, const Field* field) noexcept nogil:
    return field.id == F_OTHER and field.name_length == 6 and equals_lower(p + field.name, b"cookie", 6)


cdef bint find_cookie(
    const char* p, const Head* head, const char* name, uint32_t n, uint32_t nth, Span* value
) noexcept nogil:
    cdef const Field* field
    cdef Crumb crumb
    cdef uint32_t i, at, end
    for i in range(head.field_count):
        field = &head.fields[i]
        if not is_cookie_field(p, field):
            continue
        at = field.value
        end = at + field.value_length
        while at < end:
            cookie_next(p, at, end, &crumb)
            at = crumb.next
            if not cookie_is(p, &crumb, name, n):
                continue
            if nth == 0:
                value.at = crumb.at + n + 1
                value.length = crumb.length - n - 1
                return True
            nth -= 1
    return False


cdef bint has_cookie(const char* p, const Field* field, const char* name, uint32_t n) noexcept nogil:
    cdef uint32_t at = field.value
    cdef uint32_t end = at + field.value_length
    cdef Crumb crumb
    while at < end:
        cookie_next(p, at, end, &crumb)
        if cookie_is(p, &crumb, name, n):
            return True
        at = crumb.next
    return False


cdef uint32_t put_other_cookies(
    char* out, const char* p, const Field* field, const char* name, uint32_t n
) noexcept nogil:
    cdef char* start = out
    cdef uint32_t at = field.value
    cdef uint32_t end = at + field.value_length
    cdef Crumb crumb
    while at < end:
        cookie_next(p, at, end, &crumb)
        at = crumb.next
        if crumb.length == 0 or cookie_is(p, &crumb, name, n):
            continue
        if out != start:
            # As it was written, so that it never becomes longer.
            out = put_bytes(out, b"; ", 2 if cookie_is_space(p[crumb.at - 1]) else 1)
        out = put_bytes(out, p + crumb.at, crumb.length)
    return <uint32_t>(out - start)
