# A body that meets Python on its way, as its exchange sees it.

from weir.plane.codes cimport Step
from weir.plane.framing cimport Framing
from weir.plane.relay cimport Relay
from weir.plane.stream cimport Stream, StreamOwner

# A body that meets Python on its way: it is read from whoever sends it into `pipe`, and goes on from there.
cdef class Passage(StreamOwner):
    cdef Relay feed                     # from the sender
    cdef Stream pipe                    # what goes on is read from it
    cdef bint whole                     # all that goes on is in memory, and can be sent again
    # The framing as it goes on, in place of that with which it came, and the fields that belong to it.
    cdef int depart(self, Framing* framing) except -1
    # Makes `relay`, just started, ready to send its beginning. FAILED: relay.reason.
    cdef Step begin(self, Relay relay) except *
    # Moves what can be moved, from the sender on and through `relay`; returns and sets what relay.pump() does.
    cdef Step pump(self, Relay relay) except *
    # The sender is heard to the end, though nothing goes on.
    cdef int drain(self) except -1
    # Python waits for more of it, before it goes on.
    cdef int read_on(self) except -1
    # It is neither the sender nor the receiver that is waited for.
    cdef bint is_pondering(self) noexcept
    cdef int end(self) except -1
