"""Requests and responses as Python functions see them.

What is hard here: nothing is copied before it is asked for, and nothing outlives its exchange. A view reads the head
where it stands, parses it again if another one was parsed since, and refuses to answer when the exchange is over or,
of a response, when the head has gone on to the client. Views that nobody has kept serve the next exchange in the same
place: most hooks keep none, and making them anew was a third of what a call costs.
"""

import re

from cpython.object cimport PyObject

from weir.plane.answer cimport status_line
from weir.plane.bodied cimport Bodied, request_body, response_body
from weir.plane.bodies cimport Body
from weir.plane.cluster cimport Cluster
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange, ExchangeView
from weir.plane.fields cimport check_response
from weir.plane.head cimport M_OPTIONS, T_ABSOLUTE, Head, HeadLimits, scan_response
from weir.plane.headers cimport Headers
from weir.plane.codes cimport DONE
from weir.plane.states cimport E_HELD, E_OVER

from weir.config.action_plan import HOP_FIELDS, REQUEST_FIELDS

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject* thing) noexcept

cdef enum:
    RESPONSE_HOLDERS = 2    # of a response, when end() looks: its request, and a variable

_HOST = re.compile(r"(?:[A-Za-z0-9._~%-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_NOT_IN_TARGETS = re.compile(r"[^\x21-\x7e]")
# Names that were found good of requests.
cdef dict _good_request_names = {}


cdef class Message(Bodied):
    """A request or a response."""

    @property
    def headers(self) -> Headers:
        """Its fields."""
        cdef Headers headers
        if self._headers is None:
            messages_exchange(self)         # when that is over nobody would part the two again
            headers = Headers.__new__(Headers)
            headers.message = self
            self._headers = headers
        return self._headers


cdef bint messages_alone(Message message, Py_ssize_t holders) noexcept:
    # Whether nothing holds a message but weir, which holds it `holders` times, and its own Headers.
    if message._headers is not None:
        if Py_REFCNT(<PyObject*>message._headers) != 1:
            return False
        holders += 1
    return Py_REFCNT(<PyObject*>message) == holders


cdef Exchange messages_exchange(ExchangeView view):
    if view.exchange is None:
        raise RuntimeError("the exchange is over: take what is needed later before the hook returns")
    return view.exchange


cdef Exchange messages_undecided(ExchangeView view):
    cdef Exchange exchange = messages_exchange(view)
    # Once it stands in a line of its cluster, it would leave that of another one.
    if exchange.state not in (E_OVER, E_HELD) or exchange.status or exchange.reason:
        raise RuntimeError("the request has gone on: choose in a hook of phase \"request\"")
    return exchange


cdef class Request(Message):
    """A request, from its head on until its exchange is over; made by weir."""

    cdef Edits edits(self):
        cdef Exchange exchange = messages_exchange(self)
        if exchange.attempts and exchange.state_is_sent():
            raise RuntimeError("the request has gone on: change it in a hook of phase \"request\" or \"upstream\"")
        if exchange.request_edits is None:
            exchange.request_edits = Edits.__new__(Edits)
        return exchange.request_edits

    cdef Edits edits_if_any(self):
        return messages_exchange(self).request_edits

    cdef const Head* parsed(self, const char** p) except NULL:
        cdef Exchange exchange = messages_exchange(self)
        if exchange.workspace.request_owner is not exchange and not exchange.restore_head():
            raise RuntimeError("the request's head is gone")
        p[0] = exchange.owner.inbuf.data + exchange.head.at
        return &exchange.workspace.request_head

    cdef tuple reserved(self):
        return HOP_FIELDS + REQUEST_FIELDS

    cdef dict good_names(self):
        return _good_request_names

    cdef int use_cluster(self, Cluster cluster) except -1:
        cdef const char* p = NULL
        self.parsed(&p)         # the workspace has another one's head, if others came while a hook was awaited
        self.exchange.use_cluster(cluster)
        return 0

    cdef Body body_of(self):
        cdef Exchange exchange = messages_exchange(self)
        if exchange.attempts or exchange.state_is_sent():
            raise RuntimeError("the request has gone on: read and change its body in a hook of phase \"request\"")
        return request_body(exchange, self)

    cdef int may_be_given(self, bint whole) except -1:
        if messages_exchange(self).upgrade:
            raise ValueError("a request for another protocol has no body")
        if self.headers.get_all("content-range"):
            raise ValueError("a request with Content-Range has a part of a body: it is not changed")
        return 0

    cdef Response response_view(self):
        cdef Response response
        if self.answered is None:
            response = Response.__new__(Response)
            response.asked = self
            self.answered = response
        if self.answered.exchange is None:
            self.answered.exchange = self.exchange
        return self.answered

    cdef bint end(self, Py_ssize_t holders) except -1:
        cdef Response response = self.answered
        cdef bint alone
        call = self.call
        self.exchange = None
        self.calls = None
        self.named = None
        self.next = 0
        self.attempted = False
        self.unattempted = None
        self._state = None
        alone = call is None and messages_alone(self, holders if response is None else holders + 1)
        if response is not None:
            response.exchange = None
            response.calls = None
            alone = alone and messages_alone(response, RESPONSE_HOLDERS)
        if not alone:
            # They hold each other: without this each request would be garbage that only the collector finds.
            self._headers = None
            self.answered = None
            if response is not None:
                response._headers = None
        if call is not None:
            self.call = None
            call.cancel()
        return alone

    @property
    def method(self) -> str:
        """As the client sent it: upper case, as a rule."""
        cdef Exchange exchange = messages_exchange(self)
        cdef const char* p = exchange.owner.inbuf.data + exchange.method_text.at
        return p[:exchange.method_text.length].decode("latin-1")

    @property
    def target(self) -> str:
        """Path and query, as they are forwarded; may be set. ValueError for what is none: it begins with "/"."""
        cdef Exchange exchange = messages_exchange(self)
        cdef const char* p = NULL
        cdef const Head* head
        if exchange.request_edits is not None and exchange.request_edits.target is not None:
            return exchange.request_edits.target.decode("latin-1")
        head = self.parsed(&p)
        said = p[head.path_at:head.path_at + head.path_length + head.query_length].decode("latin-1")
        if head.path_length == 0 and head.target_form == T_ABSOLUTE:
            return "*" if head.method == M_OPTIONS and not said else "/" + said
        return said if head.path_length else p[head.target_at:head.target_at + head.target_length].decode("latin-1")

    @target.setter
    def target(self, str value not None):
        if not value.startswith("/") or _NOT_IN_TARGETS.search(value) or "#" in value:
            raise ValueError(f"{value!r} is not a path: it begins with \"/\", and other than ASCII is percent-encoded")
        if len(value) > 8192:
            raise ValueError("a path and query of more than 8192 bytes")
        self.edits().target = value.encode("ascii")

    @property
    def path(self) -> str:
        """The target's path, without the query; may be set (the query stays)."""
        return self.target.partition("?")[0]

    @path.setter
    def path(self, str value not None):
        if "?" in value:
            raise ValueError(f"{value!r} has a query: set target")
        _, mark, query = self.target.partition("?")
        self.target = value + mark + query

    @property
    def query(self) -> str:
        """What follows the target's first "?", as it is; "" if there is none."""
        return self.target.partition("?")[2]

    @property
    def host(self) -> str:
        """The name that the client asked for, port included if it said one; "" of an HTTP/1.0 client that said none.
        May be set: what the endpoint is told in Host."""
        cdef const char* p = NULL
        cdef const Head* head = self.parsed(&p)
        if self.exchange.request_edits is not None and self.exchange.request_edits.host is not None:
            return self.exchange.request_edits.host.decode("latin-1")
        if head.authority_length:
            return p[head.authority_at:head.authority_at + head.authority_length].decode("latin-1")
        values = self.headers.get_all("host")
        return values[0] if values else ""

    @host.setter
    def host(self, str value not None):
        if not _HOST.fullmatch(value):
            raise ValueError(f"{value!r} is not a host name or address, with or without a port")
        self.edits().host = value.encode("ascii")

    @property
    def client(self) -> str:
        """The client's address, without its port: of the connection, or as a trusted proxy says."""
        cdef Exchange exchange = messages_exchange(self)
        return exchange.owner.client[:exchange.owner.client_length].decode("latin-1")

    @property
    def id(self) -> str:
        """The request's id, as X-Request-Id says it; "" where the listener passes ids on as they come."""
        cdef Exchange exchange = messages_exchange(self)
        return exchange.identity.id[:exchange.identity.id_length].decode("latin-1")

    @property
    def scheme(self) -> str:
        """How the client came: "http", or "https" if a PROXY header says so."""
        return "https" if messages_exchange(self).owner.tls else "http"

    @property
    def version(self) -> str:
        """ "1.0" or "1.1"."""
        return "1.0" if messages_exchange(self).version_minor == 0 else "1.1"

    @property
    def route(self) -> str:
        """The name of the route that it takes."""
        return messages_exchange(self).route.name

    @property
    def cluster(self) -> str:
        """The name of the cluster that it goes to; may be set to another one in phase "request"."""
        cdef Cluster cluster = messages_exchange(self).cluster
        return cluster.name

    @cluster.setter
    def cluster(self, str name not None):
        cdef Exchange exchange = messages_undecided(self)
        cluster = exchange.route.find_cluster(name)
        if cluster is None:
            raise ValueError(f"there is no cluster {name!r}")
        self.use_cluster(cluster)

    @property
    def idempotent(self) -> bool:
        """Whether it may be sent twice: as its method says. May be set in phase "request": a POST that does no harm
        twice is tried again as a PUT would be."""
        return messages_exchange(self).idempotent

    @idempotent.setter
    def idempotent(self, bint value):
        cdef Exchange exchange = messages_undecided(self)
        exchange.idempotent = value
        self.use_cluster(exchange.cluster)

    @property
    def series(self) -> str:
        """What it is counted under: its path's template. May be set to another name in phase "request".

        A name has no control characters and does not begin with "(": ValueError. Series are bounded by `stats.rows`:
        names that clients can choose would fill the table."""
        cdef Exchange exchange = messages_exchange(self)
        if self.named is None:
            self.named = exchange.route.series.text_of(
                exchange.owner.inbuf.data + exchange.path.at, exchange.path.length
            )
        return self.named

    @series.setter
    def series(self, str name not None):
        cdef Exchange exchange = messages_undecided(self)
        exchange.row = exchange.route.series.find_text(exchange.workspace.counters, exchange.route.number, name)
        self.named = name

    @property
    def endpoint(self) -> str:
        """The endpoint that it is sent to; "" before one is chosen. May be set in phase "request" to one of its
        cluster's: that is asked first if it is well, as if a cookie named it. ValueError for none of them."""
        cdef Exchange exchange = messages_exchange(self)
        return "" if exchange.pool is None else exchange.pool.name

    @endpoint.setter
    def endpoint(self, str name not None):
        cdef Exchange exchange = messages_undecided(self)
        exchange.cluster.want(exchange, name)

    @property
    def state(self) -> dict:
        """Whatever hooks want to keep for later phases of the same exchange."""
        messages_exchange(self)
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def response(self) -> Response | None:
        """Its response, as soon as there is one."""
        return None if self.answered is None or self.answered.exchange is None else self.answered

    @property
    def status(self) -> int:
        """The status that the client was sent; 0: none yet."""
        return messages_exchange(self).status

    @property
    def reason(self) -> str:
        """Why it ended, in phase "log": a word of weir's reasons, "" if nothing went wrong."""
        from weir.reasons import REASONS

        cdef int number = <int>messages_exchange(self).reason
        return REASONS[number].word if number else ""

    @property
    def duration(self) -> float:
        """Seconds since the first byte of its head came."""
        cdef Exchange exchange = messages_exchange(self)
        return (exchange.workspace.clock.tick() - exchange.started_us) / 1e6

    @property
    def bytes_received(self) -> int:
        """Bytes of its body that came so far, without framing."""
        cdef Exchange exchange = messages_exchange(self)
        return (exchange.request if exchange.request_passage is None else exchange.request_passage.feed).payload

    @property
    def bytes_sent(self) -> int:
        """Bytes of the response's body so far, without framing."""
        return messages_exchange(self).response.payload

    def __repr__(self):
        if self.exchange is None:
            return "<Request of an exchange that is over>"
        return f"<Request {self.method} {self.target}>"


cdef class Response(Message):
    """A response of an endpoint, before its head goes on to the client; made by weir."""

    @property
    def request(self) -> Request:
        """The request that it answers."""
        return self.asked

    @property
    def status(self) -> int:
        """Its status; may be set to another one that has a body, as this one has."""
        cdef Exchange exchange = messages_exchange(self)
        cdef const char* p = NULL
        if exchange.response_edits is not None and exchange.response_edits.status:
            return exchange.response_edits.status
        if exchange.status and not exchange.meets_response:
            return exchange.status
        return self.parsed(&p).status

    @status.setter
    def status(self, int value):
        cdef Edits edits
        if value < 200 or value > 599 or value in (204, 205, 304) or self.status in (101, 204, 205, 304):
            raise ValueError(f"status {value} in place of {self.status}: both have to be statuses with a body")
        edits = self.edits()
        edits.status_line = status_line(value)
        edits.status = value

    cdef Edits edits(self):
        cdef Exchange exchange = messages_exchange(self)
        cdef const char* p = NULL
        self.parsed(&p)
        if exchange.response_edits is None:
            exchange.response_edits = Edits.__new__(Edits)
        return exchange.response_edits

    cdef Edits edits_if_any(self):
        return messages_exchange(self).response_edits

    cdef const Head* parsed(self, const char** p) except NULL:
        cdef Exchange exchange = messages_exchange(self)
        cdef Head* head = &exchange.workspace.response_head
        cdef HeadLimits limits
        if exchange.head_buf is None or not exchange.meets_response:
            raise RuntimeError("the response's head has gone on: read and change it in a hook of phase \"response\"")
        p[0] = exchange.head_buf.data + exchange.head_buf.start
        if exchange.workspace.response_owner is not exchange:
            limits.head_bytes = exchange.cluster.max_response_head_bytes
            limits.fields = exchange.cluster.max_response_fields
            limits.target_bytes = 0
            head.scanned = 0
            if scan_response(p[0], exchange.head_buf.end - exchange.head_buf.start, &limits, head) != DONE:
                raise RuntimeError("the response's head is gone")
            check_response(p[0], head)      # what it nominates is left out
            exchange.workspace.response_owner = exchange
        return head

    cdef Body body_of(self):
        cdef Exchange exchange = messages_exchange(self)
        return response_body(exchange, self)

    cdef int may_be_given(self, bint whole) except -1:
        if self.status == 206 or (whole and self.status in (204, 205, 304)):
            raise ValueError(f"a response with status {self.status} has no body, or a part of one")
        return 0

    def __repr__(self):
        return "<Response of an exchange that is over>" if self.exchange is None else f"<Response {self.status}>"
