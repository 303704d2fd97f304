# One direction of bytes: read here, write there at once, keep only what the kernel refuses, and stop
# reading while anything is kept.
#
# buf.data[buf.start:buf.end] is to be written; buf.data[buf.end:raw_end] was read but not yet scanned
# (a chunk header that is not complete), or stands behind the end of the body.
#   0 <= buf.start <= buf.end <= raw_end <= buf.size - RELAY_TAILROOM

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.buffer cimport Buffer
from weir.plane.chunked cimport ChunkScanner
from weir.plane.codes cimport Reason, Step
from weir.plane.head cimport HeadLimits
from weir.plane.stream cimport Stream
from weir.plane.syscalls cimport ssize_t
from weir.plane.workspace cimport Workspace

cdef enum:
    RELAY_ROUNDS = 8            # reads in one turn; then it is somebody else's
    RELAY_HEADROOM = 16         # before a piece that is wrapped as a chunk: its header
    RELAY_TAILROOM = 8          # after it: CRLF
    RELAY_COPY_BYTES = 8192     # a body up to this is copied behind its head: cheaper than a second vector
    PACE_STEP_MS = 20           # at a pace: time's worth of bytes written at a time
    PACE_MOST_MS = 100          # ... and what a time of silence is worth at most

cdef class Relay:
    cdef Workspace workspace
    cdef Stream source
    cdef Stream destination
    cdef Buffer buf
    cdef uint32_t raw_end
    cdef Buffer kept                    # a copy of all that was to be written, so that it can be again; None: no copy
    cdef uint32_t kept_limit            # its bytes, at most
    cdef uint8_t kind                   # BodyKind
    cdef bint wrap                      # B_CLOSE goes on as chunks
    cdef bint source_done               # the body's end was read
    cdef bint done                      # ... and written
    cdef bint discard                   # read and count, write nothing (the destination is gone)
    cdef bint failed_source             # FAILED: which side
    cdef bint moved                     # the last pump, or send_first, moved bytes
    cdef bint paced                     # ... and stopped because it would have been too fast
    cdef uint64_t bytes_per_s           # what is written at most; 0: no limit
    cdef uint64_t credit                # bytes that may be written now
    cdef int64_t credited_us            # up to when time was made credit
    cdef uint64_t left                  # B_LENGTH: bytes still to come
    cdef uint64_t written               # bytes that the destination took, framing and head included
    cdef uint64_t payload               # body bytes read, without framing
    cdef uint64_t limit                 # of payload; 0: none
    cdef ChunkScanner scanner
    cdef HeadLimits limits              # of trailers
    cdef Reason reason                  # FAILED: why
    cdef Reason end_reason              # for: the source ended too early
    cdef Reason chunk_reason            # for: a malformed chunk

    # A new body. `source` and `destination` may be set later, before the first pump.
    cdef void start(self, uint8_t kind, uint64_t length, bint wrap, bint decode) noexcept
    # Takes over a buffer whose data[at:end] is the beginning of the body, or stands behind it.
    cdef Step adopt(self, Buffer buf, uint32_t at, uint32_t end) except *
    # Writes head[0:n] and whatever is to be written, as one.
    cdef Step send_first(self, const char* head, uint32_t n) except *
    #   DONE         all read, all written
    #   WOULD_BLOCK  waits for a side (wants_read, wants_write say which)
    #   NEED_MORE    has had its turn, and more to do
    #   FAILED       failed_source, reason
    cdef Step pump(self) except *
    # From now on, until the next start(), it writes at most so many bytes a second.
    cdef void pace(self, uint64_t bytes_per_s) noexcept
    # After a pump that was paced: until the next one is worth while.
    cdef int64_t pace_ms(self) noexcept
    cdef bint wants_write(self) noexcept
    cdef uint64_t unsent(self) noexcept         # bytes read and not written
    cdef void release(self) noexcept            # gives the buffers back, forgets the streams
    # From here on a copy of what is to be written is kept, of at most `limit` bytes; it is let go when there is more,
    # or when memory is short. Before the first write.
    cdef void keep_copy(self, uint32_t limit) noexcept
    cdef void let_go(self) noexcept
    # What was kept is to be written once more, from its beginning; reading goes on where it was.
    cdef int rewind(self) except -1

    cdef void _copy(self, uint32_t at) noexcept
    cdef Step _scan(self) noexcept
    cdef Step _flush(self) noexcept
    cdef uint32_t _allowed(self, uint32_t wanted) noexcept
    cdef Step _read(self) except *
    cdef Step _end(self) noexcept
    cdef Step _last_words(self) noexcept
    cdef int _keep(self) except -1
    cdef int _set_down(self) except -1
    cdef Step _fail(self, bint source, Reason reason) noexcept
