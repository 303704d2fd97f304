"""How fast a client moves a body, as far as it is the client that decides.

What is hard here is to be fair. Time counts only while nothing but the client is waited for: not while the endpoint or
weir holds things up. What the client has moved is looked at only when it could be too slow, which costs nothing while
all goes well; and it may owe a grace, so that a pause is no crime.
"""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    LEAST_LOOK_US = 1000000     # between two looks; a minimum rate is about seconds and minutes


cdef void pace_start(Pace* pace) noexcept nogil:
    pace.waits_since_us = 0
    pace.waited_us = 0
    pace.owed_us = 0
    pace.look_us = 0
    pace.moved = 0


cdef void pace_note(Pace* pace, bint waits, int64_t now_us, int64_t grace_us) noexcept nogil:
    if not waits:
        if pace.waits_since_us:
            pace.waited_us += now_us - pace.waits_since_us
            pace.waits_since_us = 0
        return
    if pace.waits_since_us == 0:
        pace.waits_since_us = now_us
    if pace.look_us == 0:
        pace.look_us = now_us + grace_us - pace.owed_us


cdef bint pace_is_broken(
    Pace* pace, uint64_t moved, int64_t now_us, uint64_t rate, int64_t grace_us
) noexcept nogil:
    cdef uint64_t bytes = moved - pace.moved if moved > pace.moved else 0
    cdef int64_t waited_us = pace.waited_us
    cdef int64_t owed_us
    if pace.waits_since_us:
        waited_us += now_us - pace.waits_since_us
        pace.waits_since_us = now_us
    owed_us = pace.owed_us + waited_us
    # (More bytes than `owed` times the rate: nothing is owed; and no product overflows.)
    if bytes >= <uint64_t>(owed_us // 1000000 + 1) * rate:
        owed_us = 0
    else:
        owed_us -= <int64_t>(bytes * 1000000 // rate)
        if owed_us < 0:
            owed_us = 0
    pace.moved = moved
    pace.waited_us = 0
    pace.owed_us = owed_us
    pace.look_us = 0
    if owed_us >= grace_us:
        return True
    if pace.waits_since_us:
        pace.look_us = now_us + max(grace_us - owed_us, <int64_t>LEAST_LOOK_US)
    return False
