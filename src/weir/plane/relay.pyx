"""One direction of bytes between two streams, with backpressure, framing and accounting."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from weir.plane.buffer cimport Buffer, BufferPool
from weir.plane.chunked cimport chunk_scan, chunk_start
from weir.plane.codes cimport (
    DONE,
    FAILED,
    NEED_MORE,
    R_BODY_TOO_LARGE,
    R_CLIENT_CLOSED,
    R_NONE,
    WOULD_BLOCK,
    Reason,
    Step,
)
from weir.plane.debug cimport invariant
from weir.plane.framing cimport B_CHUNKED, B_CLOSE, B_LENGTH, B_NONE, B_TUNNEL
from weir.plane.stream cimport IO_BLOCKED, IO_FAILED
from weir.plane.syscalls cimport ssize_t
from weir.plane.workspace cimport COMPOSE_BYTES

cdef const char* HEX = b"0123456789abcdef"


cdef class Relay:
    """Copies one body, or one direction of a tunnel."""

    cdef void start(self, uint8_t kind, uint64_t length, bint wrap, bint decode) noexcept:
        self.kind = kind
        self.wrap = wrap
        self.left = length
        self.payload = 0
        self.source_done = kind == B_NONE or (kind == B_LENGTH and length == 0)
        self.done = False
        self.discard = False
        self.failed_source = False
        self.moved = False
        self.paced = False
        self.bytes_per_s = 0
        self.reason = R_NONE
        self.raw_end = 0
        if kind == B_CHUNKED:
            chunk_start(&self.scanner, decode)

    cdef Step _fail(self, bint source, Reason reason) noexcept:
        self.failed_source = source
        self.reason = reason
        return FAILED

    cdef bint wants_write(self) noexcept:
        return self.buf is not None and self.buf.start < self.buf.end

    cdef uint64_t unsent(self) noexcept:
        return 0 if self.buf is None else self.buf.end - self.buf.start

    cdef void release(self) noexcept:
        if self.buf is not None:
            self.workspace.buffers.give(self.buf)
            self.buf = None
        if self.kept is not None:
            self.let_go()
        self.source = None
        self.destination = None

    # -- what may have to be written again ------------------------------------------------------------------

    cdef void keep_copy(self, uint32_t limit) noexcept:
        cdef BufferPool buffers = self.workspace.buffers
        if self.kind == B_LENGTH and self.left + self.unsent() > limit:
            return
        # When very much is out already, requests are rather not repeated than more memory is used.
        if buffers.live_bytes > buffers.generous_limit:
            return
        try:
            self.kept = buffers.take(<uint32_t>(self.left + self.unsent()) if self.kind == B_LENGTH else 1)
        except MemoryError:
            return
        self.kept_limit = limit
        if self.buf is not None:
            self._copy(self.buf.start)

    cdef void let_go(self) noexcept:
        if self.kept is not None:
            self.workspace.buffers.give(self.kept)
            self.kept = None

    cdef void _copy(self, uint32_t at) noexcept:
        """buf.data[at:buf.end] has become ready to be written."""
        cdef Buffer kept = self.kept
        cdef uint32_t got = self.buf.end - at
        if kept.end + got > self.kept_limit:
            self.let_go()
            return
        if kept.size - kept.end < got:
            try:
                kept = self.kept = self.workspace.buffers.regrow(kept, max(kept.end + got, kept.size * 2))
            except MemoryError:
                self.let_go()
                return
        invariant(kept.size - kept.end >= got)
        memcpy(kept.data + kept.end, self.buf.data + at, got)
        kept.end += got

    cdef int rewind(self) except -1:
        cdef Buffer buf = self.buf
        cdef Buffer kept = self.kept
        cdef uint32_t behind = 0 if buf is None else self.raw_end - buf.end
        cdef Buffer other = self.workspace.buffers.take(kept.end + behind + RELAY_TAILROOM)
        memcpy(other.data, kept.data, kept.end)
        if buf is not None:
            memcpy(other.data + kept.end, buf.data + buf.end, behind)
            self.workspace.buffers.give(buf)
        other.end = kept.end
        self.buf = other
        self.raw_end = kept.end + behind
        self.done = False
        self.failed_source = False
        self.reason = R_NONE
        return 0

    # -- at a pace ----------------------------------------------------------------------------------------

    cdef void pace(self, uint64_t bytes_per_s) noexcept:
        self.bytes_per_s = bytes_per_s
        self.credit = 0
        self.credited_us = self.workspace.clock.now_us

    cdef uint32_t _allowed(self, uint32_t wanted) noexcept:
        cdef uint64_t rate = self.bytes_per_s
        cdef uint64_t most = rate * PACE_MOST_MS // 1000 + 1
        # Longer than this fills it in any case, and a product of more could be too large.
        cdef int64_t us = min(self.workspace.clock.now_us - self.credited_us, <int64_t>2_000_000)
        cdef uint64_t gained = <uint64_t>us * rate // 1_000_000
        if gained:
            if us == 2_000_000:
                self.credited_us = self.workspace.clock.now_us
            else:
                self.credited_us += <int64_t>((gained * 1_000_000 + rate - 1) // rate)
            self.credit = min(self.credit + gained, most)
        if wanted <= self.credit:
            return wanted
        # Not a few bytes for each event that there is meanwhile.
        return <uint32_t>self.credit if self.credit >= rate * PACE_STEP_MS // 1000 else 0

    cdef int64_t pace_ms(self) noexcept:
        cdef uint64_t worth = self.bytes_per_s * PACE_STEP_MS // 1000
        cdef uint64_t wanted = min(max(worth, <uint64_t>1), self.unsent())
        if wanted <= self.credit:
            return 1
        return <int64_t>((wanted - self.credit) * 1000 // self.bytes_per_s + 1)

    # -- what was read ------------------------------------------------------------------------------------

    cdef Step adopt(self, Buffer buf, uint32_t at, uint32_t end) except *:
        self.buf = buf
        buf.start = at
        buf.end = at
        self.raw_end = end
        invariant(at <= end and end <= buf.size)
        if at < end and not self.source_done:
            return self._scan()
        return DONE

    cdef Step _scan(self) noexcept:
        """Makes what was read ready to be written."""
        cdef Buffer buf = self.buf
        cdef uint32_t before = buf.end
        cdef uint32_t got = self.raw_end - before
        cdef uint32_t out_end, rest, digits
        cdef char* at
        cdef Step step
        if self.kind == B_LENGTH:
            if got > self.left:
                got = <uint32_t>self.left
            self.left -= got
            self.payload += got
            buf.end += got
            self.source_done = self.left == 0
        elif self.kind == B_CHUNKED:
            step = chunk_scan(
                &self.scanner, buf.data, buf.end, self.raw_end, &out_end, &rest, &self.limits,
                &self.workspace.trailers, self.chunk_reason,
            )
            self.payload = self.scanner.payload
            buf.end = out_end
            if rest > out_end and rest < self.raw_end:
                memmove(buf.data + out_end, buf.data + rest, self.raw_end - rest)
            self.raw_end = out_end + (self.raw_end - rest)
            if step == FAILED:
                return self._fail(True, self.scanner.reason)
            self.source_done = step == DONE
        else:
            self.payload += got
            if self.wrap:
                # One chunk per piece: its header goes right before the bytes, over what is no longer needed
                # there (a head, or the headroom).
                at = buf.data + buf.end
                invariant(buf.end >= RELAY_HEADROOM and self.raw_end <= buf.size - RELAY_TAILROOM)
                buf.data[self.raw_end] = 13
                buf.data[self.raw_end + 1] = 10
                at -= 2
                at[0] = 13
                at[1] = 10
                digits = got
                while True:
                    at -= 1
                    at[0] = HEX[digits & 15]
                    digits >>= 4
                    if digits == 0:
                        break
                buf.start = <uint32_t>(at - buf.data)
                self.raw_end += 2
            buf.end = self.raw_end
        invariant(buf.start <= buf.end and buf.end <= self.raw_end and self.raw_end <= buf.size)
        if self.kept is not None:
            self._copy(before)
        if self.limit and self.payload > self.limit:
            # Nothing of this piece goes on: the end of the body may stand in it, and an endpoint that has all of a
            # request acts on it, while its client is told that it was refused.
            buf.end = buf.start
            return self._fail(True, R_BODY_TOO_LARGE)
        return DONE

    cdef Step _end(self) noexcept:
        """The source has ended."""
        if self.kind == B_CLOSE:
            self.source_done = True
            if self.wrap:
                memcpy(self.buf.data, b"0\r\n\r\n", 5)
                self.buf.start = 0
                self.buf.end = 5
                self.raw_end = 5
            return DONE
        if self.kind == B_TUNNEL:
            self.source_done = True
            return DONE
        return self._fail(True, self.end_reason)

    # -- moving -------------------------------------------------------------------------------------------

    cdef Step send_first(self, const char* head, uint32_t n) except *:
        cdef Buffer buf = self.buf
        cdef uint32_t body = 0 if buf is None else buf.end - buf.start
        cdef uint32_t held
        cdef ssize_t sent
        cdef Buffer kept
        if body == 0 or self.bytes_per_s:
            sent = self.destination.write_some(head, n)
        elif body <= RELAY_COPY_BYTES and head == self.workspace.compose and n + body <= COMPOSE_BYTES:
            memcpy(self.workspace.compose + n, buf.data + buf.start, body)
            sent = self.destination.write_some(head, n + body)
        else:
            sent = self.destination.write_two(head, n, buf.data + buf.start, body)
        if sent == IO_FAILED:
            return self._fail(False, R_CLIENT_CLOSED)
        if sent < 0:
            sent = 0
        self.written = <uint64_t>sent
        self.moved = sent > 0
        if <uint32_t>sent < n:
            # The head itself was cut, which takes a full socket: gather what is left in one buffer, and what was
            # read but not scanned with it, even where nothing of the body is ready.
            held = 0 if buf is None else self.raw_end - buf.start
            kept = self.workspace.buffers.take(n - <uint32_t>sent + held + RELAY_TAILROOM)
            memcpy(kept.data, head + sent, n - sent)
            kept.end = n - <uint32_t>sent
            if buf is not None:
                memcpy(kept.data + kept.end, buf.data + buf.start, held)
                self.raw_end = kept.end + held
                invariant(self.raw_end <= kept.size - RELAY_TAILROOM)
                kept.end += body
                self.workspace.buffers.give(buf)
            else:
                self.raw_end = kept.end
            self.buf = kept
            return WOULD_BLOCK
        if body and self.bytes_per_s:
            return NEED_MORE
        if body:
            buf.start += <uint32_t>sent - n
            if buf.start < buf.end:
                self._keep()
                return WOULD_BLOCK
        if self.source_done:
            self.done = True
            return DONE
        return NEED_MORE

    cdef int _keep(self) except -1:
        """Something has to wait: a small rest does not hold a large buffer."""
        cdef uint32_t held = self.raw_end - self.buf.start
        cdef uint32_t behind = self.raw_end - self.buf.end
        if held <= self.buf.size >> 2 and self.buf.size > 4096:
            self.buf.end = self.raw_end
            self.buf = self.workspace.buffers.regrow(self.buf, held + RELAY_TAILROOM)
            self.raw_end = self.buf.end
            self.buf.end -= behind
        return 0

    cdef int _set_down(self) except -1:
        """While it waits, or is done, it owns no buffer, unless something stands in it that is still wanted: half a
        chunk header, half a trailer section, or what comes behind the body."""
        if self.raw_end == self.buf.end:
            self.workspace.buffers.give(self.buf)
            self.buf = None
            return 0
        return self._keep()

    cdef Step _flush(self) noexcept:
        cdef Buffer buf = self.buf
        cdef uint32_t now
        cdef ssize_t sent
        if self.discard:
            buf.start = buf.end
        while buf.start < buf.end:
            if not self.destination.may_write:
                return WOULD_BLOCK
            now = buf.end - buf.start
            if self.bytes_per_s:
                now = self._allowed(now)
                if now == 0:
                    self.paced = True
                    return WOULD_BLOCK
            sent = self.destination.write_some(buf.data + buf.start, now)
            invariant(sent <= <ssize_t>(buf.end - buf.start))
            if sent == IO_BLOCKED:
                return WOULD_BLOCK
            if sent < 0:
                return self._fail(False, R_CLIENT_CLOSED)
            self.moved = True
            self.written += <uint64_t>sent
            buf.start += <uint32_t>sent
            if self.bytes_per_s:
                self.credit -= <uint64_t>sent
        return DONE

    cdef Step _read(self) except *:
        """Reads once and scans. WOULD_BLOCK: nothing there."""
        cdef Buffer buf = self.buf
        cdef uint32_t behind, room
        cdef uint32_t base = RELAY_HEADROOM if self.wrap else 0
        cdef ssize_t got
        if buf is None:
            buf = self.buf = self.workspace.buffers.take_for_read()
            self.raw_end = base
        else:
            behind = self.raw_end - buf.end
            if behind and buf.end > base:
                memmove(buf.data + base, buf.data + buf.end, behind)
            self.raw_end = base + behind
            if buf.size < 65536 and (
                self.workspace.buffers.live_bytes < self.workspace.buffers.generous_limit
                or self.raw_end == buf.size - RELAY_TAILROOM
            ):
                # A leftover of a small buffer: bulk wants a large one, and so does a trailer section that fills it.
                buf.start = base
                buf.end = self.raw_end
                memmove(buf.data, buf.data + base, behind)
                buf.start = 0
                buf.end = behind
                buf = self.buf = self.workspace.buffers.regrow(buf, 262144)
                memmove(buf.data + base, buf.data, behind)
        buf.start = base
        buf.end = base
        room = buf.size - RELAY_TAILROOM - self.raw_end
        if room == 0:   # half a trailer section larger than any limit allows
            return self._fail(True, self.chunk_reason)
        if self.kind == B_LENGTH and room > self.left:
            room = <uint32_t>self.left
        invariant(self.raw_end + room <= buf.size - RELAY_TAILROOM)
        got = self.source.read_some(buf.data + self.raw_end, room)
        invariant(got <= <ssize_t>room)
        if got == IO_BLOCKED:
            return WOULD_BLOCK
        if got == IO_FAILED:
            return self._fail(True, self.end_reason)
        self.moved = True
        if got == 0:
            return self._end()
        self.raw_end += <uint32_t>got
        return self._scan()

    cdef Step pump(self) except *:
        cdef int rounds = 0
        cdef Step step
        self.moved = False
        self.paced = False
        while True:
            if self.buf is not None and self.buf.start < self.buf.end:
                step = self._flush()
                if step == WOULD_BLOCK:
                    self._keep()
                if step != DONE:
                    return step
            if self.source_done:
                if not self.done:
                    self.done = True
                    if self.buf is not None:
                        self._set_down()
                    if self.kind == B_TUNNEL and not self.discard:
                        self.destination.shutdown_write()
                return DONE
            if not self.source.may_read:
                step = WOULD_BLOCK
            elif rounds == RELAY_ROUNDS:
                return NEED_MORE
            else:
                rounds += 1
                step = self._read()
            if step == WOULD_BLOCK:
                if self.buf is not None:
                    self._set_down()
                return WOULD_BLOCK
            if step == FAILED:
                return self._last_words()
        return DONE

    cdef Step _last_words(self) noexcept:
        """What was good goes on before the failure of the source is told."""
        cdef bint failed_source = self.failed_source
        cdef Reason reason = self.reason
        self.bytes_per_s = 0
        if self.buf is not None:
            self._flush()
        return self._fail(failed_source, reason)
