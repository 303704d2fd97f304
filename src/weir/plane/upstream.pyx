"""One connection to an endpoint, its users, and the lines they wait in."""

from libc.stdint cimport uint8_t, uint32_t

from weir.plane.codes cimport R_CONNECT_FAILED, R_CONNECT_REFUSED, R_CONNECT_TIMEOUT, R_OUT_OF_PORTS, Reason
from weir.plane.debug cimport invariant
from weir.plane.states cimport U_BUSY, U_CLOSED, U_CONNECTING, U_IDLE, U_KEPT, U_PROBE, U_SURPLUS
from weir.plane.stream cimport STREAM_DOWN, STREAM_PEER_DONE, STREAM_READ, STREAM_WRITE, Stream, StreamOwner
from weir.plane.syscalls cimport EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, ENOENT, ETIMEDOUT
from weir.plane.timers cimport TimerOwner

cdef enum:
    MOST_LOOKS = 64


cdef class UpstreamUser(TimerOwner):
    """An exchange, as the pool sees it."""

    cdef int on_upstream(self, Upstream upstream) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_upstream")

    cdef int on_line(self, UpstreamHome home) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_line")

    cdef int on_no_upstream(self, UpstreamHome home, Reason reason) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_no_upstream")

    cdef int on_upstream_event(self, Upstream upstream, uint32_t what) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_upstream_event")

    cdef bint keep(self, Upstream upstream) except -1:
        return False


cdef class Line:
    """Users that wait, in the order in which they came."""

    cdef void join(self, UpstreamUser user, uint8_t waiting) noexcept:
        invariant(user.waiting == W_NOT)
        user.waiting = waiting
        user.line_next = None
        user.line_previous = self.last
        if self.last is None:
            self.first = user
        else:
            self.last.line_next = user
        self.last = user
        self.length += 1

    cdef void join_again(self, UpstreamUser user, uint8_t waiting) noexcept:
        # One that was taken for nothing: it has its place again.
        invariant(user.waiting == W_NOT and self.taken > 0)
        self.taken -= 1
        if self.newest:
            self.join(user, waiting)
            return
        user.waiting = waiting
        user.line_previous = None
        user.line_next = self.first
        if self.first is None:
            self.last = user
        else:
            self.first.line_previous = user
        self.first = user
        self.length += 1

    cdef void leave(self, UpstreamUser user) noexcept:
        invariant(user.waiting != W_NOT and self.length > 0)
        if user.line_previous is None:
            invariant(self.first is user)
            self.first = user.line_next
        else:
            user.line_previous.line_next = user.line_next
        if user.line_next is None:
            invariant(self.last is user)
            self.last = user.line_previous
        else:
            user.line_next.line_previous = user.line_previous
        user.line_next = None
        user.line_previous = None
        user.waiting = W_NOT
        self.length -= 1
        invariant((self.first is None) == (self.length == 0) and (self.last is None) == (self.length == 0))

    cdef UpstreamUser take(self):
        cdef UpstreamUser user = self.first
        if user is not None:
            self.leave(user)
            self.taken += 1
            self.newest = False
        return user

    cdef UpstreamUser take_impatient(self):
        cdef UpstreamUser user = self.first
        while user is not None and user.patient:
            user = user.line_next
        if user is not None:
            self.leave(user)
            self.taken += 1
            self.newest = False
        return user

    cdef UpstreamUser take_for(self, UpstreamHome home, bint newest):
        cdef UpstreamUser user = self.last if newest else self.first
        cdef int looks = MOST_LOOKS
        while user is not None and home is not None and user.tried is not None and home in user.tried:
            looks -= 1
            if looks == 0:
                return None
            user = user.line_previous if newest else user.line_next
        if user is not None:
            self.leave(user)
            self.taken += 1
            self.newest = newest
        return user


cdef class UpstreamHome(TimerOwner):
    """A pool, as its connections see it."""

    cdef int on_connected(self, Upstream upstream) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_connected")

    cdef int on_connect_failed(self, Upstream upstream, Reason reason) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_connect_failed")

    cdef int on_idle_event(self, Upstream upstream) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_idle_event")

    cdef int on_upstream_timeout(self, Upstream upstream) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_upstream_timeout")


cdef Reason connect_reason(int error) noexcept:
    # ENOENT: nobody made the Unix socket. EAGAIN: its backlog is full (unix(7)).
    if error == ECONNREFUSED or error == ENOENT or error == EAGAIN:
        return R_CONNECT_REFUSED
    if error == ETIMEDOUT:
        return R_CONNECT_TIMEOUT
    if error == EADDRNOTAVAIL:
        return R_OUT_OF_PORTS
    return R_CONNECT_FAILED


cdef class Upstream(StreamOwner):
    """A connection to an endpoint."""

    cdef int on_stream(self, Stream stream, uint32_t what) except -1:
        cdef UpstreamUser user
        if self.state == U_BUSY:
            user = self.user    # held: its exchange may end in there
            return user.on_upstream_event(self, what)
        if self.state == U_CONNECTING:
            if stream.error:
                return self.home.on_connect_failed(self, connect_reason(stream.error))
            if what & STREAM_WRITE:
                return self.home.on_connected(self)
            return 0
        # That there is room to write, or a turn that an exchange had asked for which has been over meanwhile, says
        # nothing of the connection. Epoll tells of room together with anything else that happens.
        if self.state == U_CLOSED or what & (STREAM_READ | STREAM_PEER_DONE | STREAM_DOWN) == 0:
            return 0
        # Nor do bytes that were told of in the same turn in which an exchange, woken by its client or from the ready
        # list, has read them and given the connection back.
        if what & (STREAM_PEER_DONE | STREAM_DOWN) == 0 and not stream.is_spoiled():
            stream.may_read = False
            return 0
        return self.home.on_idle_event(self)

    cdef int on_failure(self, Reason reason) except -1:
        cdef UpstreamUser user = self.user
        if self.state == U_BUSY and user is not None:
            return user.on_failure(reason)
        if self.state == U_CONNECTING:
            return self.home.on_connect_failed(self, reason)
        if self.state != U_CLOSED:
            return self.home.on_upstream_timeout(self)
        return 0

    cdef int on_timeout(self) except -1:
        if self.state == U_CONNECTING:
            return self.home.on_connect_failed(self, R_CONNECT_TIMEOUT)
        if self.state in (U_IDLE, U_SURPLUS, U_PROBE, U_KEPT):
            return self.home.on_upstream_timeout(self)
        return 0
