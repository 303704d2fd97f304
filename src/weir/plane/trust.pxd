# Which proxies are believed, and what they say of a request's client.

from libc.stdint cimport uint8_t, uint32_t

from weir.plane.head cimport Head
from weir.plane.origin cimport Origin

cdef enum:
    TRUSTED_HOPS = 32           # proxies on a request's way that are believed, at most

# An address with the length of its prefix; IPv4 in its place among IPv6, as in Origin.
cdef struct Network:
    uint8_t family
    uint8_t bits
    uint8_t bytes[16]

cdef class Networks:
    cdef Network* networks
    cdef readonly uint32_t count
    cdef readonly bint has_unix         # whoever comes by a Unix socket is one of them

    cdef bint has(self, const Origin* origin) noexcept nogil

# The client, as the trusted proxies tell: X-Forwarded-For is walked from its right end past those that are trusted.
# `origin` is the last hop, which is trusted; it becomes the first that is not, or the last that was told of by one
# that is. What is no address ends the walk.
cdef void walk_forwarded_for(const char* p, const Head* head, Networks trusted, Origin* origin) noexcept nogil

# Whether the head has one X-Forwarded-Proto, "http" or "https"; one X-Forwarded-Host that could be a Host.
cdef bint has_good_proto(const char* p, const Head* head) noexcept nogil
cdef bint has_good_host(const char* p, const Head* head) noexcept nogil
