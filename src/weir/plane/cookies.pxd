# Cookies of a request (RFC 6265 section 5.4): found in a parsed head, and taken out of it.

from libc.stdint cimport uint32_t

from weir.plane.head cimport Field, Head

# Where a value stands in the head.
cdef struct Span:
    uint32_t at
    uint32_t length

# Whether a field line is one of Cookie.
cdef bint is_cookie_field(const char* p, const Field* field) noexcept nogil
# The `nth` cookie of that name, from 0; False: there are not so many.
cdef bint find_cookie(
    const char* p, const Head* head, const char* name, uint32_t n, uint32_t nth, Span* value
) noexcept nogil
# Whether a field has a cookie of that name; and its value without those, written at out (at most value_length bytes).
cdef bint has_cookie(const char* p, const Field* field, const char* name, uint32_t n) noexcept nogil
cdef uint32_t put_other_cookies(
    char* out, const char* p, const Field* field, const char* name, uint32_t n
) noexcept nogil
