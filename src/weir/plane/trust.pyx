"""Which proxies are believed, and what they say of a request's client.

What is hard here: X-Forwarded-For is written by many hands, and the leftmost may be anybody's. Each proxy vouches for
the address that it has seen, which it puts at the right end; so a walk from the right, past addresses whose owners are
trusted, comes to one that a trusted proxy has seen itself. Nothing to the left of that is looked at.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from weir.plane.head cimport F_X_FORWARDED_FOR, F_X_FORWARDED_HOST, F_X_FORWARDED_PROTO, Field, FieldId, Head
from weir.plane.host cimport is_host
from weir.plane.origin cimport O_IPV4, O_IPV6, O_UNIX, Origin, read_origin, shares_prefix
from weir.plane.text cimport equals_lower


cdef class Networks:
    """Networks of trusted proxies: `weir.config.plan.NetworkPlan`s."""

    def __cinit__(self, plans):
        cdef Network* network
        cdef const uint8_t* packed
        found = [plan for plan in plans if plan.packed]
        self.has_unix = len(found) < len(plans)
        self.networks = <Network*>malloc(max(len(found), 1) * sizeof(Network))
        if self.networks == NULL:
            raise MemoryError("trusted networks")
        for plan in found:
            network = &self.networks[self.count]
            packed = plan.packed
            memset(network, 0, sizeof(Network))
            network.family = O_IPV4 if plan.is_ipv4 else O_IPV6
            network.bits = plan.bits
            memcpy(network.bytes, packed, 16)
            self.count += 1

    def __dealloc__(self):
        free(self.networks)

    cdef bint has(self, const Origin* origin) noexcept nogil:
        cdef uint32_t i
        if origin.family == O_UNIX:
            return self.has_unix
        for i in range(self.count):
            # A network of IPv6 does not have IPv4's addresses in it, though it may seem so by their bytes.
            if origin.family == self.networks[i].family:
                if shares_prefix(origin.bytes, self.networks[i].bytes, self.networks[i].bits):
                    return True
        return False


cdef void walk_forwarded_for(const char* p, const Head* head, Networks trusted, Origin* origin) noexcept nogil:
    cdef uint32_t hops = 0
    cdef uint32_t i = head.field_count
    cdef uint32_t left = head.count[<int>F_X_FORWARDED_FOR]
    cdef uint32_t at, end
    cdef const Field* field
    cdef Origin said
    while left:
        i -= 1
        field = &head.fields[i]
        if field.id != F_X_FORWARDED_FOR:
            continue
        left -= 1
        end = field.value + field.value_length
        while end > field.value:
            at = end
            while at > field.value and p[at - 1] != c",":
                at -= 1
            if not trust_read_member(p, at, end, &said):
                return
            if said.family:
                origin[0] = said
                hops += 1
                if hops == TRUSTED_HOPS or not trusted.has(&said):
                    return
            end = at - 1 if at > field.value else at
        # (A comma at the very beginning: an empty member before it, which says nothing.)


cdef bint trust_read_member(const char* p, uint32_t at, uint32_t end, Origin* said) noexcept nogil:
    # False: it is no address. family 0: it is empty (RFC 9110 section 5.6.1.2), and the list goes on.
    said.family = 0
    while at < end and (p[at] == c" " or p[at] == c"\t"):
        at += 1
    while end > at and (p[end - 1] == c" " or p[end - 1] == c"\t"):
        end -= 1
    return at == end or read_origin(p + at, end - at, said)


cdef const Field* trust_only(const Head* head, FieldId known) noexcept nogil:
    if head.count[<int>known] != 1:
        return NULL
    return &head.fields[head.first[<int>known] - 1]


cdef bint has_good_proto(const char* p, const Head* head) noexcept nogil:
    cdef const Field* field = trust_only(head, F_X_FORWARDED_PROTO)
    if field == NULL:
        return False
    return (field.value_length == 4 and equals_lower(p + field.value, b"http", 4)) or (
        field.value_length == 5 and equals_lower(p + field.value, b"https", 5)
    )


cdef bint has_good_host(const char* p, const Head* head) noexcept nogil:
    cdef const Field* field = trust_only(head, F_X_FORWARDED_HOST)
    return field != NULL and is_host(p + field.value, field.value_length)
