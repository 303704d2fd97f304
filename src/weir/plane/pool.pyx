"""The connections to one endpoint.

What is hard here: an exchange that finds no idle connection starts a dial and takes whichever comes first,
that dial or a connection another exchange gives back. So a dial belongs to nobody. Exchanges wait in one
line, connections come from either side, and the first in line gets the next one. A failed dial is charged
to the first in line, but only if fewer dials than waiting exchanges are left.
"""

from libc.stdint cimport int64_t, uint32_t

from weir.plane.codes cimport R_NO_ENDPOINT, R_OUT_OF_DESCRIPTORS, R_OUT_OF_MEMORY, Reason
from weir.plane.columns cimport (
    EF_ATTEMPTS, EF_DIAL_FAILURES, EF_DIALS, EF_PASSED_OVER, EF_RACES_LOST, EF_RETIRED, EF_REUSES, EF_SPOILED,
)
from weir.plane.debug cimport invariant
from weir.plane.keepalive cimport TEACHES_MS, UNUSED_LIMIT_MS, UNUSED_SAFE_MS, IdleLearner
from weir.plane.outcome cimport Outcomes, PoolOwner
from weir.plane.roster cimport Entry
from weir.plane.states cimport MACHINE_UPSTREAM, U_BUSY, U_CLOSED, U_CONNECTING, U_IDLE, U_PROBE, U_SURPLUS
from weir.plane.stream cimport Address, Stream
from weir.plane.syscalls cimport EMFILE, ENFILE, ENOBUFS, ENOMEM
from weir.plane.upstream cimport W_POOL, Line, Upstream, UpstreamUser, connect_reason
from weir.plane.workspace cimport Workspace, move

cdef enum:
    # A connection idle for less is used without asking the kernel first. Endpoints close connections that were
    # idle for seconds; a close that epoll has not told of yet, after so short a rest, is a race that asking
    # would rarely win.
    TRUST_IDLE_MS = 500
    BACKOFF_FIRST_MS = 100
    BACKOFF_LAST_MS = 5000


