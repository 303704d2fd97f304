# What a request is bound to an endpoint by: the key of a cluster's policy "hash", taken from the parsed head.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from weir.plane.head cimport Head
from weir.plane.upstream cimport UpstreamUser

cpdef enum KeyKind:
    KEY_CLIENT = 0
    KEY_PATH = 1
    KEY_HOST = 2
    KEY_COOKIE = 3
    KEY_FIELD = 4

cdef class KeyRule:
    cdef KeyKind kind
    cdef bytes name                     # of the cookie or field
    # The hash of a request's key, in *key; False: it has none. `p` is where the head stands.
    cdef bint hash(
        self, const char* p, const Head* head, const char* client, uint32_t client_length, uint64_t* key
    ) noexcept
    # Sets the user's key, or that it has none.
    cdef void take(
        self, const char* p, const Head* head, const char* client, uint32_t client_length, UpstreamUser user
    ) noexcept

# The same on all workers, machines and days: no seed. Whoever chooses keys chooses endpoints with them anyhow.
cdef inline uint64_t hash_bytes(const char* p, uint32_t n) noexcept nogil:
    cdef uint64_t hash = <uint64_t>0x9E3779B97F4A7C15 ^ n
    cdef uint64_t word
    while n >= 8:
        memcpy(&word, p, 8)
        hash = (hash ^ word) * <uint64_t>0xBF58476D1CE4E5B9
        hash ^= hash >> 32
        p += 8
        n -= 8
    if n:
        word = 0
        memcpy(&word, p, n)
        hash = (hash ^ word) * <uint64_t>0xBF58476D1CE4E5B9
        hash ^= hash >> 32
    hash *= <uint64_t>0x94D049BB133111EB
    return hash ^ hash >> 31
