# Who of a cluster may be chosen, how often, and from which level: weights, slow start, priorities and zones.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.balance cimport Balancer
from weir.plane.pool cimport Pool
from weir.plane.upstream cimport UpstreamUser

cdef enum:
    ALL_OF_IT = 65536           # a load, as a part of all requests

# What an operator has said, or else a look-up, or else the file. 0: it gets nothing but what a cookie binds to it.
cdef uint32_t weight_of(Pool pool) noexcept
# Whether it answers, as far as is known, and no operator has said that it shall not.
cdef bint is_usable(Pool pool, uint64_t now_us) noexcept

# Its number among all levels, those first that are preferred.
cdef uint32_t level_of(Pool pool) noexcept

# Endpoints of one priority, and zone if that matters; the first level gets all that it can carry.
cdef class Level:
    cdef uint32_t number
    cdef Balancer policy
    cdef uint32_t load                  # its part of the requests, of ALL_OF_IT

cdef class Overflow(Balancer):
    cdef list levels                    # of Level, those first that are preferred
    cdef bint by_key                    # a request with a key has its level by that
    cdef uint32_t stamp
    cdef uint32_t tried                 # of this choice, with the first of them: levels that have nobody
    cdef uint32_t first
    cdef uint32_t point
    cdef int share_out(self, list levels, list loads) except -1

cdef class Choice:
    cdef object plan
    cdef dict settings                  # endpoint -> EndpointPlan, of those that have one
    cdef uint64_t seed
    cdef uint64_t slow_start_us
    cdef uint64_t again_us
    cdef list members
    cdef dict levels                    # by number
    cdef uint32_t first_level           # the most preferred one that has members
    cdef Overflow overflow
    cdef Balancer balancer              # who is to be asked: a level's policy, or overflow
    # A new member's weight, priority and zone: those of `name`, which is what it is called in the file.
    cdef int settle(self, Pool pool, str name) except -1
    # `usable`: those that may get requests. When that changes by time alone; 0: never.
    cdef uint64_t update(self, list usable, list members, uint64_t now_us) except? 1
    # Whether several levels can carry all requests together: then no panic is due, however few one of them has left.
    cdef bint carry(self, list usable, list members) except -1
    cdef uint32_t _ramp(self, Pool pool, uint64_t now_us) noexcept
    cdef int _rebuild(self) except -1
