"""Byte streams over sockets, and how they are dialled."""

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from weir.plane.codes cimport Reason
from weir.plane.engine cimport Engine, Source
from weir.plane.syscalls cimport (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    EAGAIN,
    EINPROGRESS,
    EINTR,
    ENOMEM,
    EPOLLERR,
    EPOLLET,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_PEEK,
    SHUT_WR,
    SIOCOUTQ,
    SO_ERROR,
    SO_LINGER,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    close as close_descriptor,
    connect,
    errno,
    getpeername,
    getsockname,
    getsockopt,
    htons,
    inet_pton,
    ioctl,
    iovec,
    linger,
    msghdr,
    ntohs,
    recv,
    send,
    sendmsg,
    setsockopt,
    shutdown,
    sockaddr,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_storage,
    sockaddr_un,
    socket,
    socklen_t,
    ssize_t,
)
from weir.plane.timers cimport TimerOwner


cdef class StreamOwner(TimerOwner):
    """Who is told what happens to a stream."""

    cdef int on_stream(self, Stream stream, uint32_t what) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_stream")


cdef class Stream(Source):
    """A two-way stream of bytes that never waits."""

    cdef ssize_t read_some(self, char* buf, size_t n) noexcept:
        return IO_FAILED

    cdef ssize_t write_some(self, const char* buf, size_t n) noexcept:
        return IO_FAILED

    cdef ssize_t write_two(self, const char* a, size_t n, const char* b, size_t m) noexcept:
        cdef ssize_t sent = self.write_some(a, n)
        cdef ssize_t more
        if sent < <ssize_t>n:
            return sent
        more = self.write_some(b, m)
        if more >= 0:
            return sent + more
        return sent if more == IO_BLOCKED else more

    cdef void shutdown_write(self) noexcept:
        pass

    cdef bint is_spoiled(self) noexcept:
        return True

    cdef int64_t unacknowledged(self) noexcept:
        return 0

    cdef bint local_address(self, sockaddr_storage* address) noexcept:
        return False

    cdef int watch(self) except -1:
        return 0

    cdef int on_failure(self, Reason reason) except -1:
        cdef StreamOwner owner = self.owner
        if owner is not None:
            return owner.on_failure(reason)
        self.close()
        return 0

    cdef void reset(self) noexcept:
        self.close()

    cdef void close(self) noexcept:
        pass


cdef class TcpStream(Stream):
    """A connected (or connecting) non-blocking socket, TCP or Unix."""

    def __dealloc__(self):
        if self.fd >= 0:
            close_descriptor(self.fd)

    cdef int on_ready(self, uint32_t events) except -1:
        cdef uint32_t what = 0
        cdef StreamOwner owner = self.owner     # held: it may let go of itself while it is told
        if events == 0:
            what = STREAM_AGAIN
        else:
            if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                self.may_read = True
                what |= STREAM_READ
            if events & (EPOLLOUT | EPOLLHUP | EPOLLERR):
                self.may_write = True
                what |= STREAM_WRITE
            if events & EPOLLRDHUP:
                self.peer_done = True
                what |= STREAM_PEER_DONE
            if events & (EPOLLHUP | EPOLLERR):
                self.peer_done = True
                what |= STREAM_DOWN
        if self.connecting and what & STREAM_WRITE:
            self._finish_connect()
        if owner is not None:
            owner.on_stream(self, what)
        return 0

    cdef void _finish_connect(self) noexcept:
        cdef int error = 0
        cdef socklen_t length = sizeof(error)
        self.connecting = False
        if getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0:
            error = errno
        self.error = error

    cdef ssize_t _failed(self) noexcept:
        self.error = errno
        return IO_FAILED

    cdef void _refused(self) noexcept:
        self.may_write = False
        if not self.watches_write and self.registered:
            self.watches_write = True
            try:
                self.engine.change(self, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
            except OSError:
                # Out of kernel memory for a change in place: cannot happen on Linux; a stall timer ends it.
                self.error = errno

    cdef ssize_t read_some(self, char* buf, size_t n) noexcept:
        cdef ssize_t got
        while True:
            got = recv(self.fd, buf, n, 0)
            if got > 0:
                # Fewer than asked: the kernel has no more, unless the end stands behind.
                if <size_t>got < n and not self.peer_done:
                    self.may_read = False
                return got
            if got == 0:
                self.may_read = False
                self.peer_done = True
                return 0
            if errno == EAGAIN:
                self.may_read = False
                return IO_BLOCKED
            if errno != EINTR:
                return self._failed()

    cdef ssize_t write_some(self, const char* buf, size_t n) noexcept:
        cdef ssize_t sent
        while True:
            sent = send(self.fd, buf, n, MSG_NOSIGNAL)
            if sent >= 0:
                if <size_t>sent < n:
                    self._refused()
                return sent
            if errno == EAGAIN:
                self._refused()
                return IO_BLOCKED
            if errno != EINTR:
                return self._failed()

    cdef ssize_t write_two(self, const char* a, size_t n, const char* b, size_t m) noexcept:
        cdef iovec parts[2]
        cdef msghdr message
        cdef ssize_t sent
        parts[0].iov_base = <void*>a
        parts[0].iov_len = n
        parts[1].iov_base = <void*>b
        parts[1].iov_len = m
        memset(&message, 0, sizeof(message))
        message.msg_iov = parts
        message.msg_iovlen = 2
        while True:
            sent = sendmsg(self.fd, &message, MSG_NOSIGNAL)
            if sent >= 0:
                if <size_t>sent < n + m:
                    self._refused()
                return sent
            if errno == EAGAIN:
                self._refused()
                return IO_BLOCKED
            if errno != EINTR:
                return self._failed()

    cdef void shutdown_write(self) noexcept:
        shutdown(self.fd, SHUT_WR)

    cdef bint is_spoiled(self) noexcept:
        cdef char byte
        cdef ssize_t got
        if self.peer_done:
            return True
        got = recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
        return not (got < 0 and errno == EAGAIN)

    cdef int64_t unacknowledged(self) noexcept:
        cdef int waiting = 0
        return waiting if ioctl(self.fd, SIOCOUTQ, &waiting) == 0 else 0

    cdef bint local_address(self, sockaddr_storage* address) noexcept:
        cdef socklen_t length = sizeof(sockaddr_storage)
        return getsockname(self.fd, <sockaddr*>address, &length) == 0

    cdef int watch(self) except -1:
        cdef uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET
        if self.connecting or not self.may_write:
            self.watches_write = True
            events |= EPOLLOUT
        self.engine.add(self, events)
        return 0

    cdef void reset(self) noexcept:
        cdef linger now
        now.l_onoff = 1
        now.l_linger = 0
        if self.fd >= 0:
            setsockopt(self.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now))
        self.close()

    cdef void close(self) noexcept:
        self.owner = None
        self.closed = True
        if self.fd >= 0:
            self.engine.remove(self)
            close_descriptor(self.fd)
            self.fd = -1


