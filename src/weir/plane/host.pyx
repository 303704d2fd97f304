"""Which host a request is for: exactly one, well-formed, the same in target and Host (RFC 9112 section 3.2).

What is hard here: the endpoint decides by Host what it serves, weir's routes may do so too, and an attacker lives
on the difference. So nothing is repaired: whatever two readers could take for two hosts is refused.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, strlen

from weir.plane.codes cimport DONE, FAILED, Step
from weir.plane.head cimport F_HOST, Field, Head, T_ABSOLUTE, T_ORIGIN
from weir.plane.syscalls cimport AF_INET6, inet_ntop, inet_pton
from weir.plane.text cimport equals_lower, lower, same_text

cdef enum:
    HOST_IPV6 = 48              # the longest spelling of an address has 45 characters, and a NUL


cdef inline bint host_is_hex(char c) noexcept nogil:
    return c"0" <= c <= c"9" or c"a" <= lower(c) <= c"f"


cdef inline bint host_is_name_char(char c) noexcept nogil:
    # reg-name of RFC 3986 without the comma, by which a list of hosts would be told.
    if c"a" <= lower(c) <= c"z" or c"0" <= c <= c"9" or c == c"-" or c == c"." or c == c"_" or c == c"~":
        return True
    return (
        c == c"!" or c == c"$" or c == c"&" or c == c"'" or c == c"(" or c == c")" or c == c"*" or c == c"+"
        or c == c";" or c == c"="
    )


cdef bint host_split(const char* s, uint32_t n, uint32_t* host_length) noexcept nogil:
    # uri-host [ ":" port ] (RFC 9110 section 7.2), not empty; *host_length: of what stands before the port.
    cdef uint32_t i = 0
    cdef uint32_t port = 0
    if n > 0 and s[0] == c"[":
        i = 1
        while i < n and (host_is_hex(s[i]) or s[i] == c":" or s[i] == c"."):
            i += 1
        if i < 3 or i == n or s[i] != c"]":
            return False
        i += 1
    else:
        while i < n:
            if s[i] == c"%":
                if n - i < 3 or not host_is_hex(s[i + 1]) or not host_is_hex(s[i + 2]):
                    return False
                i += 2
            elif not host_is_name_char(s[i]):
                break
            i += 1
    host_length[0] = i
    if i == 0 or (i < n and s[i] != c":"):
        return False
    for i in range(i + 1, n):
        if s[i] < c"0" or s[i] > c"9":
            return False
        port = port * 10 + <uint32_t>(s[i] - c"0")
        if port > 65535:
            return False
    return True


cdef bint is_host(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t length
    return host_split(s, n, &length)


cdef bint host_is_default_port(const char* port, uint32_t n, bint https) noexcept nogil:
    # `port` with its colon; an empty one is the default too (RFC 3986 section 3.2.3).
    if n <= 1:
        return True
    if https:
        return n == 4 and equals_lower(port, b":443", 4)
    return n == 3 and equals_lower(port, b":80", 3)


cdef Step check_host(const char* p, const Head* head) noexcept nogil:
    cdef const char* authority = p + head.authority_at
    cdef const char* host
    cdef const Field* field
    cdef uint32_t n = 0
    cdef uint32_t m = 0
    cdef bint https
    if head.count[<int>F_HOST] > 1 or (head.count[<int>F_HOST] == 0 and head.version_minor == 1):
        return FAILED
    if head.target_form == T_ABSOLUTE and not host_split(authority, head.authority_length, &m):
        return FAILED
    if head.count[<int>F_HOST] == 0:
        return DONE
    field = &head.fields[head.first[<int>F_HOST] - 1]
    host = p + field.value
    if not host_split(host, field.value_length, &n):
        # "OPTIONS *" has no authority to name; everything else does (RFC 9112 section 3.2).
        return DONE if field.value_length == 0 and head.target_form not in (T_ORIGIN, T_ABSOLUTE) else FAILED
    if head.target_form != T_ABSOLUTE:
        return DONE
    # A target that says one host and a Host that says another are not repaired by taking one of them.
    if n != m or not same_text(host, authority, n):
        return FAILED
    https = p[head.target_at + 4] != c":"
    if host_is_default_port(host + n, field.value_length - n, https):
        return DONE if host_is_default_port(authority + n, head.authority_length - n, https) else FAILED
    if field.value_length == head.authority_length and same_text(host, authority, head.authority_length):
        return DONE
    return FAILED


cdef uint32_t host_ipv6(char* host, uint32_t n) noexcept nogil:
    cdef char text[HOST_IPV6]
    cdef char address[16]
    if n < 4 or n > HOST_IPV6 or host[n - 1] != c"]":
        return n
    memcpy(text, host + 1, n - 2)
    text[n - 2] = 0
    if inet_pton(AF_INET6, text, address) != 1 or inet_ntop(AF_INET6, address, text, HOST_IPV6) == NULL:
        return n
    n = <uint32_t>strlen(text)
    memcpy(host + 1, text, n)
    host[n + 1] = c"]"
    return n + 2
