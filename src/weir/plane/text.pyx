"""Comparing bytes of a message with names, as HTTP compares them (ASCII case does not count), and writing bytes."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef bint list_has_token(const char* value, uint32_t n, const char* token, uint32_t m) noexcept nogil:
    cdef uint32_t i = 0
    cdef uint32_t at, stop
    cdef bint quoted
    while i < n:
        if value[i] == c"," or value[i] == c" " or value[i] == c"\t":
            i += 1
            continue
        at = i
        while i < n and value[i] != c"," and value[i] != c";":
            i += 1
        stop = i
        while stop > at and (value[stop - 1] == c" " or value[stop - 1] == c"\t"):
            stop -= 1
        if stop - at == m and equals_lower(value + at, token, m):
            return True
        quoted = False
        while i < n and (quoted or value[i] != c","):
            if value[i] == c"\"":
                quoted = not quoted
            elif quoted and value[i] == c"\\" and i + 1 < n:
                i += 1
            i += 1
    return False


cdef char* put_ms(char* out, int64_t us) noexcept nogil:
    cdef uint32_t rest = <uint32_t>(us % 1000)
    out = put_number(out, <uint64_t>us // 1000)
    out[0] = c"."
    out[1] = <char>(c"0" + rest // 100)
    out[2] = <char>(c"0" + rest // 10 % 10)
    out[3] = <char>(c"0" + rest % 10)
    return out + 4
