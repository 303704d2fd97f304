"""Time in request fields: deadlines of clients, and X-Request-Start.

A client cannot be asked what it meant, so a deadline is read strictly: one field, nothing but digits, at most a day.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.head cimport F_OTHER, Field, Head
from weir.plane.text cimport lower, put_bytes, put_number, same_text

cdef enum:
    DIGITS_MOST = 8         # of DEADLINE_MOST_MS


cdef int64_t read_deadline(const char* p, const Head* head, const char* name, uint32_t n) noexcept nogil:
    cdef int64_t found = DEADLINE_NONE
    cdef int64_t value
    cdef uint32_t i, k
    cdef const Field* field
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.name_length != n or not same_text(p + field.name, name, n):
            continue
        if found != DEADLINE_NONE or not 0 < field.value_length <= DIGITS_MOST:
            return DEADLINE_BAD
        value = 0
        for k in range(field.value_length):
            if not c"0" <= p[field.value + k] <= c"9":
                return DEADLINE_BAD
            value = 10 * value + (p[field.value + k] - c"0")
        if value > DEADLINE_MOST_MS:
            return DEADLINE_BAD
        found = value
    return found


cdef inline char deadline_plain(char c) noexcept nogil:
    return c"-" if c == c"_" else lower(c)


cdef void drop_named(const char* p, Head* head, const char* name, uint32_t n) noexcept nogil:
    cdef uint32_t i, k
    cdef Field* field
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.name_length != n or field.id != F_OTHER:
            continue
        k = 0
        while k < n and deadline_plain(p[field.name + k]) == deadline_plain(name[k]):
            k += 1
        if k == n:
            field.drop = 1


cdef char* put_deadline(char* out, const char* name, uint32_t n, int64_t ms) noexcept nogil:
    out = put_bytes(out, name, n)
    out = put_bytes(out, b": ", 2)
    out = put_number(out, <uint64_t>ms)
    return put_bytes(out, b"\r\n", 2)


cdef char* put_request_start(char* out, int64_t wall_us) noexcept nogil:
    cdef int64_t rest = wall_us % 1_000_000
    cdef int k
    out = put_bytes(out, b"X-Request-Start: t=", 19)
    out = put_number(out, <uint64_t>(wall_us // 1_000_000))
    out[0] = c"."
    for k in range(6):
        out[6 - k] = <char>(c"0" + rest % 10)
        rest //= 10
    return put_bytes(out + 7, b"\r\n", 2)
