"""Comparing bytes of a message with names, as HTTP compares them: ASCII case does not count."""

from libc.stdint cimport uint32_t


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
