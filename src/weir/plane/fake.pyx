"""Streams without a world: the peer is a test."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from weir.plane.engine cimport Engine
from weir.plane.stream cimport (
    IO_BLOCKED,
    IO_FAILED,
    STREAM_AGAIN,
    STREAM_DOWN,
    STREAM_PEER_DONE,
    STREAM_READ,
    STREAM_WRITE,
    Address,
    Dialer,
    Stream,
    StreamOwner,
)
from weir.plane.syscalls cimport ECONNRESET, ENOMEM, EPIPE, sockaddr_storage, ssize_t


cdef class FakeStream(Stream):
    """A stream whose peer is the test that holds it. Events are told in the engine's next turn."""

    def __cinit__(self, Engine engine not None, peer=None):
        self.engine = engine
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self._room = -1
        self.may_write = True
        self.peer = peer

    # -- the peer's side ----------------------------------------------------------------------------------

    def feed(self, bytes data not None, bint quietly=False) -> None:
        """The peer sends; `quietly`: the engine has not been told of it yet."""
        self.incoming += data
        if not quietly:
            self._tell(STREAM_READ)

    def feed_end(self) -> None:
        """The peer closes its sending side."""
        self.incoming_end = True
        self._tell(STREAM_READ | STREAM_PEER_DONE)

    def break_off(self) -> None:
        """The peer resets the connection."""
        self.broken = True
        self._tell(STREAM_READ | STREAM_WRITE | STREAM_PEER_DONE | STREAM_DOWN)

    def connect(self, int error=0) -> None:
        """A stream dialled in mode "wait" comes about, or fails with an errno."""
        self.connecting = False
        self.error = error
        self._tell(STREAM_WRITE | (STREAM_DOWN if error else 0))

    def take_sent(self) -> bytes:
        """What was written since the last time."""
        sent = bytes(self.outgoing)
        self.outgoing.clear()
        return sent

    @property
    def room(self) -> int:
        """How many more bytes the peer's window takes; -1: any number."""
        return self._room

    @room.setter
    def room(self, Py_ssize_t room):
        self._room = room
        if room != 0:
            self._tell(STREAM_WRITE)

    @property
    def is_closed(self) -> bool:
        """Whether the plane has closed it."""
        return self.closed

    # -- the plane's side ---------------------------------------------------------------------------------

    cdef int _tell(self, uint32_t events) except -1:
        if self.closed:
            return 0
        self.pending |= events
        if self.watching:
            self.engine.put_ready(self)
        return 0

    cdef int on_ready(self, uint32_t events) except -1:
        cdef uint32_t what = self.pending
        cdef StreamOwner owner = self.owner
        self.pending = 0
        if self.closed:
            return 0
        if what & STREAM_READ:
            self.may_read = True
        if what & STREAM_WRITE:
            self.may_write = True
        if what & (STREAM_PEER_DONE | STREAM_DOWN):
            self.peer_done = True
        if owner is not None:
            owner.on_stream(self, what if what else STREAM_AGAIN)
        return 0

    cdef ssize_t read_some(self, char* buf, size_t n) noexcept:
        cdef Py_ssize_t held = len(self.incoming)
        cdef char* source
        if n == 0:          # as a socket answers it: like an end
            self.may_read = False
            self.peer_done = True
            return 0
        if held:
            if <size_t>held > n:
                held = <Py_ssize_t>n
            source = self.incoming
            memcpy(buf, source, held)
            del self.incoming[:held]
            if <size_t>held < n and not self.peer_done:
                self.may_read = False
            return held
        if self.broken:
            self.error = ECONNRESET
            return IO_FAILED
        self.may_read = False
        if self.incoming_end:
            self.peer_done = True
            return 0
        return IO_BLOCKED

    cdef ssize_t write_some(self, const char* buf, size_t n) noexcept:
        if self.broken or self.write_closed:
            self.error = EPIPE
            return IO_FAILED
        if self._room == 0:
            self.may_write = False
            return IO_BLOCKED
        if self._room > 0:
            if n > <size_t>self._room:
                n = self._room
                self.may_write = False
            self._room -= n
        self.outgoing += buf[:n]
        return n

    cdef void shutdown_write(self) noexcept:
        self.write_closed = True

    cdef bint is_spoiled(self) noexcept:
        return not self.hides_its_end and (len(self.incoming) > 0 or self.incoming_end or self.broken)

    cdef int64_t unacknowledged(self) noexcept:
        return self.untaken

    cdef bint local_address(self, sockaddr_storage* address) noexcept:
        if self.local is None:
            return False
        address[0] = (<Address>self.local).storage
        return True

    cdef int watch(self) except -1:
        if self.unwatched:
            raise OSError(ENOMEM, "epoll_ctl")
        self.watching = True
        if self.pending or self.incoming:
            self.engine.put_ready(self)
        return 0

    cdef void reset(self) noexcept:
        self.was_reset = True
        self.close()

    cdef void close(self) noexcept:
        self.owner = None
        self.closed = True


cdef class FakeDialer(Dialer):
    """Dials nobody: each stream waits in `dialled` for the test to play its peer."""

    def __cinit__(self):
        self.dialled = []
        self.mode = "connect"

    cdef Stream dial(self, Engine engine, Address address):
        cdef FakeStream stream
        if isinstance(self.mode, int):
            self.error = self.mode
            return None
        stream = FakeStream(engine, address)
        if self.mode == "wait":
            stream.connecting = True
            stream.may_write = False
        stream.watch()
        self.dialled.append(stream)
        return stream
