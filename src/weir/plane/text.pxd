# Comparing bytes of a message with names, as HTTP compares them (ASCII case does not count), and writing bytes.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef inline char lower(char c) noexcept nogil:
    return c + 32 if c"A" <= c <= c"Z" else c

# s[0:n] with `model` (lower case, n bytes).
cdef inline bint equals_lower(const char* s, const char* model, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if lower(s[i]) != model[i]:
            return False
    return True

# a[0:n] with b[0:n].
cdef inline bint same_text(const char* a, const char* b, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if lower(a[i]) != lower(b[i]):
            return False
    return True

# True when the comma-separated list in value[0:n] has `token` (lower case, m bytes) as a member; parameters
# after ';' are not looked at. Empty members are allowed (RFC 9110 section 5.6.1.2).
cdef bint list_has_token(const char* value, uint32_t n, const char* token, uint32_t m) noexcept nogil

# Each writes at `out` and returns the place after it.
cdef inline char* put_bytes(char* out, const char* s, uint32_t n) noexcept nogil:
    memcpy(out, s, n)
    return out + n

cdef inline char* put_number(char* out, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef uint32_t i = 20
    while True:
        i -= 1
        digits[i] = <char>(c"0" + value % 10)
        value //= 10
        if value == 0:
            break
    return put_bytes(out, digits + i, 20 - i)

# Microseconds (0 or more) as milliseconds with three decimals.
cdef char* put_ms(char* out, int64_t us) noexcept nogil
