"""Hedging: a second request beside the first, and the response head that is there first is the client's.

What is hard here: an exchange has one connection and one response; this is a second user of connections that the
exchange owns and that lives at most as long. It has no timer of its own (a dial has a deadline, and so has the
exchange), keeps nothing of the client's, and hands over its connection in one step or closes it. Only a request
without a body is sent twice like this, so there is nothing to move but a head.
"""

from libc.stdint cimport int64_t, uint32_t

from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport DONE, FAILED, R_BAD_RESPONSE, R_RESPONSE_HEAD_TOO_LARGE, R_UPSTREAM_CLOSED, Reason, Step
from weir.plane.exchange cimport MAX_INTERIM, Exchange, SecondTry
from weir.plane.head cimport Head, HeadLimits, scan_response
from weir.plane.peak cimport peak_note
from weir.plane.pool cimport A_CONNECTING, A_QUEUED, A_TAKEN, Acquired, Pool
from weir.plane.relay cimport RELAY_TAILROOM
from weir.plane.retrywords cimport RW_HEDGE_BOUND, RW_HEDGE_FAILED, RW_HEDGE_SENT, RW_HEDGE_WON
from weir.plane.states cimport H_OVER, H_SENT, H_WAITING, MACHINE_HEDGE
from weir.plane.stream cimport IO_BLOCKED, Stream
from weir.plane.syscalls cimport ssize_t
from weir.plane.upstream cimport W_NOT, Upstream, UpstreamHome
from weir.plane.workspace cimport move

cdef enum:
    HEDGE_BUFFER = 16384        # of a response; it grows with a longer head


