# Which host a request is for (RFC 9112 section 3.2).

from libc.stdint cimport uint32_t

from weir.plane.codes cimport Step
from weir.plane.head cimport Head

# DONE, or FAILED: Host is missing (HTTP/1.1), repeated, malformed, empty where the target has an authority, or not
# the authority of an absolute-form target (a default port may be left out).
cdef Step check_host(const char* p, const Head* head) noexcept nogil

# Whether s[0:n] is a host, with or without a port, as Host has it.
cdef bint is_host(const char* s, uint32_t n) noexcept nogil

# Writes an IPv6 address in brackets in host[0:n], which has many spellings ("[0:0::1]" is "[::1]"), in the one that
# `weir.config.route_kinds` has. The new length, 48 at most (there is room for it); what is no such address stays.
cdef uint32_t host_ipv6(char* host, uint32_t n) noexcept nogil
