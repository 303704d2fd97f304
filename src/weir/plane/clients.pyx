"""How many connections each client has.

What is hard here: a client chooses its addresses. A table that kept those that have gone could be filled, and one
whose places could be foretold could be made slow; so it has those only that are connected now, which `max_connections`
bounds, and a random seed chooses their places.
"""

import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from weir.plane.debug cimport invariant
from weir.plane.origin cimport O_IPV6, Origin, read_origin

cdef enum:
    FIRST_PLACES = 64


cdef class ClientTable:
    """Counts of clients: at most `most` for each; of an IPv6 address the first `ipv6_bits` make a client."""

    def __cinit__(self, uint32_t most, uint32_t ipv6_bits):
        self._most = most
        self._ipv6_bits = ipv6_bits
        self._seed = int.from_bytes(os.urandom(8), "little") | 1
        self._mask = FIRST_PLACES - 1
        self._places = <Client*>calloc(FIRST_PLACES, sizeof(Client))
        if self._places == NULL:
            raise MemoryError("the table of clients")

    def __dealloc__(self):
        free(self._places)

    cdef void _key(self, const Origin* origin, uint8_t* address) noexcept nogil:
        cdef uint32_t bits = self._ipv6_bits if origin.family == O_IPV6 else 128
        cdef uint32_t whole = bits >> 3
        memset(address, 0, 16)
        memcpy(address, origin.bytes, whole)
        if bits & 7:
            address[whole] = origin.bytes[whole] & <uint8_t>(0xFF00 >> (bits & 7))

    cdef uint32_t _home(self, const uint8_t* address) noexcept nogil:
        # Multiply and xor by turns, from a seed nobody outside knows.
        cdef uint64_t a, b
        memcpy(&a, address, 8)
        memcpy(&b, address + 8, 8)
        a = (a ^ self._seed) * <uint64_t>0x9E3779B97F4A7C15
        a ^= a >> 32
        a = (a ^ b) * self._seed
        a ^= a >> 29
        a *= <uint64_t>0xBF58476D1CE4E5B9
        return <uint32_t>(a >> 32) & self._mask

    cdef uint32_t _find(self, const uint8_t* address) noexcept nogil:
        # Where the client is, or the empty place where it would be.
        cdef uint32_t at = self._home(address)
        while self._places[at].count and memcmp(self._places[at].bytes, address, 16) != 0:
            at = (at + 1) & self._mask
        return at

    cdef bint enter(self, const Origin* origin) except -1:
        cdef uint8_t address[16]
        cdef uint32_t at
        self._key(origin, address)
        at = self._find(address)
        if self._places[at].count >= self._most:
            return False
        if self._places[at].count == 0:
            if 2 * (self.clients + 1) > self._mask + 1:
                self._grow()
                at = self._find(address)
            memcpy(self._places[at].bytes, address, 16)
            self.clients += 1
        self._places[at].count += 1
        self.held += 1
        return True

    cdef void leave(self, const Origin* origin) noexcept:
        cdef uint8_t address[16]
        cdef uint32_t at, hole
        self._key(origin, address)
        at = self._find(address)
        invariant(self._places[at].count > 0)
        if self._places[at].count == 0:
            return
        self.held -= 1
        self._places[at].count -= 1
        if self._places[at].count:
            return
        self.clients -= 1
        # Whoever was put further on because this place was taken moves up, or would not be found any more.
        hole = at
        while True:
            at = (at + 1) & self._mask
            if self._places[at].count == 0:
                return
            if ((at - self._home(self._places[at].bytes)) & self._mask) >= ((at - hole) & self._mask):
                self._places[hole] = self._places[at]
                self._places[at].count = 0
                hole = at

    cdef int _grow(self) except -1:
        cdef Client* old = self._places
        cdef uint32_t count = self._mask + 1
        cdef Client* larger = <Client*>calloc(2 * count, sizeof(Client))
        cdef uint32_t i
        if larger == NULL:
            raise MemoryError("the table of clients")
        self._places = larger
        self._mask = 2 * count - 1
        for i in range(count):
            if old[i].count:
                larger[self._find(old[i].bytes)] = old[i]
        free(old)
        return 0

    # For tests.

    def change(self, str address not None, bint comes):
        """One connection of a client more or less; False: it may not have one more."""
        cdef Origin origin
        raw = address.encode()
        if not read_origin(raw, len(raw), &origin):
            raise ValueError(f"no address: {address!r}")
        if comes:
            return self.enter(&origin)
        self.leave(&origin)
        return True
