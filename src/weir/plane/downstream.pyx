"""A client's connection: heads in, exchanges in order, answers to what is not a request."""

from libc.stdint cimport uint32_t
from libc.string cimport memmove

from weir.plane.arrival cimport Arrival
from weir.plane.buffer cimport BUFFER_SMALL, Buffer
from weir.plane.codes cimport (
    DONE,
    FAILED,
    NEED_MORE,
    R_BAD_PROXY_HEADER,
    R_CLIENT_CLOSED,
    R_CLIENT_LIMIT,
    R_CLIENT_STALLED,
    R_DRAINING,
    R_EVICTED,
    R_HEAD_TIMEOUT,
    R_IDLE_TIMEOUT,
    R_NONE,
    R_OUT_OF_MEMORY,
    R_PROXY_HEADER_TIMEOUT,
    Reason,
    Step,
)
from weir.plane.engine cimport Source
from weir.plane.exchange cimport Exchange
from weir.plane.filters cimport Asked
from weir.plane.forward cimport take_exchange
from weir.plane.framing cimport Framing
from weir.plane.head cimport Head, scan_request
from weir.plane.intake cimport Intake, take_in
from weir.plane.options cimport Route
from weir.plane.proxyproto cimport ProxyHeader, scan_proxy_header
from weir.plane.states cimport (
    D_CLOSED,
    D_CLOSING,
    D_EXCHANGE,
    D_HEAD,
    D_IDLE,
    D_LINGER,
    D_PREFACE,
    MACHINE_DOWNSTREAM,
)
from weir.plane.stream cimport (
    IO_BLOCKED,
    IO_FAILED,
    STREAM_DOWN,
    STREAM_WRITE,
    Stream,
)
from weir.plane.syscalls cimport ssize_t
from weir.plane.workspace cimport move


