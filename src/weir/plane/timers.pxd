# The timer wheel: one level of hashed slots, a timer is a field of its owner.
#
# Deadlines are lazy. Pushing a deadline back, which is what happens on every request, is one store; the
# node is moved only when its old slot comes by. Pulling it forward relinks at once.

from libc.stdint cimport int64_t, uint64_t

from weir.plane.clock cimport Clock
from weir.plane.codes cimport Reason

cdef enum:
    WHEEL_TICK_MS = 8           # resolution; every timeout of a proxy is far coarser
    WHEEL_SLOTS = 4096          # 32.8 s around; a later deadline goes round again
    WHEEL_WORDS = 64            # of the map of occupied slots

cdef struct TimerNode:
    TimerNode* next
    TimerNode* prev
    void* owner                 # TimerOwner, borrowed: the owner unlinks itself when it dies
    int64_t deadline_ms         # TIMER_NEVER: disarmed, though perhaps still linked
    int64_t due_ms              # the moment of the slot where it is linked
    bint linked

cdef class TimerOwner:
    cdef TimerNode timer
    cdef void* timer_wheel                  # the wheel it was last armed on; never followed unless linked
    cdef int on_timeout(self) except -1     # called once per arming
    # An exception has left one of its calls (a bug, or no memory): what it was doing ends here, for this reason.
    cdef int on_failure(self, Reason reason) except -1

cdef class TimerWheel:
    cdef Clock clock
    cdef TimerNode slots[WHEEL_SLOTS]       # heads of circular lists
    cdef uint64_t occupied[WHEEL_WORDS]
    cdef int64_t tick                       # slots up to this one have been served
    cdef TimerOwner failed                  # whose exception expire has passed on
    cdef readonly Py_ssize_t linked         # nodes in the wheel, disarmed ones not yet met included

    # on_timeout is called `after_ms` from the clock's last tick, at most one wheel tick late.
    cdef void arm(self, TimerOwner owner, int64_t after_ms) noexcept
    cdef void disarm(self, TimerOwner owner) noexcept
    # Milliseconds until the next slot that holds a node; -1: there is none.
    cdef int64_t next_ms(self) noexcept
    # Calls what is due. An exception of an owner is passed on after the wheel is in order again.
    cdef int expire(self) except -1

    cdef void _link(self, TimerNode* node) noexcept
    cdef int _serve(self, int slot, int64_t now_ms) except -1
