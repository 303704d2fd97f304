"""Requests and responses, as far as their bodies go: how a body comes to meet Python."""

from libc.stdint cimport uint32_t

from weir.plane.bodies cimport Body
from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    R_BAD_CHUNK, R_BAD_RESPONSE_FRAMING, R_CLIENT_CLOSED, R_HOOK_FAILED, R_UPSTREAM_TRUNCATED, Step,
)
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange, ExchangeOwner, ExchangeView
from weir.plane.framing cimport B_CHUNKED, B_CLOSE, B_NONE, Framing, frame_response
from weir.plane.head cimport M_HEAD, Head
from weir.plane.relay cimport Relay

from weir.config.action_plan import HOP_FIELDS
from weir.plane.piecewise import read_whole

# Names that were found good, of which hooks write the same few for each message.
cdef dict _good_names = {}


cdef Body bodies_new(Exchange exchange, bint of_response):
    cdef Body body = Body.__new__(Body)
    body.feed = Relay.__new__(Relay)
    body.feed.workspace = exchange.workspace
    body.of_response = of_response
    return body


cdef Body request_body(Exchange exchange, Bodied view):
    cdef ExchangeOwner owner = exchange.owner
    cdef Body body
    cdef Relay feed
    cdef const char* p = NULL
    cdef const Head* head
    if exchange.request_passage is not None:
        return <Body>exchange.request_passage
    head = view.parsed(&p)
    body = bodies_new(exchange, False)
    feed = body.feed
    body.framing = exchange.framing
    feed.source = owner.stream
    feed.end_reason = R_CLIENT_CLOSED
    feed.chunk_reason = R_BAD_CHUNK
    feed.limit = exchange.route.max_body_bytes
    feed.limits = owner.options.limits
    feed.start(body.framing.kind, body.framing.length, False, True)
    feed.scanner.no_trailers = head.nominates
    body.fill(exchange, p + exchange.head.length, exchange.body_in_inbuf)
    exchange.request_whole = feed.source_done
    exchange.request_passage = body
    return body


cdef Body response_body(Exchange exchange, Bodied view):
    cdef Body body
    cdef Relay feed
    cdef Buffer buf = exchange.head_buf
    cdef const char* p = NULL
    cdef const Head* head
    cdef uint32_t rest
    head = view.parsed(&p)
    if exchange.response_passage is not None:
        return <Body>exchange.response_passage
    body = bodies_new(exchange, True)
    feed = body.feed
    frame_response(p, head, exchange.method, exchange.upgrade, &body.framing)
    feed.source = exchange.upstream.stream
    feed.end_reason = R_UPSTREAM_TRUNCATED
    feed.chunk_reason = R_BAD_RESPONSE_FRAMING
    feed.limits.head_bytes = exchange.cluster.max_response_head_bytes
    feed.limits.fields = exchange.cluster.max_response_fields
    feed.start(body.framing.kind, body.framing.length, False, True)
    feed.scanner.no_trailers = head.nominates
    rest = buf.end - buf.start - head.length
    body.fill(exchange, p + head.length, rest)
    buf.end -= rest
    exchange.response_passage = body
    return body


cdef Step send_body(Exchange exchange) except *:
    cdef Body body = <Body>exchange.request_passage
    cdef Relay relay = exchange.request
    cdef bint streams
    if exchange.attempts > 1:
        relay.release()
    if not body.departed:
        body.depart(&exchange.framing)
        if exchange.framing.kind == B_CLOSE:
            exchange.framing.kind = B_CHUNKED       # what the head says
        # Of one that is made as it goes, nothing is there to be sent again.
        exchange.repeatable = body.whole and exchange.may_repeat and exchange.repeatable
    elif body.whole:
        body.through.rewind()
    streams = exchange.framing.kind == B_CHUNKED
    relay.source = body.pipe
    relay.destination = exchange.upstream.stream
    relay.end_reason = R_HOOK_FAILED
    relay.chunk_reason = R_BAD_CHUNK
    relay.limit = 0
    relay.start(B_CLOSE if streams else exchange.framing.kind, exchange.framing.length, streams, False)
    return body.begin(relay)


cdef Body made_body(Exchange exchange, Bodied view, object source):
    cdef Body body
    cdef Framing framing
    if exchange.response_passage is not None:
        exchange.response_passage.end()     # of what is not sent now
    body = bodies_new(exchange, True)
    if isinstance(source, bytes):
        body.all = source
    else:
        body.source = source
    body.feed.start(B_NONE, 0, False, False)
    body.feed.done = True
    body.fill(exchange, NULL, 0)
    body.hooks.append(view.calls)
    framing.kind = B_CLOSE
    body.depart(&framing)
    exchange.response_passage = body
    return body


cdef class Bodied(ExchangeView):
    """A request or a response, as far as its body goes."""

    cdef Body body_of(self):
        raise NotImplementedError(f"{type(self).__name__}.body_of")

    cdef int may_be_given(self, bint whole) except -1:
        return 0

    cdef Edits edits(self):
        raise NotImplementedError(f"{type(self).__name__}.edits")

    cdef Edits edits_if_any(self):
        raise NotImplementedError(f"{type(self).__name__}.edits_if_any")

    cdef tuple reserved(self):
        return HOP_FIELDS

    cdef dict good_names(self):
        return _good_names

    cdef const Head* parsed(self, const char** p) except NULL:
        raise NotImplementedError(f"{type(self).__name__}.parsed")

    def __reduce__(self):
        # A copy would outlive the exchange, and see the next one.
        raise TypeError(f"a {type(self).__name__} cannot be copied: take what is needed out of it")

    def read(self, limit=READ_MOST):
        """Awaited: the whole body, of at most `limit` bytes. It goes on as it is, unless it is replaced.

        In a hook that is `async def`, of phase "request" or "response". Raises BodyTooLarge, which a hook may catch:
        the body then goes on; BodyCut when it has no end; RuntimeError when it has gone on.
        """
        return read_whole(self.body_of(), limit)

    @property
    def body(self) -> bytes:
        """The body, if it was read or replaced (RuntimeError: it was not). When it is set, this is what goes on in its
        place, 16 MiB at most, with its length; what a response's status or a request's upgrade forbids is a ValueError.
        """
        cdef Body body = self.body_of()
        if body.new is not None:
            return body.new
        if body.all is None:
            raise RuntimeError("the body was not read: await read()")
        return body.all

    @body.setter
    def body(self, value):
        cdef Body body
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"a body is bytes, not {type(value).__name__}")
        if len(value) > BODY_MOST:
            raise ValueError(f"a body of {len(value)} bytes; one that is given has {BODY_MOST} at most")
        self.may_be_given(True)
        body = self.body_of()
        body.new = bytes(value)
        body.stages = []
        body.hooks = []

    def transform(self, function) -> None:
        """The body goes on through `function`: a plain one, called with each piece and at the end with b"", that
        returns what goes on in its place; or an async generator function, called with the pieces (an async iterator),
        that yields what goes on. More than one: in the order in which they were given.
        """
        cdef Body body
        if not callable(function):
            raise TypeError(f"{function!r} is not a function")
        self.may_be_given(False)
        body = self.body_of()
        if body.framing.kind == B_NONE and not (body.of_response and body.exchange.method == M_HEAD):
            return
        body.stages.append(function)
        body.hooks.append(self.calls)