cdef TcpStream adopt(Engine engine, int fd):
    cdef TcpStream stream = TcpStream.__new__(TcpStream)
    stream.engine = engine
    stream.fd = fd
    stream.may_read = True
    stream.may_write = True
    return stream


cdef class Address:
    """A socket address: `Address(host="192.0.2.1", port=80)`, IPv6 alike, or `Address(path="/run/app.sock")`.

    Hosts are literals: names are resolved elsewhere. ValueError if it is not one.
    """

    def __init__(self, str host=None, int port=0, str path=None, uint32_t scope=0):
        cdef sockaddr_in* v4 = <sockaddr_in*>&self.storage
        cdef sockaddr_in6* v6 = <sockaddr_in6*>&self.storage
        cdef sockaddr_un* local = <sockaddr_un*>&self.storage
        memset(&self.storage, 0, sizeof(self.storage))
        if path is not None:
            raw = path.encode()
            if not raw or len(raw) >= <Py_ssize_t>sizeof(local.sun_path):
                raise ValueError(f"a Unix socket's path has 1 to {sizeof(local.sun_path) - 1} bytes: {path!r}")
            local.sun_family = AF_UNIX
            memcpy(local.sun_path, <const char*>raw, len(raw))
            self.length = sizeof(uint16_t) + len(raw) + 1
            self.text = f"unix:{path}"
        else:
            if not 0 < port < 65536:
                raise ValueError(f"a port is 1 to 65535, not {port}")
            raw = host.encode() if host is not None else b""
            if inet_pton(AF_INET, raw, &v4.sin_addr) == 1:
                v4.sin_family = AF_INET
                v4.sin_port = htons(port)
                self.length = sizeof(sockaddr_in)
                self.text = f"{host}:{port}"
            elif inet_pton(AF_INET6, raw, &v6.sin6_addr) == 1:
                v6.sin6_family = AF_INET6
                v6.sin6_port = htons(port)
                v6.sin6_scope_id = scope
                self.length = sizeof(sockaddr_in6)
                self.text = f"[{host}]:{port}"
            else:
                raise ValueError(f"not an address literal: {host!r}")
        self.text_bytes = self.text.encode()

    def __repr__(self) -> str:
        return f"Address({self.text!r})"

    def place(self):
        """Family and address as Python's sockets have them; of a Unix socket's path, the bytes."""
        cdef sockaddr_in* v4 = <sockaddr_in*>&self.storage
        cdef sockaddr_in6* v6 = <sockaddr_in6*>&self.storage
        if self.storage.ss_family == AF_UNIX:
            return AF_UNIX, self.text_bytes[5:]     # "unix:"
        host = self.text.rpartition(":")[0]
        if self.storage.ss_family == AF_INET:
            return AF_INET, (host, ntohs(v4.sin_port))
        return AF_INET6, (host[1:-1], ntohs(v6.sin6_port), 0, v6.sin6_scope_id)


cdef class Dialer:
    """Makes streams to addresses."""

    cdef Stream dial(self, Engine engine, Address address):
        raise NotImplementedError(f"{type(self).__name__}.dial")


cdef class TcpDialer(Dialer):
    """Dials real sockets."""

    cdef Stream dial(self, Engine engine, Address address):
        cdef TcpStream stream
        cdef sockaddr_storage peer
        cdef socklen_t length = sizeof(peer)
        cdef int one = 1
        cdef int family = address.storage.ss_family
        cdef int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if fd < 0:
            self.error = errno
            return None
        stream = adopt(engine, fd)
        if family != AF_UNIX:
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        if connect(fd, <sockaddr*>&address.storage, address.length) < 0:
            if errno != EINPROGRESS:
                self.error = errno
                stream.close()
                return None
            # To a near endpoint the handshake is over before connect returns, which yet says "in progress":
            # asking saves a turn through epoll.
            if getpeername(fd, <sockaddr*>&peer, &length) < 0:
                stream.connecting = True
                stream.may_write = False
        stream.may_read = False
        try:
            stream.watch()
        except (OSError, MemoryError) as error:
            self.error = error.errno if isinstance(error, OSError) else ENOMEM
            stream.close()
            return None
        return stream
