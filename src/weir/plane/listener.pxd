# A bound address: accepts, up to its limits, and hands over.

from libc.stdint cimport int64_t, uint64_t

from weir.plane.downstream cimport DownstreamOwner
from weir.plane.options cimport ListenerOptions
from weir.plane.stream cimport Stream
from weir.plane.syscalls cimport sockaddr_storage
from weir.plane.workspace cimport Workspace

cdef enum:
    ACCEPT_BATCH = 64           # connections accepted in one turn, at most
    ACCEPT_PAUSE_MS = 100       # at a limit: how long not to ask again
    # A connection that waits is closed for a new one after so long: a client that means it has sent its head by then.
    EVICT_AFTER_MS = 250

cdef class Listener(DownstreamOwner):
    cdef Workspace workspace
    cdef ListenerOptions options
    cdef int64_t max_connections
    cdef int full_turns                 # in a row, in which all that were asked for came
    cdef bint paused                    # at a limit: the socket is not watched
    cdef bint stopped
    cdef bint draining
    cdef readonly uint64_t accepted
    cdef readonly uint64_t pauses

    cdef int listen(self, int fd) except -1
    cdef int stop(self) except -1       # accepts no more; the descriptor stays its owner's
    # Stops; every next answer is the last; says goodbye to `most` of those that wait. 1: there are more.
    cdef int drain(self, int most) except -1
    cdef int close_all(self) except -1
    # A connection: an accepted socket's, or a test's.
    cdef int welcome(self, Stream stream, const sockaddr_storage* peer) except -1
    cdef bint _is_full(self) noexcept
    cdef bint _make_room(self) except -1
    cdef int _pause(self) except -1
    cdef int _resume(self) except -1
