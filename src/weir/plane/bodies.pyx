"""Bodies that Python reads, replaces, changes piece by piece, or makes.

What is hard here: three that have nothing to do with each other move one body. Its sender sends, Python thinks, its
receiver takes; each may be slow, each may go. Between them stands a pipe that holds little: who is ahead of the others
waits. A relay reads the sender, framing taken off, into the pipe; the exchange's own relay reads the pipe and frames
what it finds, as if it came from there. So all that is known of time, pace and ends holds for such a body, too.

- Plain functions are called from the turn that has read a piece, and what they return is written in the same turn.
- Async generators run in one task, which takes pieces and gives pieces, and waits for either side.
- A sender that fails is told to Python behind what it had sent; whatever Python makes of that, no clean end is
  invented: the receiver sees a cut.
"""

import asyncio
from functools import partial

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from weir.plane.buffer cimport Buffer
from weir.plane.codes cimport (
    DONE,
    FAILED,
    NEED_MORE,
    R_BODY_TOO_LARGE,
    R_HOOK_FAILED,
    R_NONE,
    Reason,
    Step,
)
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange
from weir.plane.framing cimport B_CLOSE, B_LENGTH, B_NONE, Framing
from weir.plane.hooks cimport Hook
from weir.plane.pipe cimport PIPE_MOST, Pipe
from weir.plane.relay cimport RELAY_TAILROOM, Relay
from weir.plane.stream cimport Stream

from weir.plane.piecewise import BodyCut, BodyTooLarge, change, makes_pieces

# What is said of the bytes of a body, and is no longer true of changed ones.
_OF_THE_BYTES = (b"accept-ranges", b"content-md5", b"digest", b"content-digest", b"repr-digest")

cdef enum:
    TAG_MOST = 4096     # bytes of an ETag that becomes a weak one; a longer one is left out