cdef class Pool(Outcomes):
    """Connections to one endpoint; the settings are those of `weir.config.plan.PoolPlan`."""

    def __cinit__(self, Workspace workspace not None, PoolOwner owner not None, Entry entry not None, str name not None,
                  plan, int64_t connect_timeout_ms):
        self.workspace = workspace
        self.owner = owner
        self.entry = entry
        self.name = name
        self.endpoint_text = name.encode()
        self.host_text = self.endpoint_text
        if name.startswith(("unix:", "asgi:", "files:")):
            self.host_text = b"localhost"
        elif name[:7].lower() == "http://":
            self.host_text = name[7:].encode()
        self.addresses = []
        self.line = Line()
        self.max_idle = plan.max_idle
        self.max_connections = plan.max_connections
        self.learner = IdleLearner(plan.idle_timeout_ms)
        self.unused_limit_ms = plan.idle_timeout_ms if plan.idle_timeout_ms else UNUSED_LIMIT_MS
        self.max_age_ms = plan.max_age_ms
        self.max_requests = plan.max_requests
        self.min_idle = plan.min_idle
        self.wait_idle_ms = plan.wait_idle_ms
        self.give_back_ms = plan.give_back_ms
        self.connect_timeout_ms = connect_timeout_ms
        self.backoff_ms = BACKOFF_FIRST_MS
        self.base_weight = 1
        self.near = True

    # -- taking -------------------------------------------------------------------------------------------

    cdef Acquired acquire(self, UpstreamUser user, bint now) except *:
        cdef Upstream upstream
        cdef IdleLearner learner = self.learner
        # What cannot be repeated must not rest for longer than it seems: a turn of the engine may have been long.
        cdef int64_t now_ms = (self.workspace.clock.now_us if user.repeatable else self.workspace.clock.tick()) // 1000
        cdef int64_t rest_ms, safe_ms
        cdef bint fresh = user.fresh
        if learner.batch or learner.shorts:
            learner.settle(now_ms)
        while True:
            upstream = self.idle if self.idle is not None else self.surplus
            if upstream is None:
                break
            rest_ms = now_ms - upstream.idle_since_ms
            safe_ms = learner.safe_ms if upstream.requests else UNUSED_SAFE_MS
            if not user.repeatable and not fresh and rest_ms + upstream.doubt_ms > safe_ms:
                fresh = True        # those behind it have rested for longer
                self.entry.figures[EF_PASSED_OVER] += 1
            if fresh and self.open < self.max_connections:
                break
            self._unlist(upstream)
            if fresh:           # its place is needed, not itself
                self._close(upstream)
                continue
            if rest_ms > learner.limit_ms and upstream.state == U_IDLE and upstream.requests:
                self._time_over(upstream, now_ms)
                continue
            if upstream.requests >= self.max_requests or now_ms - upstream.born_ms >= self.max_age_ms:
                self._close(upstream)
                continue
            if not user.repeatable or rest_ms > TRUST_IDLE_MS:
                if upstream.stream.is_spoiled():
                    self._found_closed(upstream, now_ms)
                    continue
            self.entry.figures[EF_REUSES] += 1
            upstream.reused = True
            upstream.rested_ms = rest_ms
            self._hand_over(upstream, user)
            if self.min_idle:
                self.keep_warm()
            self.taken = upstream       # only now: an early dial uses the same place
            return A_TAKEN
        if self.wait_idle_ms and not now and not fresh and self.open > 0:
            user.patient = True
            self.patient += 1
            self.line.join(user, W_POOL)
            return A_WAIT_IDLE
        return self.dial_for(user)

    cdef Acquired dial_for(self, UpstreamUser user) except *:
        cdef Acquired result
        self._hurry(user)
        if self.open >= self.max_connections and self.probe is not None:
            self._close(self.probe)
        if self.open >= self.max_connections:
            # Dials under way count as open: whoever is in line may get one of those.
            if self.connecting > self.line.length - self.patient - (user.waiting == W_POOL):
                if user.waiting != W_POOL:
                    self.line.join(user, W_POOL)
                return A_CONNECTING
            self.forget(user)
            return A_FULL
        result = self._start_dial()
        if result == A_CONNECTING:
            if user.waiting != W_POOL:
                self.line.join(user, W_POOL)
        else:
            self.forget(user)
            if result == A_TAKEN:
                self._hand_over(self.taken, user)
        return result

    cdef void forget(self, UpstreamUser user) noexcept:
        if user.waiting == W_POOL:
            self._hurry(user)
            self.line.leave(user)

    cdef void _hand_over(self, Upstream upstream, UpstreamUser user) noexcept:
        upstream.state = move(self.workspace, MACHINE_UPSTREAM, upstream.state, U_BUSY)
        upstream.user = user
        upstream.requests += 1
        self.owner.busy += 1
        self.entry.figures[EF_ATTEMPTS] += 1
        self.workspace.wheel.disarm(upstream)

    # -- dialling -----------------------------------------------------------------------------------------

    cdef Acquired _start_dial(self) except *:
        """Dials. A_TAKEN: connected at once (self.taken, in nobody's hands yet)."""
        cdef Upstream upstream
        if not self.addresses:
            self.failure = R_NO_ENDPOINT
            return A_FAILED
        upstream = Upstream.__new__(Upstream)
        upstream.home = self
        upstream.first_address = self.preferred
        upstream.state = U_CONNECTING
        upstream.born_ms = self.workspace.clock.now_us // 1000
        self.open += 1
        self.workspace.upstreams += 1
        if not self._connect_next(upstream):
            self._close(upstream)
            self.failed(self.failure)
            self.suspect(self.failure)
            return A_FAILED
        if upstream.stream.connecting:
            upstream.next = self.dialling
            if self.dialling is not None:
                self.dialling.previous = upstream
            self.dialling = upstream
            self.connecting += 1
            return A_CONNECTING
        self.backoff_ms = BACKOFF_FIRST_MS
        self._prefer(upstream)
        self.taken = upstream
        return A_TAKEN

    cdef bint _connect_next(self, Upstream upstream) except *:
        """Tries the addresses not tried yet; False: none took it, self.failure says why."""
        cdef Stream stream
        cdef Address address
        cdef int64_t now_us
        cdef int count = len(self.addresses)
        while upstream.addresses_tried < count:
            # (Not `preferred`, which another dial may have changed since: each address is tried once.)
            address = self.addresses[(upstream.first_address + upstream.addresses_tried) % count]
            upstream.addresses_tried += 1
            self.entry.figures[EF_DIALS] += 1
            now_us = self.workspace.clock.tick()
            stream = self.workspace.dialer.dial(self.workspace.engine, address)
            if stream is None:
                self.entry.figures[EF_DIAL_FAILURES] += 1
                self.failure = connect_reason(self.workspace.dialer.error)
                if self.workspace.dialer.error in (EMFILE, ENFILE):
                    self.failure = R_OUT_OF_DESCRIPTORS
                    return False
                if self.workspace.dialer.error in (ENOBUFS, ENOMEM):
                    self.failure = R_OUT_OF_MEMORY
                    return False
                continue
            stream.owner = upstream
            upstream.stream = stream
            upstream.dialled_us = now_us
            if stream.connecting:
                self.workspace.wheel.arm(upstream, self.connect_timeout_ms)
            return True
        return False

    cdef int on_connected(self, Upstream upstream) except -1:
        self._unlist(upstream)
        self.workspace.wheel.disarm(upstream)
        self.backoff_ms = BACKOFF_FIRST_MS
        self.learner.connected(self.workspace.clock.now_us - upstream.dialled_us)
        self._prefer(upstream)
        return self._settle(upstream)

    cdef int _prefer(self, Upstream upstream) except -1:
        """The address that has answered is tried first from here on."""
        if self.addresses:
            self.preferred = (upstream.first_address + upstream.addresses_tried - 1) % len(self.addresses)
        return 0

    cdef int on_connect_failed(self, Upstream upstream, Reason reason) except -1:
        cdef UpstreamUser user
        self.entry.figures[EF_DIAL_FAILURES] += 1
        upstream.stream.close()
        upstream.stream = None
        if self._connect_next(upstream):
            if upstream.stream.connecting:
                return 0
            return self.on_connected(upstream)
        self._unlist(upstream)
        self._close(upstream)
        self.failed(reason)
        self.suspect(reason)
        if self.min_idle:
            self._back_off()
        while self.line.length - self.patient > self.connecting:
            user = self.line.take_impatient()
            try:
                user.on_no_upstream(self, reason)
            except Exception as error:
                self.workspace.engine.failed(user, error)
        return 0

    # -- giving back --------------------------------------------------------------------------------------

    cdef int give(self, Upstream upstream, bint reusable) except -1:
        invariant(self.owner.busy > 0)
        self.owner.busy -= 1
        upstream.user = None
        upstream.stream.owner = upstream
        if (
            not reusable
            or self.closed
            or self.workspace.draining
            or upstream.stream.peer_done
            or upstream.requests >= self.max_requests
        ):
            return self._close(upstream)
        if upstream.stream.may_read:
            # The last read was filled to the brim; bytes behind it have had their edge already.
            if upstream.stream.is_spoiled():
                self.entry.figures[EF_SPOILED] += 1
                return self._close(upstream)
            upstream.stream.may_read = False
        return self._settle(upstream)

    cdef int _settle(self, Upstream upstream) except -1:
        """A connection is free: to the first in line, to the queue, or to rest."""
        cdef UpstreamUser user = None
        if self.patient and upstream.requests == 0:
            user = self.line.take_impatient()       # whose dial it may be, and who has no timer to ask for another
        if user is None:
            user = self.line.take()
            if user is not None:
                self._hurry(user)
        if user is None and self.owner.queue.length:
            user = self.owner.next_waiting(self)
        if user is not None:
            # One that was just given back may have been closed meanwhile, like one that has rested.
            upstream.reused = upstream.requests > 0
            upstream.rested_ms = 0
            self._hand_over(upstream, user)
            try:
                user.on_upstream(upstream)
            except Exception as error:
                self.workspace.engine.failed(user, error)
            return 0
        if self.closed:
            return self._close(upstream)
        upstream.idle_since_ms = self.workspace.clock.now_us // 1000
        if self.learner.shorts:
            self.learner.rests(upstream.idle_since_ms)
        upstream.doubt_ms = 0 if upstream.requests == 0 else upstream.idle_since_ms - upstream.answered_ms
        if self.idle_count < self.max_idle:
            self._list_idle(upstream)
        elif self.give_back_ms:
            upstream.state = move(self.workspace, MACHINE_UPSTREAM, upstream.state, U_SURPLUS)
            upstream.next = self.surplus
            if self.surplus is not None:
                self.surplus.previous = upstream
            self.surplus = upstream
            self.surplus_count += 1
            self.workspace.wheel.arm(upstream, self.give_back_ms)
        else:
            return self._close(upstream)
        return 0

    cdef void _list_idle(self, Upstream upstream) noexcept:
        upstream.state = move(self.workspace, MACHINE_UPSTREAM, upstream.state, U_IDLE)
        upstream.next = self.idle
        if self.idle is not None:
            self.idle.previous = upstream
        self.idle = upstream
        self.idle_count += 1
        self.workspace.wheel.arm(upstream, max(self.learner.limit_ms, 1) if upstream.requests else self.unused_limit_ms)

    cdef void _unlist(self, Upstream upstream) noexcept:
        cdef Upstream promoted
        invariant(upstream.state == U_IDLE or upstream.state == U_CONNECTING or upstream.state == U_SURPLUS)
        if upstream.previous is not None:
            invariant(upstream.previous.next is upstream)
            upstream.previous.next = upstream.next
        elif upstream.state == U_IDLE:
            invariant(self.idle is upstream and self.idle_count > 0)
            self.idle = upstream.next
        elif upstream.state == U_CONNECTING:
            invariant(self.dialling is upstream and self.connecting > 0)
            self.dialling = upstream.next
        else:
            invariant(self.surplus is upstream and self.surplus_count > 0)
            self.surplus = upstream.next
        if upstream.next is not None:
            invariant(upstream.next.previous is upstream)
            upstream.next.previous = upstream.previous
        upstream.next = None
        upstream.previous = None
        if upstream.state == U_CONNECTING:
            self.connecting -= 1
            return
        if upstream.state == U_SURPLUS:
            self.surplus_count -= 1
            return
        self.idle_count -= 1
        if self.surplus is not None:
            # Room: the newest of those that wait to be given back is given back.
            promoted = self.surplus
            self._unlist(promoted)
            self._list_idle(promoted)

    cdef int _close(self, Upstream upstream) except -1:
        """Closes one that is in no list."""
        if upstream.state == U_CLOSED:
            return 0
        invariant(upstream.next is None and upstream.previous is None and self.open > 0)
        upstream.state = move(self.workspace, MACHINE_UPSTREAM, upstream.state, U_CLOSED)
        self.workspace.wheel.disarm(upstream)
        if upstream.stream is not None:
            upstream.stream.close()
        if upstream is self.probe:
            self.probe = None
        upstream.user = None
        self.open -= 1
        self.workspace.upstreams -= 1
        if self.owner.queue.length:
            self.workspace.engine.put_ready(self.owner)
        return 0

    cdef int on_idle_event(self, Upstream upstream) except -1:
        # Closed by the endpoint, or it speaks without being asked: either way of no use.
        if upstream.state != U_PROBE:
            self._unlist(upstream)
        self._found_closed(upstream, self.workspace.clock.now_us // 1000)
        return self.keep_warm() if self.min_idle else 0

    cdef int on_upstream_timeout(self, Upstream upstream) except -1:
        cdef int64_t now_ms = self.workspace.clock.now_us // 1000
        if upstream.state == U_PROBE:
            self.learner.probed(now_ms - upstream.idle_since_ms, now_ms)
            return self._close(upstream)
        self._unlist(upstream)
        self._time_over(upstream, now_ms) if upstream.state == U_IDLE else self._close(upstream)
        return self.keep_warm() if self.min_idle else 0

    # -- learning how long the endpoint keeps what rests ---------------------------------------------------

    cdef int _time_over(self, Upstream upstream, int64_t now_ms) except -1:
        """Its time is over: closed before the endpoint closes it, or left to rest on as the probe."""
        cdef int64_t probe_ms = 0, rest_ms = now_ms - upstream.idle_since_ms
        if upstream.stream.is_spoiled():
            return self._found_closed(upstream, now_ms)
        self.entry.figures[EF_RETIRED] += 1
        if upstream.requests == 0:
            return self._close(upstream)
        self.learner.survived(rest_ms, now_ms, True)
        if self.probe is None and upstream.doubt_ms <= TEACHES_MS and not self.closed and not self.workspace.draining:
            probe_ms = self.learner.begin_probe(now_ms) - rest_ms
        if probe_ms <= 0:
            return self._close(upstream)
        self.probe = upstream
        upstream.state = move(self.workspace, MACHINE_UPSTREAM, upstream.state, U_PROBE)
        self.workspace.wheel.arm(upstream, probe_ms)
        return 0

    cdef void answered(self, Upstream upstream, int64_t now_ms) noexcept:
        upstream.answered_ms = now_ms
        if upstream.reused and upstream.requests > 1 and upstream.rested_ms >= self.learner.watch_ms:
            self.learner.survived(upstream.rested_ms, now_ms, False)

    cdef int _found_closed(self, Upstream upstream, int64_t now_ms) except -1:
        """The endpoint has closed one that rested; it is in no list."""
        self.entry.figures[EF_SPOILED] += 1
        self._close(upstream)
        self._learn_close(upstream, now_ms - upstream.idle_since_ms, now_ms)
        return 0

    cdef void _learn_close(self, Upstream upstream, int64_t rest_ms, int64_t now_ms) noexcept:
        # One that has carried nothing yet waits under another timeout of the endpoint's.
        if upstream.requests and upstream.doubt_ms <= TEACHES_MS:
            self.learner.closed(rest_ms, now_ms, self.idle_count + self.surplus_count + (self.probe is not None))

    cdef void lost_race(self, Upstream upstream) noexcept:
        self.entry.figures[EF_RACES_LOST] += 1
        if upstream.requests > 1:
            self._learn_close(upstream, upstream.rested_ms, self.workspace.clock.now_us // 1000)

    # -- how busy it is -----------------------------------------------------------------------------------

    cdef uint32_t active(self) noexcept:
        return self.open - self.idle_count - self.surplus_count - self.connecting - (self.probe is not None)

    cdef uint32_t load(self) noexcept:
        return self.active() + self.line.length

    # -- staying warm -------------------------------------------------------------------------------------

    cdef int keep_warm(self) except -1:
        cdef Acquired result
        while (
            not self.closed
            and not self.workspace.draining
            and self.idle_count + self.connecting < self.min_idle + self.line.length
            and self.idle_count < self.max_idle
            and self.open < self.max_connections
        ):
            result = self._start_dial()
            if result == A_FAILED:
                self._back_off()
                break
            if result == A_TAKEN:
                self._settle(self.taken)
        return 0

    cdef void _back_off(self) noexcept:
        self.workspace.wheel.arm(self, self.backoff_ms)
        if self.backoff_ms < BACKOFF_LAST_MS:
            self.backoff_ms *= 2

    cdef int on_timeout(self) except -1:
        return self.keep_warm()

    cdef int retire(self) except -1:
        cdef Upstream upstream
        self.closed = True
        if self.probe is not None:
            self._close(self.probe)
        while True:
            upstream = self.idle if self.idle is not None else self.surplus
            if upstream is None:
                break
            self._unlist(upstream)
            self._close(upstream)
        self.workspace.wheel.disarm(self)
        return 0

    cdef int close_all(self) except -1:
        cdef Upstream upstream
        self.closed = True
        if self.probe is not None:
            self._close(self.probe)
        while self.open:
            upstream = self.idle if self.idle is not None else self.surplus
            if upstream is None:
                upstream = self.dialling
            if upstream is None:    # the rest is busy
                break
            self._unlist(upstream)
            self._close(upstream)
        self.workspace.wheel.disarm(self)
        return 0
