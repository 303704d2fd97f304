"""Consistent hashing by a Maglev table (Eisenbud and others, 2016), with bounded loads.

What is hard here: few keys may move when an endpoint goes, even fewer when it is only ill for a while. So the table has
all members, also those that may get nothing now. A key that meets one of those is hashed once more, and again: its
neighbours in the table go elsewhere each, by weight, and come back when it does. The table is made anew only when
members or weights change. In a slow start a key is taken or sent on by a part of its own hash, so that keys come back
by and by.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from weir.plane.balance cimport Balancer, RoundRobin, mix
from weir.plane.keys cimport hash_bytes
from weir.plane.pool cimport Pool
from weir.plane.upstream cimport UpstreamUser

cdef enum:
    EMPTY = 0xFFFF
    MOST_MEMBERS = 65000        # of 16 bits; far beyond what a table of this size divides well
    REHASHES = 64               # with half of the members away, more are needed once in 10**19 times


# A member while the table is made: its own order of all slots, and how many it is owed, times the total weight.
cdef struct Claim:
    uint32_t slot
    uint32_t skip
    uint32_t weight
    uint64_t owed


cdef class Hash(Balancer):
    """By the request's key."""

    def __cinit__(self, uint64_t seed=0):
        self.rest = RoundRobin()
        self.members = []
        self.weights = []

    def __dealloc__(self):
        free(self.slots)

    cdef int rebuild(self, list pools, list members) except -1:
        cdef Pool pool
        Balancer.rebuild(self, pools, members)
        self.rest.rebuild(pools, members)
        known = []
        for pool in members:
            if pool.weight:
                known.append(pool)
        # By name, so that all workers and all instances have the same table, however the file lists them.
        known.sort(key=pool_name)
        del known[MOST_MEMBERS:]
        weights = []
        for pool in known:
            weights.append((pool.name, pool.weight))
        if weights != self.weights:
            self.members, self.weights = known, weights
            try:
                self._fill()
            except MemoryError:
                self.weights = []
                raise
        else:
            self.members = known        # one may have gone and come again
        return 0

    cdef int _fill(self) except -1:
        cdef uint32_t count = <uint32_t>len(self.members)
        cdef uint32_t i, slot
        cdef uint32_t filled = 0
        cdef uint64_t hash, total = 0
        cdef Pool pool
        cdef Claim* claims
        cdef Claim* claim
        free(self.slots)
        self.slots = NULL
        if count == 0:
            return 0
        claims = <Claim*>calloc(count, sizeof(Claim))
        self.slots = <uint16_t*>malloc(MAGLEV_SLOTS * sizeof(uint16_t))
        if claims == NULL or self.slots == NULL:
            free(claims)
            free(self.slots)
            self.slots = NULL
            raise MemoryError
        memset(self.slots, 0xFF, MAGLEV_SLOTS * sizeof(uint16_t))
        for i in range(count):
            pool = <Pool>self.members[i]
            hash = hash_bytes(pool.endpoint_text, <uint32_t>len(pool.endpoint_text))
            claims[i].slot = <uint32_t>(hash % MAGLEV_SLOTS)
            claims[i].skip = 1 + <uint32_t>(mix(hash) % (MAGLEV_SLOTS - 1))
            claims[i].weight = pool.weight
            total += pool.weight
        # In rounds; in each one takes as many free slots as its weight is multiples of the mean, in its own order of
        # all slots, and is owed the rest. So a round has `count` slots, whatever the weights.
        while filled < MAGLEV_SLOTS:
            for i in range(count):
                claim = &claims[i]
                claim.owed += <uint64_t>claim.weight * count
                while claim.owed >= total and filled < MAGLEV_SLOTS:
                    claim.owed -= total
                    slot = claim.slot
                    while self.slots[slot] != EMPTY:
                        slot += claim.skip
                        if slot >= MAGLEV_SLOTS:
                            slot -= MAGLEV_SLOTS
                    self.slots[slot] = <uint16_t>i
                    claim.slot = slot
                    filled += 1
        free(claims)
        return 0

    cdef bint _takes(self, Pool pool, uint64_t key, uint32_t stamp) noexcept:
        cdef uint64_t room
        if pool.share == 0 or pool.mark == stamp:
            return False
        if pool.ramp < 100 and (key >> 40) % 100 >= pool.ramp:
            return False
        if self.bound_percent == 0:
            return True
        # Its part of what this worker has in progress, with this request, and some more: rounded up, so at least one.
        room = (self.bound_percent * <uint64_t>(pool.owner.busy + 1) * pool.share - 1) // (100 * self.total) + 1
        return pool.active() < room

    cdef Pool pick(self, UpstreamUser user, uint32_t stamp):
        cdef uint64_t key
        cdef Pool pool
        cdef int _i
        if not user.keyed or self.slots == NULL:
            return self.rest.pick(user, stamp)
        if not self.pools:
            return None
        key = user.key
        for _i in range(REHASHES):
            pool = <Pool>self.members[self.slots[key % MAGLEV_SLOTS]]
            if self._takes(pool, key, stamp):
                user.rehashed = _i > 0
                return pool
            key = mix(key + 1)
        user.rehashed = True
        return self.sweep(<uint32_t>(user.key % <uint64_t>len(self.pools)), stamp)


cdef str pool_name(pool):
    return (<Pool>pool).name
