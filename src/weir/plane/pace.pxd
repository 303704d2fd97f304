# How fast a client sends a request's body, or takes a response: the defence against those that are slow on purpose.

from libc.stdint cimport int64_t, uint64_t

# What a client owes is kept as time: waiting for it adds to it, the bytes that it moves take away, at the minimum rate.
# It never falls below nothing, so who was fast once is not allowed to be slow for longer.
cdef struct Pace:
    int64_t waits_since_us      # only the client holds things up, since then; 0: it does not
    int64_t waited_us           # so long it did, since the last look
    int64_t owed_us             # at the last look
    int64_t look_us             # when to look again; 0: when it is waited for
    uint64_t moved              # bytes in all, at the last look

cdef void pace_start(Pace* pace) noexcept nogil
# Tells whether only the client holds things up from now on. When it begins to: then look_us is set.
cdef void pace_note(Pace* pace, bint waits, int64_t now_us, int64_t grace_us) noexcept nogil
# Looks: `moved` bytes in all by now, of which `rate` a second are wanted. True: too slow. Else look_us is set anew.
cdef bint pace_is_broken(
    Pace* pace, uint64_t moved, int64_t now_us, uint64_t rate, int64_t grace_us
) noexcept nogil
