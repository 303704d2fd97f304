"""Weights between the sides of a route: which cluster a request goes to."""

import os

from libc.stdint cimport int32_t, uint32_t, uint64_t

from weir.plane.balance cimport mix
from weir.plane.filters cimport Asked
from weir.plane.keys cimport KEY_CLIENT, KeyRule, hash_bytes
from weir.plane.origin cimport O_IPV4, O_IPV6, Origin


cdef class Split:
    """Weights between the sides of a route: (index into Plan.routes, weight), at least one of them above 0."""

    def __cinit__(self, sides, str split_by not None):
        self.routes = [route for route, _weight in sides]
        self.weights = [weight for _route, weight in sides]
        self.total = sum(self.weights)
        if self.total == 0:
            raise ValueError("every weight is 0")
        self.rule = KeyRule(split_by) if split_by else None
        self.dice = int.from_bytes(os.urandom(8), "little")

    cdef int32_t choose(self, const Asked* asked, const Origin* origin) noexcept:
        cdef uint64_t key = 0
        cdef bint known = origin.family == O_IPV4 or origin.family == O_IPV6
        cdef uint64_t place
        cdef uint32_t i = 0
        cdef bint keyed = False
        if self.rule is not None and (self.rule.kind != KEY_CLIENT or known):
            keyed = self.rule.hash(asked.p, asked.head, asked.client, asked.client_length, &key)
        if self.rule is not None and not keyed and known:
            # Without a cookie, or whatever it is, a client keeps its side as well.
            key = hash_bytes(asked.client, asked.client_length)
            keyed = True
        if keyed:
            # Mixed once more: the cluster's own policy may hash the same key.
            key = mix(key ^ <uint64_t>0x5851F42D4C957F2D)
        else:
            self.dice += <uint64_t>0x9E3779B97F4A7C15
            key = mix(self.dice)
        place = (key >> 32) * self.total >> 32
        for weight in self.weights:
            if place < <uint64_t>weight:
                break
            place -= <uint64_t>weight
            i += 1
        return self.routes[i]
