"""The engine: epoll, a ready list and the timer wheel, turned from inside asyncio's select().

What is hard here.

*Edge-triggered, for the plane's sockets.* A stream reads until the kernel has no more (a short read says
so), and remembers what it has not yet taken; nothing is registered again and again, and a direction that
has to wait (backpressure) costs no system call. asyncio's descriptors and listening sockets are
level-triggered, as their owners expect.

*A closed descriptor leaves the set by itself* (nothing here is ever dup'ed), so remove() makes no system
call. But a number can be used again within one batch of events; each use has a generation, which is part
of the event's data, and an event of an earlier generation is dropped.

*Who may do what during dispatch.* Anything: sources may add, remove and close themselves and others. A
source is held alive while it is called. The ready list is served as it stood when the turn began, so that
a source that puts itself back waits for its next turn: both sides, the plane's sockets and asyncio's, go on.

*The GIL.* A waiting epoll_wait lets go of it. Under load the zero-timeout question is asked first without
letting go, because a busy hook thread would otherwise add the interpreter's switch interval to every turn;
it is asked only while it has been paying, and every 5 ms the lock is let go all the same (a thread that
wants it, say the one that writes the log, has asked for it by then, and gets it).
"""

import logging

from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from weir.plane.clock cimport Clock
from weir.plane.codes cimport R_INTERNAL, R_OUT_OF_MEMORY, Reason
from weir.plane.debug cimport invariant
from weir.plane.syscalls cimport (
    EINTR,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    close,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait_or_errno,
    errno,
)
from weir.plane.timers cimport TimerOwner, TimerWheel

log = logging.getLogger("weir.engine")


cdef class Source(TimerOwner):
    """A descriptor of the plane, or (fd -1) only a place in the ready list and a timer."""

    def __cinit__(self, *_args, **_options):
        self.fd = -1

    cdef int on_ready(self, uint32_t events) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_ready")