cdef class Body(Passage):
    """A body on its way through Python."""

    cdef int fill(self, Exchange exchange, const char* p, uint64_t n) except -1:
        """Begins: p[0:n] is what came with its head."""
        cdef Buffer buf
        self.exchange = exchange
        self.pipe = self.through = Pipe.__new__(Pipe)
        self.through.engine = exchange.workspace.engine
        self.through.owner = self
        self.held = bytearray()
        self.stages = []
        self.hooks = []
        self.feed.destination = self.through
        if n:
            buf = exchange.workspace.buffers.take(<uint32_t>n + RELAY_TAILROOM)
            memcpy(buf.data, p, n)
            if self.feed.adopt(buf, 0, <uint32_t>n) == FAILED:
                self.cut = self.feed.reason
        return 0

    # -- what it goes on as -------------------------------------------------------------------------------

    cdef int depart(self, Framing* framing) except -1:
        cdef bytes whole = self.all if self.new is None else self.new
        self.departed = True
        self.mode = BODY_STAYS
        self._wake()
        if framing.kind == B_NONE and (self.of_response or self.new is None):
            self.mode = BODY_REPLACED
            return self._describe(framing)
        if self.new is not None:
            self.mode = BODY_REPLACED
            self.feed.discard = True
        framing.has_length = 0
        if self.stages or self.source is not None:
            framing.kind = B_CLOSE
            if whole is not None:
                self.held = bytearray(whole)
            self.all = None
            self._start()
        elif whole is not None:
            self.whole = True
            self.through.keeps = not self.of_response
            self.through.put(whole)
            self.through.finish()
            framing.kind = B_LENGTH
            framing.has_length = 1
            framing.length = <uint64_t>len(whole)
        elif framing.kind == B_LENGTH:
            framing.has_length = 1
        else:
            framing.kind = B_CLOSE
        return self._describe(framing)

    cdef int _start(self) except -1:
        if self.source is None and not any([makes_pieces(function) for function in self.stages]):
            self.mode = BODY_PLAIN
            return 0
        self.mode = BODY_TASK
        self.task = asyncio.get_running_loop().create_task(change(self, self.stages, self.source))
        self.exchange.workspace.engine.want_python()
        return 0

    cdef int _describe(self, Framing* framing) except -1:
        cdef Exchange exchange = self.exchange
        cdef Edits edits
        cdef bint changed = self.new is not None or len(self.stages) > 0
        if self.of_response:
            if exchange.response_edits is None:
                exchange.response_edits = Edits.__new__(Edits)
            edits = exchange.response_edits
            if framing.kind == B_NONE:
                if changed:
                    edits.remove_field(b"content-length")
                    if self.new is not None and not self.stages:
                        bodies_say(edits, b"Content-Length", str(len(self.new)).encode())
            else:
                edits.remove_field(b"content-length")
                if framing.kind == B_LENGTH:
                    bodies_say(edits, b"Content-Length", str(framing.length).encode())
        else:
            if exchange.request_edits is None:
                exchange.request_edits = Edits.__new__(Edits)
            edits = exchange.request_edits
            if self.whole:
                edits.remove_field(b"expect")       # nothing is waited for
        edits.remove_field(b"trailer")
        if not changed:
            return 0
        for name in _OF_THE_BYTES:
            # What a hook has said itself stays.
            if not edits.drops_name(name):
                edits.remove_field(name)
        if self.of_response and not edits.drops_name(b"etag"):
            # Still good to ask whether there is another one, not to put parts together.
            tag = exchange.view.response.headers.get("etag")
            if tag is not None and not tag.startswith("W/"):
                edits.remove_field(b"etag")
                if len(tag) <= TAG_MOST:
                    bodies_say(edits, b"ETag", b"W/" + tag.encode("latin-1"))
        return 0

    # -- a turn -------------------------------------------------------------------------------------------

    cdef Step begin(self, Relay relay) except *:
        self._turn()
        if self.reason != R_NONE and self.through.waiting == 0:
            return relay._fail(True, self.reason)
        if self.through.waiting and (self.of_response or self.whole):
            return relay._read()
        return DONE

    cdef Step pump(self, Relay relay) except *:
        cdef int rounds = 0
        cdef bint moved = False
        cdef Step step
        while True:
            self._turn()
            moved = moved or self.feed.moved
            if self.reason != R_NONE and self.through.waiting == 0:
                # What was good has gone on.
                relay.pump()
                return relay._fail(True, self.reason)
            step = relay.pump()
            moved = moved or relay.moved
            if step == DONE:
                self.drain()
            if step == DONE or step == FAILED:
                break
            rounds += 1
            if step == NEED_MORE or rounds == BODY_ROUNDS:
                step = NEED_MORE
                break
            if not relay.moved and not self.more:
                break
        relay.moved = moved
        return step

    cdef int drain(self) except -1:
        self.feed.discard = True
        self.mode = BODY_REPLACED
        self._feed()
        if self.more:
            self.exchange.workspace.engine.put_ready(self.feed.source)
        return 0

    cdef int read_on(self) except -1:
        if self.mode == BODY_READ:
            self._turn()
            if self.more:
                self.exchange.workspace.engine.put_ready(self.feed.source)
        return 0

    cdef int _turn(self) except -1:
        cdef int _round
        cdef bint moved = False
        for _round in range(BODY_ROUNDS):
            self._feed()
            moved = moved or self.feed.moved
            if not self._work():
                break
        else:
            self.more = True
        self.feed.moved = moved
        return 0

    cdef int _feed(self) except -1:
        cdef Relay feed = self.feed
        cdef Step step
        self.more = False
        feed.moved = False
        if feed.done or self.cut != R_NONE or self.source is not None:
            return 0
        step = feed.pump()
        if step == FAILED:
            self.cut = feed.reason
        self.more = step == NEED_MORE
        return 0

    cdef bint _work(self) except -1:
        """Whether it has made room for more."""
        if self.mode == BODY_READ:
            return self._gather()
        if not self.departed or self.mode == BODY_REPLACED:
            return False
        if self.mode == BODY_TASK:
            self._wake()
            return False
        return self._change()

    cdef bint _gather(self) except -1:
        cdef bytes piece
        if self.too_large:
            return False
        piece = self.through.take()
        self.held += piece
        if <uint64_t>len(self.held) > self.limit:
            self.too_large = True
            self.mode = BODY_STAYS
        elif self.feed.done and not piece:
            self.all = bytes(self.held)
            self.held = bytearray()
            self.mode = BODY_STAYS
        elif piece:
            return True
        elif self.cut == R_NONE:
            return False
        self._wake()
        return False

    cdef bint _change(self) except -1:
        cdef bytes piece
        cdef bint moved = False
        while not self.through.ended and not self.through.is_full() and self.reason == R_NONE:
            piece = self._next()
            if piece:
                moved = True
                self.through.put(self._through(piece, False))
            elif self._is_over():
                self.through.put(self._through(b"", True))
                if self.reason == R_NONE:
                    self.through.finish()
            elif self.cut != R_NONE:
                self.reason = self.cut
            else:
                break
        return moved

    cdef bytes _through(self, bytes piece, bint last):
        cdef Hook hook
        try:
            for number, function in enumerate(self.stages):
                hook = <Hook>self.hooks[number]
                if piece:
                    piece = changed_piece(function(piece))
                if last:
                    piece = piece + changed_piece(function(b""))
        except BaseException as error:
            self._failed(hook, error)
            return b""
        return piece

    cdef int _failed(self, Hook hook, object error) except -1:
        self.reason = R_HOOK_FAILED
        if hook is not None:
            hook.complain(error, self.exchange.workspace.clock.now_us)
        return 0

    cdef bytes _next(self):
        """The next piece of what came; b"": there is none now."""
        cdef bytes piece
        if self.held:
            piece = bytes(self.held[:PIPE_MOST])
            del self.held[:PIPE_MOST]
            return piece
        return b"" if self.new is not None else self.through.take()

    cdef bint _is_over(self) noexcept:
        return self.new is not None or (self.feed.done and len(self.through.arrived) == 0)

    cdef bint is_pondering(self) noexcept:
        return self.task is not None and (
            self.feed.source_done or self.cut != R_NONE or len(self.through.arrived) > 0 or self.source is not None
        )

    # -- coroutines ---------------------------------------------------------------------------------------

    cdef int _wake(self) except -1:
        if self.reader is not None and not (self.mode == BODY_TASK and not (
            len(self.through.arrived) or self.held or self.cut != R_NONE or self._is_over()
        )):
            if not self.reader.done():
                self.reader.set_result(None)
            self.reader = None
            self.exchange.workspace.engine.want_python()
        if self.writer is not None and not self.through.is_full():
            if not self.writer.done():
                self.writer.set_result(None)
            self.writer = None
            self.exchange.workspace.engine.want_python()
        return 0

    cdef int _go(self) except -1:
        cdef Exchange exchange = self.exchange
        if exchange is None:
            return 0
        exchange.workspace.clock.tick()
        try:
            exchange.workspace.engine.enter()
            exchange.body_moved(self)
        except Exception as failure:
            exchange.workspace.engine.failed(exchange, failure)
        return 0

    def arrival(self):
        """A future: done when there is more of it, or its end."""
        waits = asyncio.get_running_loop().create_future()
        if self.exchange is None:
            waits.cancel()
        elif self.reader is not None and not self.reader.done():
            self.reader.add_done_callback(partial(tell_next, waits))    # somebody else waits for the same
        else:
            self.reader = waits
        return waits

    def room(self):
        """A future: done when there is room for more."""
        self.writer = asyncio.get_running_loop().create_future()
        if not self.through.is_full():
            self.writer.set_result(None)
        return self.writer

    def gather(self, limit) -> None:
        """From here on it is read, up to `limit` bytes."""
        cdef Exchange exchange = self.exchange
        if exchange is None or self.departed:
            raise RuntimeError("the body has gone on")
        if self.all is not None:
            self.too_large = len(self.all) > limit
            return
        self.limit = limit
        self.too_large = len(self.held) > limit or (self.framing.kind == B_LENGTH and self.framing.length > limit)
        if self.too_large:
            return
        self.mode = BODY_READ
        self.read_on()
        if not self.of_response and self.mode == BODY_READ and exchange.expect and not exchange.continued:
            exchange.continued = True
            exchange.owner.send_small(b"HTTP/1.1 100 Continue\r\n\r\n", 25)

    def gathered(self):
        """All of it; None as long as more is to come."""
        if self.too_large:
            raise BodyTooLarge(f"a body of more than {self.limit} bytes")
        if self.all is not None:
            return self.all
        if self.cut == R_BODY_TOO_LARGE:
            raise BodyTooLarge("a body of more than max_body_bytes")
        if self.cut != R_NONE:
            raise BodyCut(reason_word(self.cut))
        if self.exchange is None or self.departed:
            raise RuntimeError("the body has gone on")
        return None

    def take(self):
        """A piece; b"" if there is none yet, None at the end. BodyCut."""
        cdef bytes piece
        if self.exchange is None:
            return None
        piece = self._next()
        if not piece and not self._is_over():
            self._feed()
            if self.feed.moved:
                piece = self._next()
                self._go()
                if self.exchange is None:
                    return piece if piece else None
        if piece:
            return piece
        if self._is_over():
            return None
        if self.cut != R_NONE:
            raise BodyCut(reason_word(self.cut))
        return b""

    def put(self, piece) -> bool:
        """Sends a piece on; whether the receiver has to catch up."""
        if self.exchange is None:
            # It was told so before, and has gone on.
            raise asyncio.CancelledError("nobody takes it any more")
        self.through.put(changed_piece(piece))
        self._go()
        return self.exchange is not None and self.through.is_full()

    def done(self, error) -> None:
        """The task is over."""
        self.task = None
        if self.exchange is None:
            return
        if error is not None and not (isinstance(error, BodyCut) and self.cut != R_NONE):
            self._failed(<Hook>self.hooks[len(self.hooks) - 1] if self.hooks else None, error)
        elif self.cut != R_NONE:
            self.reason = self.cut
        else:
            self.through.finish()
        self._go()

    # -- ends ---------------------------------------------------------------------------------------------

    cdef int on_stream(self, Stream stream, uint32_t what) except -1:
        return self._go()

    cdef int on_failure(self, Reason reason) except -1:
        return 0 if self.exchange is None else self.exchange.on_failure(reason)

    cdef int end(self) except -1:
        task = self.task
        if self.exchange is not None and (task is not None or self.reader is not None):
            self.exchange.workspace.engine.want_python()
        # A task that is cancelled lives a little longer: it holds nothing of the worker.
        self.exchange = None
        self.feed.release()
        self.feed = None
        self.through.close()
        self.through.engine = None
        self.held = bytearray()
        if self.reader is not None:
            # A task of the hook's own may still wait for it.
            tell_next(self.reader, None)
            self.reader = None
        if task is not None:
            self.task = None
            task.cancel()
        return 0


cdef int bodies_say(Edits edits, bytes name, bytes value) except -1:
    """One more line, also where hooks have written as much as they may."""
    edits.lines += name + b": " + value + b"\r\n"
    return 0


cdef bytes changed_piece(piece):
    if piece is None:
        return b""
    if isinstance(piece, bytes):
        return <bytes>piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a piece of a body is bytes, not {type(piece).__name__}")


def tell_next(waits, _before):
    """Ends a future, if nobody has."""
    if not waits.done():
        waits.set_result(None)


def reason_word(int reason):
    """The word of weir's reasons."""
    from weir.reasons import REASONS

    return REASONS[reason].word
