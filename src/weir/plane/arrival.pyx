"""Who has come: what is asked of a client's connection before its requests are heard.

What is hard here: the same question has three answers. The kernel knows who has connected; a PROXY header says whom the
peer speaks for; a trusted proxy tells of a client with each request. Each is asked only where the configuration says
so, in this order, and what the last one says is the client: in the log, in what goes on, and for limits.
"""

from libc.string cimport memset

from weir.plane.accesslog cimport LogRecord
from weir.plane.answering cimport Answering
from weir.plane.codes cimport R_CLIENT_LIMIT, R_UNTRUSTED_PROXY, Reason
from weir.plane.head cimport Head
from weir.plane.options cimport ListenerOptions
from weir.plane.origin cimport O_IPV4, O_IPV6, Origin, put_origin
from weir.plane.private cimport PrivatePool
from weir.plane.proxyproto cimport ProxyHeader
from weir.plane.trust cimport walk_forwarded_for


cdef inline bint arrival_has_address(const Origin* origin) noexcept nogil:
    return origin.family == O_IPV4 or origin.family == O_IPV6


cdef class Arrival(Answering):
    """A client's connection, as far as it asks who has come."""

    cdef bint arrive(self) except -1:
        cdef ListenerOptions options = self.options
        if not options.proxy_header:
            return self._settle()
        # Who is no proxy is no client either: whether a header is there is not to be guessed (section 2).
        if options.trusted is not None and not options.trusted.has(&self.hop):
            self.turn_away(R_UNTRUSTED_PROXY)
            return False
        return True

    cdef bint introduce(self, const ProxyHeader* header) except -1:
        if header.relayed:
            self.hop = header.source
            self.destination = header.destination
            self.tls = header.tls
            self.origin = self.hop
            self.client_length = put_origin(&self.hop, self.client)
        return self._settle()

    cdef bint _settle(self) except -1:
        # It is known who has connected.
        cdef ListenerOptions options = self.options
        if options.trusted is not None:
            self.believed = options.trusted.has(&self.hop)
        if options.clients is None or self.believed or not arrival_has_address(&self.hop):
            return True
        if not options.clients.enter(&self.hop):
            self.turn_away(R_CLIENT_LIMIT)
            return False
        self.counted = True
        return True

    cdef void learn_client(self, const char* p, const Head* head) noexcept:
        self.origin = self.hop
        if head != NULL:
            walk_forwarded_for(p, head, self.options.trusted, &self.origin)
        self.client_length = put_origin(&self.origin, self.client)

    cdef bint enter_request(self) except -1:
        if not arrival_has_address(&self.origin) or self.options.trusted.has(&self.origin):
            return True
        if not self.options.clients.enter(&self.origin):
            return False
        self.counted = True
        return True

    cdef void leave_table(self) noexcept:
        if self.counted:
            self.counted = False
            self.options.clients.leave(&self.origin)

    cdef void drop_kept(self) noexcept:
        try:
            if self.kept is not None:
                (<PrivatePool>self.kept.home).drop(self.kept)
        except Exception as error:
            self.workspace.engine.failed(self.kept.home, error)
        self.kept = None

    cdef int turn_away(self, Reason reason) except -1:
        cdef LogRecord record
        self.workspace.reasons[<int>reason] += 1
        if self.workspace.log.enabled:
            memset(&record, 0, sizeof(record))
            record.route = self.options.route.number
            record.client = self.client
            record.client_length = self.client_length
            record.reason = reason
            record.first_byte_us = -1
            self.workspace.log.add(&record, self.workspace.clock.wall_s())
            if self.workspace.log.wanted and self.workspace.on_log_wanted is not None:
                self.workspace.on_log_wanted()
        # A reset holds nothing in the kernel, and cannot be taken for an answer.
        self.stream.reset()
        return self.close()
