# A copy of a request, for the mirror of its route. Its states are in spec/states.toml.

from libc.stdint cimport uint8_t, uint32_t

from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport Reason, Step
from weir.plane.exchange cimport Exchange
from weir.plane.mirrors cimport Mirrors
from weir.plane.pool cimport Pool
from weir.plane.relay cimport Relay
from weir.plane.upstream cimport Upstream, UpstreamUser
from weir.plane.workspace cimport Workspace

cdef class Copy(UpstreamUser):
    cdef Workspace workspace
    cdef Mirrors mirrors
    cdef Pool pool                      # in whose line it waits, or whose connection it has
    cdef Upstream upstream
    cdef Buffer out                     # what of head and body is not written yet; None: nothing
    cdef Buffer buf                     # what has come of a response head
    cdef Relay relay                    # of the response's body; None: its head is not there
    cdef bint keeps                     # the connection may be used again after it
    cdef uint32_t interim
    cdef uint8_t state                  # MirrorState
    cdef uint8_t method                 # Method

    cdef int start(self, Exchange exchange) except -1
    cdef int _write(self) except -1
    cdef int _read(self) except -1
    cdef int _read_head(self) except -1
    cdef Step _heads(self) except *
    cdef int _pump(self) except -1
    cdef int _failed(self, Reason reason) except -1
    cdef int _end(self, bint keep) except -1

# Copies the request of an exchange that is about to be sent, if its route says so and it can be. Whatever becomes of
# the copy, the exchange is none the wiser.
cdef int mirror(Exchange exchange) except -1
# Gives up all copies: the worker ends.
cdef int end_copies(Mirrors mirrors) except -1