cdef class Engine:
    """One epoll set, its ready list and its timers.

    Raises OSError when the kernel gives no epoll descriptor.
    """

    def __cinit__(self, Clock clock=None):
        self.epfd = -1
        self.clock = clock if clock is not None else Clock()
        self.wheel = TimerWheel(self.clock)
        self.foreign = []
        self.epfd = epoll_create1(EPOLL_CLOEXEC)
        if self.epfd < 0:
            raise OSError(errno, "epoll_create1")

    def __dealloc__(self):
        cdef int fd
        for fd in range(self.slot_count):
            if self.slots[fd].source != NULL:
                Py_DECREF(<Source>self.slots[fd].source)
        free(self.slots)
        if self.epfd >= 0:
            close(self.epfd)

    def fileno(self) -> int:
        """The epoll descriptor."""
        return self.epfd

    def close(self) -> None:
        """Closes the epoll descriptor; sources keep their own."""
        if self.epfd >= 0:
            close(self.epfd)
            self.epfd = -1

    # -- the books ----------------------------------------------------------------------------------------

    cdef int _grow(self, int fd) except -1:
        cdef int count = self.slot_count * 2 if self.slot_count else 256
        cdef EngineSlot* slots
        while count <= fd:
            count *= 2
        slots = <EngineSlot*>realloc(self.slots, count * sizeof(EngineSlot))
        if slots == NULL:
            raise MemoryError("the engine's table of descriptors")
        memset(&slots[self.slot_count], 0, (count - self.slot_count) * sizeof(EngineSlot))
        self.slots = slots
        self.slot_count = count
        return 0

    cdef int _control(self, int operation, int fd, uint32_t events) except -1:
        cdef epoll_event event
        event.events = events
        event.data.u64 = <uint64_t>self.slots[fd].generation << 32 | <uint32_t>fd
        if epoll_ctl(self.epfd, operation, fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")
        return 0

    cdef int add(self, Source source, uint32_t events) except -1:
        cdef int fd = source.fd
        if fd >= self.slot_count:
            self._grow(fd)
        self.slots[fd].generation += 1
        invariant(not source.registered and self.slots[fd].source == NULL)
        self._control(EPOLL_CTL_ADD, fd, events)
        Py_INCREF(source)
        self.slots[fd].source = <void*>source
        source.registered = True
        self.sources += 1
        return 0

    cdef int change(self, Source source, uint32_t events) except -1:
        return self._control(EPOLL_CTL_MOD, source.fd, events)

    cdef void remove(self, Source source, bint keep=False) noexcept:
        cdef epoll_event event
        if not source.registered:
            return
        if keep:
            epoll_ctl(self.epfd, EPOLL_CTL_DEL, source.fd, &event)
        invariant(source.fd < self.slot_count and self.slots[source.fd].source == <void*>source)
        source.registered = False
        self.slots[source.fd].source = NULL
        self.slots[source.fd].generation += 1
        self.sources -= 1
        Py_DECREF(source)

    cdef void put_ready(self, Source source) noexcept:
        if source.in_ready_list:
            return
        source.in_ready_list = True
        source.next_ready = None
        if self.ready_last is None:
            self.ready_first = source
        else:
            self.ready_last.next_ready = source
        self.ready_last = source

    cdef void want_python(self) noexcept:
        self.python_wanted = True

    cdef int enter(self) except -1:
        # Inside select() a turn has just been, and another follows. A guest's last turn may be long ago: deadlines
        # would count from then, and what is armed or made ready now would wait for somebody else's event.
        if self.on_touch is not None:
            self.clock.tick()
            self.on_touch()
        return 0

    def touch(self) -> None:
        """For Python that is about to call into the plane outside of a turn: see Guest."""
        self.enter()

    def set_on_touch(self, call) -> None:
        """`call()` is called before the plane is called from outside of a turn; None: nobody wants to know."""
        self.on_touch = call

    def next_ms(self) -> int:
        """Milliseconds until a turn has something to do that no descriptor tells of; -1: never."""
        return 0 if self.ready_first is not None else self.wheel.next_ms()

    # -- asyncio's descriptors ----------------------------------------------------------------------------

    def add_foreign(self, int fd, uint32_t events) -> None:
        """Watches a descriptor for asyncio, level-triggered. OSError as epoll_ctl."""
        if fd >= self.slot_count:
            self._grow(fd)
        self.slots[fd].generation += 1
        self._control(EPOLL_CTL_ADD, fd, events)

    def change_foreign(self, int fd, uint32_t events) -> None:
        """Changes what is watched of a descriptor of asyncio's."""
        self._control(EPOLL_CTL_MOD, fd, events)

    def remove_foreign(self, int fd) -> None:
        """Stops watching; a descriptor that is closed already is no error."""
        cdef epoll_event event
        epoll_ctl(self.epfd, EPOLL_CTL_DEL, fd, &event)
        self.slots[fd].generation += 1

    # -- turning ------------------------------------------------------------------------------------------

    cdef int _wait(self, int64_t timeout_ms) except WAIT_RAISED:
        cdef int n
        cdef int wait_ms = 0x7FFFFFFF if timeout_ms > 0x7FFFFFFF else <int>timeout_ms
        cdef bint held_long = self.clock.now_us - self.released_us >= ENGINE_HOLD_US
        if wait_ms == 0 or self.polling:
            if not held_long:
                n = epoll_wait_or_errno(self.epfd, self.events, ENGINE_BATCH, 0)
                if n > 0 or wait_ms == 0:
                    return n
                self.polling = False
        with nogil:
            n = epoll_wait_or_errno(self.epfd, self.events, ENGINE_BATCH, wait_ms)
        self.waits += 1
        self.polling = n > 1
        self.released_us = self.clock.tick()
        if n < 0 or held_long:
            PyErr_CheckSignals()
        return n

    cdef void _call(self, Source source, uint32_t events) noexcept:
        cdef Source held = source
        try:
            held.on_ready(events)
        except Exception as error:
            self.failed(held, error)

    cdef void failed(self, TimerOwner owner, error) noexcept:
        """An exception has left `owner`: what it was doing ends, everything else goes on."""
        cdef Reason reason = R_INTERNAL
        if isinstance(error, MemoryError):
            reason = R_OUT_OF_MEMORY
            self.out_of_memory += 1
            # Where there is no memory there will be many: one line a second says enough.
            if self.clock.now_us - self.said_us >= 1_000_000 or self.out_of_memory == 1:
                self.said_us = self.clock.now_us
                log.error("out of memory: %s; %d exchanges or connections given up so far", error, self.out_of_memory)
        else:
            self.bugs += 1
            log.error("a bug: %s failed; it is taken out of service", type(owner).__name__, exc_info=error)
        try:
            owner.on_failure(reason)
        except Exception:
            self.bugs += 1
            log.exception("a bug: %s failed again while it was given up", type(owner).__name__)
            if isinstance(owner, Source):
                # Not closed (somebody may still count on the number), but silent from here on.
                self.remove(<Source>owner, True)

    cdef void _serve_ready(self) noexcept:
        cdef Source source = self.ready_first
        cdef Source last = self.ready_last
        cdef bint more = source is not None
        while more:
            more = source is not last
            self.ready_first = source.next_ready
            if self.ready_first is None:
                self.ready_last = None
            source.next_ready = None
            invariant((self.ready_first is None) == (self.ready_last is None))
            source.in_ready_list = False
            self._call(source, 0)
            source = self.ready_first

    cdef void _serve_events(self, int n) noexcept:
        cdef int i, fd
        cdef uint64_t data
        cdef EngineSlot* slot
        for i in range(n):
            data = self.events[i].data.u64
            fd = <int><uint32_t>data
            invariant(0 <= fd < self.slot_count)
            slot = &self.slots[fd]
            if slot.generation != <uint32_t>(data >> 32):
                continue
            if slot.source == NULL:
                self.foreign.append((fd, self.events[i].events))
            else:
                self._call(<Source>slot.source, self.events[i].events)

    def turn(self, int64_t timeout_ms) -> list[tuple[int, int]]:
        """Turns until asyncio is wanted (see run); what the selector calls. Returns (fd, epoll events)."""
        return self.run(timeout_ms)

    cdef list run(self, int64_t timeout_ms):
        cdef int64_t deadline_ms = -1
        cdef int64_t wait_ms, wheel_ms
        cdef int n
        cdef list foreign
        if timeout_ms > 0:
            deadline_ms = self.clock.tick() // 1000 + timeout_ms
        while True:
            self.turns += 1
            wait_ms = timeout_ms
            if self.ready_first is not None or self.python_wanted:
                wait_ms = 0
            elif wait_ms != 0:
                wheel_ms = self.wheel.next_ms()
                if wheel_ms >= 0 and (wait_ms < 0 or wheel_ms < wait_ms):
                    wait_ms = wheel_ms
            n = self._wait(wait_ms)
            self.clock.tick()
            self._serve_ready()
            if n > 0:
                self._serve_events(n)
            try:
                self.wheel.expire()
            except Exception as error:
                self.failed(self.wheel.failed, error)
                self.wheel.failed = None
            if self.foreign or self.python_wanted or timeout_ms == 0:
                break
            if n < 0 and n != -EINTR:
                raise OSError(-n, "epoll_wait")
            if deadline_ms >= 0:
                timeout_ms = deadline_ms - self.clock.now_us // 1000
                if timeout_ms <= 0:
                    break
        self.python_wanted = False
        foreign = self.foreign
        self.foreign = []
        return foreign
