"""Accepting connections."""

from libc.stdint cimport int64_t, uint32_t

from weir.plane.downstream cimport Downstream, DownstreamOwner
from weir.plane.exchange cimport Exchange
from weir.plane.options cimport ListenerOptions
from weir.plane.origin cimport origin_of_peer, put_origin
from weir.plane.states cimport D_IDLE
from weir.plane.stream cimport Stream, adopt
from weir.plane.syscalls cimport (
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    EPOLLIN,
    IPPROTO_TCP,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    TCP_NOTSENT_LOWAT,
    accept4,
    errno,
    setsockopt,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)
from weir.plane.workspace cimport Workspace


cdef class Listener(DownstreamOwner):
    """A listening socket and the connections that came through it."""

    def __cinit__(self, Workspace workspace not None, ListenerOptions options not None, int64_t max_connections):
        self.workspace = workspace
        self.options = options
        self.max_connections = max_connections

    cdef int listen(self, int fd) except -1:
        # What is set here every connection inherits, without a system call of its own. Of a Unix socket it is refused.
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &self.options.notsent_lowat, sizeof(int))
        self.fd = fd
        self.workspace.engine.add(self, EPOLLIN)
        return 0

    cdef int stop(self) except -1:
        self.stopped = True
        self.workspace.wheel.disarm(self)
        self.workspace.engine.remove(self, True)
        return 0

    cdef int drain(self, int most) except -1:
        cdef Downstream downstream = self.first
        self.stop()
        if not self.draining:
            self.draining = True
            while downstream is not None:
                downstream.close_when_done = True
                downstream = downstream.next
        while most > 0:
            downstream = self.waiting_first
            if downstream is None or downstream.told:
                return 0
            most -= 1
            if downstream.state != D_IDLE:
                downstream._wait_here(True)     # behind those that were not told yet
            try:
                downstream.drain()
            except Exception as error:
                self.workspace.engine.failed(downstream, error)
        return 1

    cdef int close_all(self) except -1:
        cdef Downstream downstream
        cdef Exchange exchange
        self.stop()
        while self.first is not None:
            downstream = self.first
            exchange = downstream.exchange
            if exchange is not None:
                downstream.close_when_done = True
                exchange.abort(self.workspace.closing_reason)
            downstream.close()
        return 0

    # -- accepting ----------------------------------------------------------------------------------------

    cdef int on_ready(self, uint32_t events) except -1:
        cdef sockaddr_storage peer
        cdef socklen_t length
        cdef int fd
        # One at a time while they come one at a time: to ask in vain costs a system call per connection. The longer all
        # that were asked for have come, the more are asked for.
        cdef int left = 1 + (self.full_turns >> 3)
        if self.full_turns < 8 * (ACCEPT_BATCH - 1):
            self.full_turns += 1
        while left > 0:
            left -= 1
            if self._is_full() and not self._make_room():
                self._pause()
                self.workspace.wheel.arm(self, ACCEPT_PAUSE_MS)
                return 0
            length = sizeof(peer)
            fd = accept4(self.fd, <sockaddr*>&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                self.full_turns = 0
                if errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                    if self._make_room():
                        continue
                    self._pause()
                    self.workspace.wheel.arm(self, ACCEPT_PAUSE_MS)
                # Anything else is the end of one connection that never was; EAGAIN: no more.
                return 0
            self.accepted += 1
            self.welcome(adopt(self.workspace.engine, fd), &peer)
        return 0

    cdef int welcome(self, Stream stream, const sockaddr_storage* peer) except -1:
        cdef Downstream downstream = Downstream.__new__(Downstream)
        downstream.listener = self
        downstream.workspace = self.workspace
        downstream.options = self.options
        downstream.stream = stream
        origin_of_peer(peer, &downstream.hop)
        downstream.origin = downstream.hop
        downstream.client_length = put_origin(&downstream.hop, downstream.client)
        return downstream.start()

    cdef inline bint _is_full(self) noexcept:
        return self.open >= self.max_connections or self.workspace.downstreams >= self.workspace.max_downstreams

    cdef bint _make_room(self) except -1:
        """Closes the connection that has waited longest, if it has waited for a while."""
        cdef Downstream oldest = self.waiting_first
        if oldest is None or self.workspace.clock.now_us // 1000 - oldest.waits_since_ms < EVICT_AFTER_MS:
            return False
        oldest.evict()
        return True

    cdef int _pause(self) except -1:
        if not self.paused:
            self.paused = True
            self.pauses += 1
            self.workspace.engine.remove(self, True)
        return 0

    cdef int _resume(self) except -1:
        if self.paused and not self.stopped:
            self.paused = False
            self.workspace.engine.add(self, EPOLLIN)
        return 0

    cdef int on_closed(self) except -1:
        if self.paused and not self._is_full():
            return self._resume()
        return 0

    cdef int on_timeout(self) except -1:
        return self._resume()
