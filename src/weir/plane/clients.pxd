# How many connections each client has: a table of those that have any.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from weir.plane.origin cimport Origin

cdef struct Client:
    uint8_t bytes[16]           # the address, what is behind its prefix left out
    uint32_t count              # 0: an empty place

cdef class ClientTable:
    cdef Client* _places        # open addressing, at most half full: _mask + 1 places
    cdef uint32_t _mask
    cdef readonly uint32_t clients      # who is in it
    cdef readonly uint64_t held         # the sum of their counts
    cdef uint32_t _most                 # for each client
    cdef uint32_t _ipv6_bits            # of an IPv6 address, that make a client
    cdef uint64_t _seed

    # One more for this client. False: it has as many as it may have, and nothing was counted. MemoryError.
    cdef bint enter(self, const Origin* origin) except -1
    # One less, of one that was counted.
    cdef void leave(self, const Origin* origin) noexcept

    cdef uint32_t _home(self, const uint8_t* address) noexcept nogil
    cdef uint32_t _find(self, const uint8_t* address) noexcept nogil
    cdef int _grow(self) except -1
    cdef void _key(self, const Origin* origin, uint8_t* address) noexcept nogil