cdef class Hedge(SecondTry):
    """The second request of one exchange."""

    cdef int start(self, Exchange exchange) except -1:
        cdef Acquired how
        self.workspace = exchange.workspace
        self.cluster = exchange.cluster
        # Its session is there: another endpoint would be quick to say that it knows of none.
        if self.cluster.is_bound(exchange, exchange.pool):
            self.cluster.retry.count(RW_HEDGE_BOUND)
            return 0
        self.tried = None if exchange.tried is None else set(exchange.tried)
        self.cluster.avoid(self, exchange.pool)
        if not self.cluster.retry.may_hedge(exchange.attempts, self.cluster.has_other(self)):
            return 0
        self.idempotent = True
        self.repeatable = True
        self.keyed = exchange.keyed
        self.key = exchange.key
        self.exchange = exchange
        exchange.second = self
        self.began_us = self.workspace.clock.now_us
        self.state = move(self.workspace, MACHINE_HEDGE, self.state, H_WAITING)
        how = self.cluster.acquire(self, True)
        self.pool = self.cluster.chosen
        if how == A_TAKEN:
            return self.on_upstream(self.pool.taken)
        if how == A_CONNECTING:
            return 0
        if how == A_QUEUED:
            # No endpoint has room: whoever waits there waits for the first time.
            self.cluster.forget(self, None)
        return self._give_up()

    # -- a connection -------------------------------------------------------------------------------------

    cdef int on_line(self, UpstreamHome home) except -1:
        self.pool = <Pool>home
        return 0

    cdef int on_no_upstream(self, UpstreamHome home, Reason reason) except -1:
        return self._give_up()

    cdef int on_upstream(self, Upstream upstream) except -1:
        cdef Exchange exchange = self.exchange
        cdef uint32_t n
        self.pool = <Pool>upstream.home
        self.upstream = upstream
        self.connected_us = self.workspace.clock.now_us
        if upstream.requests == 1 and not upstream.reused:
            self.connected_us = self.workspace.clock.tick()
            self.connect_us = self.connected_us - max(upstream.dialled_us, self.began_us)
        n = exchange.compose_request()
        self.state = move(self.workspace, MACHINE_HEDGE, self.state, H_SENT)
        # A connection that does not take a head at once is not the way to be faster.
        if n == 0 or upstream.stream.write_some(self.workspace.compose, n) != <ssize_t>n:
            return self._give_up()
        exchange.attempts += 1
        exchange.retries += 1
        self.cluster.retry.count(RW_HEDGE_SENT)
        # An answer may be there already; its event would be none of ours.
        return self._read() if upstream.stream.may_read else 0

    # -- a response ---------------------------------------------------------------------------------------

    cdef int on_upstream_event(self, Upstream upstream, uint32_t what) except -1:
        if self.state == H_SENT and upstream.stream.may_read:
            return self._read()
        return 0

    cdef int _failed(self, Reason reason) except -1:
        """The endpoint has failed this one."""
        self.pool.failed(reason)
        if self.upstream is None or not self.upstream.reused:
            self.pool.suspect(reason)
        return self._give_up()

    cdef int _read(self) except -1:
        cdef Stream stream = self.upstream.stream
        cdef Buffer buf = self.buf
        cdef ssize_t got = IO_BLOCKED
        cdef int verdict
        if buf is None:
            buf = self.buf = self.workspace.buffers.take(HEDGE_BUFFER)
        while stream.may_read:
            if buf.end == buf.size - RELAY_TAILROOM:
                if buf.end - buf.start >= self.cluster.max_response_head_bytes:
                    return self._failed(R_RESPONSE_HEAD_TOO_LARGE)
                buf = self.buf = self.workspace.buffers.regrow(buf, buf.size * 2)
            got = stream.read_some(buf.data + buf.end, buf.size - RELAY_TAILROOM - buf.end)
            if got <= 0:
                break
            buf.end += <uint32_t>got
            verdict = self._heads()
            if verdict > 0:
                self._outrun()
                return self._win()
            if verdict < 0:
                return self._failed(R_BAD_RESPONSE)
        if got != IO_BLOCKED and got <= 0:
            return self._failed(R_UPSTREAM_CLOSED)
        if buf.start == buf.end:        # while it waits it owns none
            self.workspace.buffers.give(buf)
            self.buf = None
        return 0

    cdef int _heads(self) except -2:
        cdef Head* head = &self.workspace.response_head
        cdef Buffer buf = self.buf
        cdef HeadLimits limits
        cdef Step step
        limits.head_bytes = self.cluster.max_response_head_bytes
        limits.fields = self.cluster.max_response_fields
        limits.target_bytes = 0
        self.workspace.response_owner = None    # somebody's hook may be awaited, and look at it again
        while True:
            head.scanned = 0
            step = scan_response(buf.data + buf.start, buf.end - buf.start, &limits, head)
            if step == FAILED:
                return -1
            if step != DONE:
                return 0
            if head.status >= 200:
                # An endpoint that is quick to say that it cannot must not beat one that can.
                return -1 if head.status >= 500 or head.status == 429 else 1
            self.interim += 1
            if head.status == 101 or self.interim > MAX_INTERIM:
                return -1
            buf.start += head.length

    # -- ends ---------------------------------------------------------------------------------------------

    cdef void _outrun(self) noexcept:
        cdef Pool other = self.exchange.pool
        cdef int64_t now_us = self.workspace.clock.tick()
        cdef int64_t waited_us = now_us - self.exchange.connected_us
        # As long as the client has waited: by what the quicker one took, hedges would come sooner and sooner.
        self.cluster.hedge.observe(waited_us)
        # The other one has taken so long at least, and nobody will hear how long. It must not look as if it were good.
        if other.timed and waited_us > other.peak.us:
            peak_note(&other.peak, waited_us, now_us)

    cdef int _win(self) except -1:
        cdef Exchange exchange = self.exchange
        cdef Upstream upstream = self.upstream
        cdef Buffer buf = self.buf
        self.upstream = None
        self.buf = None
        # What is measured from here on is the time of the endpoint that answers.
        exchange.connected_us = self.connected_us
        exchange.connect_us = self.connect_us
        self.cluster.retry.count(RW_HEDGE_WON)
        self._end()
        return exchange.take_over(upstream, buf)

    cdef bint promote(self) except -1:
        if self.state != H_SENT:
            self._end()
            return False
        self._win()
        return True

    cdef int _give_up(self) except -1:
        self.cluster.retry.count(RW_HEDGE_FAILED)
        return self._end()

    cdef int cancel(self) except -1:
        return self._end()

    cdef int on_failure(self, Reason reason) except -1:
        return self._give_up() if self.exchange is not None else 0

    cdef int _end(self) except -1:
        cdef Upstream upstream = self.upstream
        if self.exchange is None:
            return 0
        if self.waiting != W_NOT:
            self.cluster.forget(self, self.pool)
        self.state = move(self.workspace, MACHINE_HEDGE, self.state, H_OVER)
        self.exchange.second = None
        self.exchange = None
        self.upstream = None
        if self.buf is not None:
            self.workspace.buffers.give(self.buf)
            self.buf = None
        if upstream is not None:
            self.pool.give(upstream, False)
        return 0
