"""Mirrors: a copy of a request that goes to a second cluster, and whose response nobody reads.

What is hard here: a copy outlives its exchange, so it has nothing of it: head and body are bytes of its own, the
connection and its response are its own business, and it is held by its mirror's set of copies. And it must never be
felt: it is made only of what is at hand (a request without a body, or with one that came with the head), is never
queued, never repeated, and has one deadline for everything.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from weir.plane.buffer cimport Buffer
from weir.plane.cluster cimport Cluster
from weir.plane.codes cimport (
    DONE, FAILED, NEED_MORE, R_BAD_RESPONSE, R_BAD_RESPONSE_FRAMING, R_RESPONSE_HEAD_TOO_LARGE, R_RESPONSE_TIMEOUT,
    R_UPSTREAM_CLOSED, R_UPSTREAM_TRUNCATED, Reason, Step,
)
from weir.plane.columns cimport CF_MIRRORED, CF_MIRRORS_FAILED
from weir.plane.exchange cimport MAX_INTERIM, Exchange, ExchangeOwner
from weir.plane.fields cimport ties_connection
from weir.plane.framing cimport B_CLOSE, B_LENGTH, B_NONE, Framing, frame_response
from weir.plane.head cimport F_WWW_AUTHENTICATE, Head, HeadLimits, scan_response
from weir.plane.mirrors cimport Mirrors
from weir.plane.pool cimport A_CONNECTING, A_QUEUED, A_TAKEN, Acquired, Pool
from weir.plane.relay cimport RELAY_TAILROOM, Relay
from weir.plane.states cimport MACHINE_MIRROR, MI_OVER, MI_SENT, MI_WAITING
from weir.plane.stream cimport IO_BLOCKED, IO_FAILED, Stream
from weir.plane.syscalls cimport ssize_t
from weir.plane.upstream cimport W_NOT, Upstream, UpstreamHome
from weir.plane.workspace cimport move

cdef enum:
    MIRROR_BUFFER = 16384       # of a response; it grows with a longer head


cdef int mirror(Exchange exchange) except -1:
    cdef Mirrors mirrors = exchange.route.mirrors
    cdef Copy copy
    if not mirrors.wants():
        return 0
    if (
        exchange.upgrade or exchange.request_passage is not None
        or exchange.workspace.draining or <uint32_t>len(mirrors.copies) >= mirrors.most
        or mirrors.cluster.proxy_header         # a connection there speaks for one client
        or not (exchange.framing.kind == B_NONE or (
            exchange.framing.kind == B_LENGTH and exchange.body_in_inbuf == exchange.framing.length
        ))
    ):
        return mirrors.skip()
    copy = Copy.__new__(Copy)
    copy.workspace = exchange.workspace
    copy.mirrors = mirrors
    try:
        return copy.start(exchange)
    except MemoryError:
        copy._end(False)
        return mirrors.skip()


cdef int end_copies(Mirrors mirrors) except -1:
    cdef Copy copy
    for copy in list(mirrors.copies):
        copy._end(False)
    return 0


cdef class Copy(UpstreamUser):
    """One copy of one request."""

    cdef int start(self, Exchange exchange) except -1:
        cdef ExchangeOwner owner = exchange.owner
        cdef Cluster cluster = self.mirrors.cluster
        cdef Cluster own = exchange.cluster
        cdef Head* head = &self.workspace.request_head
        cdef Acquired how
        cdef uint32_t n
        if self.workspace.request_owner is not exchange and not exchange.restore_head():
            return self.mirrors.skip()
        if cluster.binds:
            cluster.bind(owner.inbuf.data + exchange.head.at, head, owner.client, owner.client_length, self)
        exchange.cluster = cluster
        n = exchange.compose_request()
        exchange.cluster = own
        self.workspace.request_owner = None     # lines are marked in it that only the mirror does not get
        if n == 0:
            return self.mirrors.skip()
        self.out = self.workspace.buffers.take(n + exchange.body_in_inbuf)
        memcpy(self.out.data, self.workspace.compose, n)
        memcpy(self.out.data + n, owner.inbuf.data + exchange.head.at + exchange.head.length, exchange.body_in_inbuf)
        self.out.end = n + exchange.body_in_inbuf
        self.method = exchange.method
        self.idempotent = exchange.idempotent
        self.keeps = not exchange.tied
        self.mirrors.copies.add(self)
        self.state = move(self.workspace, MACHINE_MIRROR, self.state, MI_WAITING)
        self.workspace.wheel.arm(self, cluster.response_header_timeout_ms)
        how = cluster.acquire(self, True)
        self.pool = cluster.chosen
        if how == A_TAKEN:
            return self.on_upstream(self.pool.taken)
        if how == A_CONNECTING:
            return 0
        if how == A_QUEUED:
            # No endpoint has room. Those who wait there have clients.
            cluster.forget(self, None)
        self.mirrors.skip()
        return self._end(False)

    # -- a connection -------------------------------------------------------------------------------------

    cdef int on_line(self, UpstreamHome home) except -1:
        self.pool = <Pool>home
        return 0

    cdef int on_no_upstream(self, UpstreamHome home, Reason reason) except -1:
        self.mirrors.cluster.group.figures[CF_MIRRORS_FAILED] += 1
        return self._end(False)

    cdef int on_upstream(self, Upstream upstream) except -1:
        self.pool = <Pool>upstream.home
        self.upstream = upstream
        self.state = move(self.workspace, MACHINE_MIRROR, self.state, MI_SENT)
        self.mirrors.cluster.group.figures[CF_MIRRORED] += 1
        return self._write()

    cdef int on_upstream_event(self, Upstream upstream, uint32_t what) except -1:
        if self.state != MI_SENT:
            return 0
        if self.out is not None:
            return self._write()
        return self._read() if upstream.stream.may_read else 0

    cdef int on_timeout(self) except -1:
        return self._failed(R_RESPONSE_TIMEOUT)

    cdef int on_failure(self, Reason reason) except -1:
        if self.state == MI_OVER:
            return 0
        self.mirrors.cluster.group.figures[CF_MIRRORS_FAILED] += 1
        return self._end(False)

    cdef int _write(self) except -1:
        cdef Buffer out = self.out
        cdef ssize_t sent = self.upstream.stream.write_some(out.data + out.start, out.end - out.start)
        if sent == IO_FAILED:
            return self._failed(R_UPSTREAM_CLOSED)
        if sent > 0:
            out.start += <uint32_t>sent
        if out.start < out.end:
            return 0
        self.workspace.buffers.give(out)
        self.out = None
        # An answer may be there already; its event would be none of ours.
        return self._read() if self.upstream.stream.may_read else 0

    # -- the response, which nobody wants -----------------------------------------------------------------

    cdef int _read(self) except -1:
        return self._pump() if self.relay is not None else self._read_head()

    cdef int _read_head(self) except -1:
        cdef Stream stream = self.upstream.stream
        cdef Buffer buf = self.buf
        cdef ssize_t got = IO_BLOCKED
        cdef Step step
        if buf is None:
            buf = self.buf = self.workspace.buffers.take(MIRROR_BUFFER)
        while stream.may_read:
            if buf.end == buf.size - RELAY_TAILROOM:
                if buf.end - buf.start >= self.mirrors.cluster.max_response_head_bytes:
                    return self._failed(R_RESPONSE_HEAD_TOO_LARGE)
                buf = self.buf = self.workspace.buffers.regrow(buf, buf.size * 2)
            got = stream.read_some(buf.data + buf.end, buf.size - RELAY_TAILROOM - buf.end)
            if got <= 0:
                break
            buf.end += <uint32_t>got
            step = self._heads()
            if step == DONE:
                return self._pump()
            if step == FAILED:
                return self._failed(R_BAD_RESPONSE)
        if got != IO_BLOCKED and got <= 0:
            return self._failed(R_UPSTREAM_CLOSED)
        if buf.start == buf.end:
            self.workspace.buffers.give(buf)
            self.buf = None
        return 0

    cdef Step _heads(self) except *:
        """DONE: the final head is there, and what came of its body is the relay's."""
        cdef Head* head = &self.workspace.response_head
        cdef Buffer buf = self.buf
        cdef HeadLimits limits
        cdef Framing framing
        cdef Relay relay
        cdef Step step
        self.workspace.response_owner = None
        limits.head_bytes = self.mirrors.cluster.max_response_head_bytes
        limits.fields = self.mirrors.cluster.max_response_fields
        limits.target_bytes = 0
        while True:
            head.scanned = 0
            step = scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head)
            if step != DONE:
                return step
            if head.status >= 200:
                break
            self.interim += 1
            if head.status == 101 or self.interim > MAX_INTERIM:
                return FAILED
            buf.start += head.length
        if frame_response(buf.data + buf.start, head, self.method, False, &framing) == FAILED:
            return FAILED
        self.pool.answered(self.upstream, self.workspace.clock.now_us // 1000)
        # What ties the client's connection ties the copy's: the next copy is another client's.
        self.keeps = (
            self.keeps and framing.keep_alive and framing.kind != B_CLOSE
            and not ties_connection(buf.data + buf.start, head, F_WWW_AUTHENTICATE)
        )
        relay = self.relay = Relay.__new__(Relay)
        relay.workspace = self.workspace
        relay.source = self.upstream.stream
        relay.end_reason = R_UPSTREAM_TRUNCATED
        relay.chunk_reason = R_BAD_RESPONSE_FRAMING
        relay.limits = limits
        relay.start(framing.kind, framing.length, False, False)
        relay.discard = True
        self.buf = None
        return DONE if relay.adopt(buf, buf.start + head.length, buf.end) != FAILED else FAILED

    cdef int _pump(self) except -1:
        cdef Relay relay = self.relay
        cdef Step step = relay.pump()
        if step == DONE:
            return self._end(
                self.keeps and self.out is None and (relay.buf is None or relay.raw_end == relay.buf.end)
            )
        if step == FAILED:
            return self._failed(relay.reason)
        if step == NEED_MORE:
            self.workspace.engine.put_ready(self.upstream.stream)
        return 0

    # -- ends ---------------------------------------------------------------------------------------------

    cdef int _failed(self, Reason reason) except -1:
        self.mirrors.cluster.group.figures[CF_MIRRORS_FAILED] += 1
        if self.upstream is not None:
            self.pool.failed(reason)
        return self._end(False)

    cdef int _end(self, bint keep) except -1:
        cdef Upstream upstream = self.upstream
        self.upstream = None
        if self.waiting != W_NOT:
            self.mirrors.cluster.forget(self, self.pool)
        self.workspace.wheel.disarm(self)
        self.mirrors.copies.discard(self)
        if self.state != MI_OVER:
            self.state = move(self.workspace, MACHINE_MIRROR, self.state, MI_OVER)
        if self.out is not None:
            self.workspace.buffers.give(self.out)
            self.out = None
        if self.buf is not None:
            self.workspace.buffers.give(self.buf)
            self.buf = None
        if self.relay is not None:
            self.relay.release()
        if upstream is not None:
            self.pool.give(upstream, keep)
        return 0
