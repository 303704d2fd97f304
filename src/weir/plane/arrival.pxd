# A client's connection, as far as it asks who has come: a PROXY header, trusted proxies, connections of each client.

from weir.plane.answering cimport Answering
from weir.plane.codes cimport Reason
from weir.plane.head cimport Head
from weir.plane.proxyproto cimport ProxyHeader

cdef class Arrival(Answering):
    cdef bint counted                   # origin is in the table of clients

    # A connection has come. False: it was turned away, and is closed; a PROXY header may have to come first.
    cdef bint arrive(self) except -1
    # Its PROXY header has come.
    cdef bint introduce(self, const ProxyHeader* header) except -1
    # Of a connection that is believed: the client is who the head says, or with NULL whoever has connected.
    cdef void learn_client(self, const char* p, const Head* head) noexcept
    # One request more of the client's that a believed connection brings. False: it has as many as it may have.
    cdef bint enter_request(self) except -1
    cdef void leave_table(self) noexcept
    cdef void drop_kept(self) noexcept
    cdef bint _settle(self) except -1
    # Ends a connection that has no request: counted, logged, without an answer.
    cdef int turn_away(self, Reason reason) except -1