cdef class DownstreamOwner(Source):
    """A listener, as its connections see it."""

    cdef int on_closed(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_closed")


cdef class Downstream(Arrival):
    """One client connection."""

    # -- life ---------------------------------------------------------------------------------------------

    cdef int start(self) except -1:
        cdef Downstream first = self.listener.first
        self.next = first
        if first is not None:
            first.previous = self
        self.listener.first = self
        self.listener.open += 1
        self.workspace.downstreams += 1
        self.stream.owner = self
        self._wait_here(True)
        try:
            self.stream.watch()
        except OSError:
            # The kernel watches no more of them: what nobody would hear of is not kept.
            self.workspace.reasons[<int>R_OUT_OF_MEMORY] += 1
            self.stream.reset()
            return self.close()
        # A client that connects and says nothing is held to the time for a head.
        self.workspace.wheel.arm(self, self.options.request_header_timeout_ms)
        if self.options.asks and self.arrive() and self.options.proxy_header:
            self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_PREFACE)
        return 0

    cdef int close(self) except -1:
        if self.state == D_CLOSED:
            return 0
        self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_CLOSED)
        self._stop_waiting()
        self.leave_table()
        if self.kept is not None:
            self.drop_kept()
        self.workspace.wheel.disarm(self)
        self.stream.close()
        if self.inbuf is not None:
            self.workspace.buffers.give(self.inbuf)
            self.inbuf = None
        if self.out is not None:
            self.workspace.buffers.give(self.out)
            self.out = None
        if self.previous is None:
            self.listener.first = self.next
        else:
            self.previous.next = self.next
        if self.next is not None:
            self.next.previous = self.previous
        self.next = None
        self.previous = None
        self.listener.open -= 1
        self.workspace.downstreams -= 1
        self.listener.on_closed()
        if self.workspace.draining and self.workspace.downstreams == 0 and self.workspace.on_quiet is not None:
            self.workspace.on_quiet()
            self.workspace.engine.want_python()
        return 0

    cdef int drain(self) except -1:
        self.close_when_done = True
        self.told = True
        if self.state == D_PREFACE:
            # What has come is heard; nobody waits for the rest.
            self.stream.may_read = True
            if not self._greet():
                return self.close()
        if self.state != D_IDLE:
            return 0
        return self._say_goodbye()

    cdef int _say_goodbye(self) except -1:
        """Leaves, unless a request is here already that nobody was told of yet: that one is served first.

        What is still on its way to us meets a half-closed connection, and is counted: HTTP/1.1 has no word for "no
        more" that comes before the close.
        """
        self.leaving = True
        self.lingered = 1
        self.stream.may_read = True
        return self._run()

    # -- waiting: what may be closed to make room -----------------------------------------------------------

    cdef void _wait_here(self, bint anew) noexcept:
        cdef DownstreamOwner listener = self.listener
        if self.waits:
            if not anew:
                return
            self._stop_waiting()
        self.waits = True
        self.waits_since_ms = self.workspace.clock.now_us // 1000
        self.wait_previous = listener.waiting_last
        if listener.waiting_last is None:
            listener.waiting_first = self
        else:
            listener.waiting_last.wait_next = self
        listener.waiting_last = self

    cdef void _stop_waiting(self) noexcept:
        if not self.waits:
            return
        self.waits = False
        if self.wait_previous is None:
            self.listener.waiting_first = self.wait_next
        else:
            self.wait_previous.wait_next = self.wait_next
        if self.wait_next is None:
            self.listener.waiting_last = self.wait_previous
        else:
            self.wait_next.wait_previous = self.wait_previous
        self.wait_next = None
        self.wait_previous = None

    cdef int evict(self) except -1:
        self.workspace.reasons[<int>R_EVICTED] += 1
        return self.close()

    # -- events -------------------------------------------------------------------------------------------

    cdef int on_stream(self, Stream stream, uint32_t what) except -1:
        cdef Exchange exchange
        cdef uint32_t taken
        if self.out is not None and what & STREAM_WRITE:
            taken = self.out.start
            self._flush_out()
            if self.out is not None and self.out.start > taken and self.state != D_EXCHANGE:
                self.workspace.wheel.arm(self, self.options.send_timeout_ms)    # it takes its answer, if slowly
            if self.out is None and self.state == D_HEAD:
                # The time for a head begins when it is heard again.
                self.workspace.wheel.arm(self, self.options.request_header_timeout_ms)
        if self.state == D_EXCHANGE:
            exchange = self.exchange    # held: it may end in there
            return exchange.on_client_event(what)
        if self.state == D_CLOSED:
            return 0
        if self.state == D_LINGER:
            return self._linger()
        if what & STREAM_DOWN:
            return self.close()
        # (With an answer to take it is not heard, and whatever it sends gives it no more time for that.)
        if self.state == D_CLOSING or self.out is not None or (self.state == D_PREFACE and not self._greet()):
            return 0
        return self._run()

    cdef int on_failure(self, Reason reason) except -1:
        cdef Exchange exchange = self.exchange
        self.close_when_done = True
        if exchange is not None:
            exchange.on_failure(reason)
        else:
            self.workspace.reasons[<int>reason] += 1
        return self.close()

    cdef int on_timeout(self) except -1:
        if self.state == D_CLOSING or (
            self.out is not None and (self.state == D_HEAD or (self.state == D_IDLE and not self.close_when_done))
        ):
            self.workspace.reasons[<int>R_CLIENT_STALLED] += 1
            self.stream.reset()
            return self.close()
        if self.state == D_HEAD:
            return self._refuse(R_HEAD_TIMEOUT, False, self.options.route)
        if self.state == D_IDLE and self.close_when_done:
            return self._say_goodbye()
        if self.state == D_IDLE:
            self.workspace.reasons[<int>R_IDLE_TIMEOUT] += 1
            return self.close()
        if self.state == D_LINGER:
            return self.close()
        if self.state == D_PREFACE:
            return self.turn_away(R_PROXY_HEADER_TIMEOUT)
        return 0

    cdef bint _greet(self) except -1:
        cdef ProxyHeader header
        cdef Step step = NEED_MORE
        while step == NEED_MORE:
            if not self.stream.may_read or self._read() <= 0:
                return False
            step = scan_proxy_header(self.inbuf.data + self.inbuf.start, self.inbuf.end - self.inbuf.start, &header)
        if step == FAILED:
            self.turn_away(R_BAD_PROXY_HEADER)
            return False
        self.inbuf.start += header.length
        self.head_started_us = self.workspace.clock.now_us
        self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_IDLE)
        self.workspace.wheel.arm(self, self.options.request_header_timeout_ms)
        return self.introduce(&header)

    # -- heads --------------------------------------------------------------------------------------------

    cdef int _run(self) except -1:
        """Reads and serves until there is nothing to read or an exchange is in progress.

        Who does not take its answers is not heard: else they would pile up, and the next one has to fit behind them.
        """
        cdef int rounds = 0
        cdef Step step = NEED_MORE
        cdef int got
        if self.running:        # an exchange that ended at once called back: the loop below goes on
            return 0
        self.running = True
        try:
            if self.inbuf is not None and self.inbuf.start < self.inbuf.end and self.scanned == 0:
                step = DONE
            while self.state <= D_HEAD and self.out is None:
                if step != NEED_MORE:
                    if rounds == DOWNSTREAM_ROUNDS:
                        self.workspace.engine.put_ready(self.stream)
                        break
                    rounds += 1
                    step = self._parse()
                    if self.inbuf is None or self.inbuf.start == self.inbuf.end:
                        step = NEED_MORE
                    continue
                if not self.stream.may_read:
                    break
                got = self._read()
                if got <= 0:
                    break
                step = DONE
        finally:
            self.running = False
        return self._rest()

    cdef int _rest(self) except -1:
        """Nothing to do for now: what is kept, and how long."""
        if self.state > D_HEAD:
            return 0
        if self.inbuf is None or self.inbuf.start == self.inbuf.end:
            if self.inbuf is not None:
                self.workspace.buffers.give(self.inbuf)
                self.inbuf = None
            if self.state != D_IDLE:
                self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_IDLE)
            self._wait_here(False)
            if self.close_when_done:
                if self.leaving or not self.workspace.draining:
                    return self._leave()
                # Its last answer, of before the drain, has promised that the connection stays: the next request may be
                # on its way.
                self.workspace.wheel.arm(self, PROMISE_MS)
            elif self.out is not None:
                self.workspace.wheel.arm(self, self.options.send_timeout_ms)    # it has an answer to take
            elif self.requests:
                self.workspace.wheel.arm(self, self.options.idle_timeout_ms)
        elif self.state == D_IDLE:
            self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_HEAD)
            self._wait_here(True)
            self.workspace.wheel.arm(
                self, self.options.request_header_timeout_ms if self.out is None else self.options.send_timeout_ms
            )
        return 0

    cdef int _read(self) except -2:
        """More bytes of a head: how many; 0 or -1 if there are none."""
        cdef Buffer buf = self.inbuf
        cdef ssize_t got
        cdef uint32_t held
        if buf is None:
            buf = self.inbuf = self.workspace.buffers.take(BUFFER_SMALL)
        elif buf.end == buf.size:
            held = buf.end - buf.start
            if buf.start:
                memmove(buf.data, buf.data + buf.start, held)
                buf.start = 0
                buf.end = held
            else:
                buf = self.inbuf = self.workspace.buffers.regrow(buf, buf.size * 2)
        self.workspace.clock.tick()
        if buf.start == buf.end:
            self.head_started_us = self.workspace.clock.now_us
        got = self.stream.read_some(buf.data + buf.end, buf.size - buf.end)
        if got > 0:
            buf.end += <uint32_t>got
            return <int>got
        if got == IO_BLOCKED:
            return -1
        # The end, or broken. Half a head is nobody's request.
        if self.state == D_HEAD or buf.start < buf.end:
            self.workspace.reasons[<int>R_CLIENT_CLOSED] += 1
        self.close()
        return 0

    cdef Step _parse(self) except *:
        """One head out of inbuf. DONE: an exchange was begun (and perhaps is over already)."""
        cdef Head* head = &self.workspace.request_head
        cdef Buffer buf = self.inbuf
        cdef const char* p = buf.data + buf.start
        cdef Asked asked
        cdef Framing framing
        cdef Intake intake
        cdef Step step
        cdef Route route
        self.workspace.request_owner = None
        head.scanned = self.scanned
        step = scan_request(p, buf.end - buf.start, &self.options.limits, head)
        if step == NEED_MORE:
            self.scanned = head.scanned
            return NEED_MORE
        self.scanned = 0
        if step == FAILED:
            self._refuse(head.reason, False, self.options.route)
            return FAILED
        if self.believed:
            self.learn_client(p, head)
        asked.p = p
        asked.head = head
        asked.client = self.client
        asked.client_length = self.client_length
        asked.scratch = self.workspace.compose
        route = take_in(self.options, head, &asked, &self.origin, &framing, &intake, None)
        if intake.reason != R_NONE:
            self._refuse(intake.reason, True, route)
            return FAILED
        self._begin(route, &framing, &intake)
        return DONE

    cdef int _begin(self, Route route, const Framing* framing, const Intake* intake) except -1:
        cdef Exchange exchange
        cdef Framing mine = framing[0]
        self.requests += 1
        if self.close_when_done or (self.options.max_requests and self.requests >= self.options.max_requests):
            self.close_when_done = True
            mine.keep_alive = 0
        if self.options.page and self._wants_page():
            return self._serve_page(&mine)
        self.workspace.wheel.disarm(self)
        self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_EXCHANGE)
        self._stop_waiting()
        exchange = take_exchange(self.workspace)
        exchange.upgrade = intake.upgrade
        exchange.te_trailers = intake.te_trailers
        exchange.expect = intake.expect
        self.exchange = exchange
        self.workspace.request_owner = exchange
        exchange.record(self, route, &mine, self.head_started_us)
        if self.believed and self.options.clients is not None and not self.enter_request():
            return exchange.refuse(R_CLIENT_LIMIT)
        return exchange.start()

    # -- ends of exchanges --------------------------------------------------------------------------------

    cdef int exchange_done(self, Exchange exchange, bint keep) except -1:
        cdef Buffer buf = self.inbuf
        self.exchange = None
        if self.believed:
            self.leave_table()
            self.learn_client(NULL, NULL)
        if self.state == D_CLOSED:
            return 0
        if self.stream.closed:      # reset, so that the client sees a cut
            return self.close()
        if buf is not None:
            buf.start += exchange.consumed()
            if buf.start >= buf.end:
                buf.start = 0
                buf.end = 0
            else:
                self.head_started_us = self.workspace.clock.now_us
        self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_IDLE)
        if not exchange.request.done:
            self.lingered = 1       # more of its body is on the way
        if not keep:
            return self._leave()
        if self.running:
            return 0
        if (buf is None or buf.start == buf.end) and not self.stream.may_read:
            return self._rest()
        return self._run()

    cdef int _leave(self) except -1:
        """Closes, after the client has had what it is owed."""
        if self.out is not None:
            self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_CLOSING)
            self._wait_here(True)
            self.workspace.wheel.arm(self, self.options.send_timeout_ms)
            return 0
        if not self.stream.may_read and self.stream.peer_done:
            return self.close()
        if not self.stream.may_read and (self.inbuf is None or self.inbuf.start == self.inbuf.end):
            if self.lingered == 0:
                return self.close()
        self.stream.shutdown_write()
        self.state = move(self.workspace, MACHINE_DOWNSTREAM, self.state, D_LINGER)
        self._wait_here(True)
        if self.inbuf is not None:
            self.workspace.buffers.give(self.inbuf)
            self.inbuf = None
        self.workspace.wheel.arm(self, LINGER_MS)
        return self._linger()

    cdef int _written(self) except -1:
        return self._leave() if self.state == D_CLOSING else 0

    cdef int _linger(self) except -1:
        cdef Buffer scratch
        cdef ssize_t got = 0
        if not self.stream.may_read:
            return 0
        scratch = self.workspace.buffers.take(16384)
        while self.stream.may_read:
            got = self.stream.read_some(scratch.data, scratch.size)
            if got <= 0:
                break
            if self.leaving:
                self.leaving = False
                self.workspace.reasons[<int>R_DRAINING] += 1
            self.lingered += <uint32_t>got
            if self.lingered > LINGER_BYTES:
                got = 0
                break
        self.workspace.buffers.give(scratch)
        if got == 0 or got == IO_FAILED:
            return self.close()
        return 0
