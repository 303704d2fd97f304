"""The key of a request, for a cluster whose policy is "hash"."""

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.cookies cimport Span, find_cookie
from weir.plane.head cimport F_HOST, Head
from weir.plane.text cimport lower, same_text
from weir.plane.upstream cimport UpstreamUser

_KINDS = {"client": KEY_CLIENT, "path": KEY_PATH, "host": KEY_HOST, "cookie": KEY_COOKIE, "field": KEY_FIELD}

cdef enum:
    HOST_MOST = 256         # bytes of a Host that are looked at; names are shorter


cdef class KeyRule:
    """What `weir.config.plan.ClusterPlan.hash_by` says."""

    def __cinit__(self, str text not None):
        kind, _, name = text.partition(":")
        self.kind = _KINDS[kind]
        self.name = name.encode()

    cdef void take(
        self, const char* p, const Head* head, const char* client, uint32_t client_length, UpstreamUser user
    ) noexcept:
        user.keyed = self.hash(p, head, client, client_length, &user.key)

    cdef bint hash(
        self, const char* p, const Head* head, const char* client, uint32_t client_length, uint64_t* key
    ) noexcept:
        cdef Span span
        cdef uint32_t i
        cdef uint32_t n = <uint32_t>len(self.name)
        cdef char host[HOST_MOST]
        span.at = span.length = 0
        if self.kind == KEY_CLIENT:
            if client_length:
                key[0] = hash_bytes(client, client_length)
            return client_length != 0
        if self.kind == KEY_PATH:
            span.at = head.path_at
            span.length = head.path_length
        elif self.kind == KEY_HOST:
            if head.authority_length:
                span.at = head.authority_at
                span.length = head.authority_length
            elif head.first[<int>F_HOST]:
                span.at = head.fields[head.first[<int>F_HOST] - 1].value
                span.length = head.fields[head.first[<int>F_HOST] - 1].value_length
            n = min(span.length, <uint32_t>HOST_MOST)
            for i in range(n):
                host[i] = lower(p[span.at + i])
            if n:
                key[0] = hash_bytes(host, n)
            return n != 0
        elif self.kind == KEY_COOKIE:
            find_cookie(p, head, self.name, n, 0, &span)
        else:
            for i in range(head.field_count):
                if head.fields[i].name_length == n and same_text(p + head.fields[i].name, self.name, n):
                    span.at = head.fields[i].value
                    span.length = head.fields[i].value_length
                    break
        if span.length:
            key[0] = hash_bytes(p + span.at, span.length)
        return span.length != 0
