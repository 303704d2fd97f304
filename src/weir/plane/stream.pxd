# Byte streams: the one seam between the plane and the world. TcpStream is a socket; TLS takes the same
# methods; FakeStream is for transcripts.
#
# States of a stream:  connecting -> open -> (peer_done) -> closed

from libc.stdint cimport int64_t, uint32_t

from weir.plane.engine cimport Engine, Source
from weir.plane.syscalls cimport sockaddr_storage, socklen_t, ssize_t
from weir.plane.timers cimport TimerOwner

# What on_stream is told; any of them together. They say what to try, not what will come of it.
cdef enum:
    STREAM_READ = 1         # bytes, or their end, have come
    STREAM_WRITE = 2        # there is room again, or the connection has come about
    STREAM_PEER_DONE = 4    # the peer will send no more
    STREAM_DOWN = 8         # broken, or closed both ways
    STREAM_AGAIN = 16       # your turn from the ready list

# What read_some and write_some return beside a count of bytes (and 0 from read_some: the end).
cdef enum:
    IO_BLOCKED = -1
    IO_FAILED = -2          # Stream.error says why

cdef class StreamOwner(TimerOwner):
    cdef int on_stream(self, Stream stream, uint32_t what) except -1

cdef class Stream(Source):
    cdef Engine engine
    cdef StreamOwner owner      # told of events; None: nobody (they are then only remembered)
    cdef int error              # errno of the last failure
    cdef bint connecting
    cdef bint closed
    cdef bint may_read          # the kernel may have bytes that were not read
    cdef bint may_write         # the last write was not refused
    cdef bint peer_done         # PEER_DONE or DOWN was seen: after a short read, read on to the end

    # Reads at most n > 0 bytes into buf[0:n].
    cdef ssize_t read_some(self, char* buf, size_t n) noexcept
    # Writes from buf[0:n], n > 0; what is refused is the caller's to keep.
    cdef ssize_t write_some(self, const char* buf, size_t n) noexcept
    # Writes a[0:n] then b[0:m] as one.
    cdef ssize_t write_two(self, const char* a, size_t n, const char* b, size_t m) noexcept
    # Our side has said all; the peer may go on.
    cdef void shutdown_write(self) noexcept
    # Whether an idle connection has bytes or an end waiting: it cannot be used then.
    cdef bint is_spoiled(self) noexcept
    # How many bytes of what was written the peer has not acknowledged; 0 where nobody knows.
    cdef int64_t unacknowledged(self) noexcept
    # Our own end's address. False: it has none.
    cdef bint local_address(self, sockaddr_storage* address) noexcept
    # Begins to watch. OSError.
    cdef int watch(self) except -1
    # Closes so that the peer sees an error, not an end (TCP: a reset).
    cdef void reset(self) noexcept
    # Closes at once; owner is forgotten. May be called again.
    cdef void close(self) noexcept

cdef class TcpStream(Stream):
    cdef bint watches_write

    cdef void _refused(self) noexcept
    cdef void _finish_connect(self) noexcept
    cdef ssize_t _failed(self) noexcept

# A socket address, and how people write it.
cdef class Address:
    cdef sockaddr_storage storage
    cdef socklen_t length
    cdef readonly str text
    cdef readonly bytes text_bytes

# Makes streams to addresses: where tests put their own.
cdef class Dialer:
    # A stream that is connecting or open, watched and without owner; or None, with `error` set.
    cdef Stream dial(self, Engine engine, Address address)
    cdef int error

cdef class TcpDialer(Dialer):
    pass

# The stream of a descriptor that accept gave.
cdef TcpStream adopt(Engine engine, int fd)
