"""A timer wheel whose timers are fields of their owners."""

from libc.stdint cimport int64_t, uint64_t

from weir.plane.clock cimport Clock
from weir.plane.codes cimport Reason
from weir.plane.debug cimport invariant

cdef extern from *:
    """
    #define weir_ctz64(x) ((int)__builtin_ctzll(x))
    """
    int weir_ctz64(uint64_t x) nogil

cdef int64_t TIMER_NEVER = 0x7FFFFFFFFFFFFFFF


cdef inline void timer_unlink(TimerWheel wheel, TimerNode* node) noexcept:
    invariant(node.linked and node.prev.next == node and node.next.prev == node)
    node.prev.next = node.next
    node.next.prev = node.prev
    # An emptied slot keeps its bit until next_ms or expire meets it: rarely worth a look here.
    node.linked = False
    wheel.linked -= 1
    invariant(wheel.linked >= 0)


cdef class TimerOwner:
    """What may be armed on a wheel: one timer each."""

    def __cinit__(self, *_args, **_options):
        self.timer.owner = <void*>self
        self.timer.deadline_ms = TIMER_NEVER
        self.timer.linked = False

    def __dealloc__(self):
        if self.timer.linked:
            timer_unlink(<TimerWheel>self.timer_wheel, &self.timer)

    cdef int on_timeout(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_timeout")

    cdef int on_failure(self, Reason reason) except -1:
        return 0


cdef class TimerWheel:
    """The timers of one worker, on its clock."""

    def __cinit__(self, Clock clock not None):
        cdef int i
        self.clock = clock
        for i in range(WHEEL_SLOTS):
            self.slots[i].next = &self.slots[i]
            self.slots[i].prev = &self.slots[i]
        for i in range(WHEEL_WORDS):
            self.occupied[i] = 0
        self.tick = clock.now_us // 1000 // WHEEL_TICK_MS

    def __dealloc__(self):
        # Owners may outlive the wheel: none of them is to follow a pointer into it.
        cdef int i
        cdef TimerNode* node
        for i in range(WHEEL_SLOTS):
            node = self.slots[i].next
            while node != &self.slots[i]:
                node.linked = False
                node = node.next

    cdef void _link(self, TimerNode* node) noexcept:
        cdef int64_t tick = (node.deadline_ms + WHEEL_TICK_MS - 1) // WHEEL_TICK_MS
        cdef TimerNode* head
        if tick <= self.tick:
            tick = self.tick + 1
        elif tick >= self.tick + WHEEL_SLOTS:
            tick = self.tick + WHEEL_SLOTS - 1
        node.due_ms = tick * WHEEL_TICK_MS
        cdef int slot = <int>(tick & (WHEEL_SLOTS - 1))
        head = &self.slots[slot]
        invariant(not node.linked and head.prev.next == head)
        node.next = head
        node.prev = head.prev
        head.prev.next = node
        head.prev = node
        node.linked = True
        self.occupied[slot >> 6] |= <uint64_t>1 << (slot & 63)
        self.linked += 1

    cdef void arm(self, TimerOwner owner, int64_t after_ms) noexcept:
        cdef TimerNode* node = &owner.timer
        node.deadline_ms = self.clock.now_us // 1000 + after_ms
        if node.linked:
            if node.due_ms <= node.deadline_ms + WHEEL_TICK_MS:
                return
            timer_unlink(self, node)
        owner.timer_wheel = <void*>self
        self._link(node)

    cdef void disarm(self, TimerOwner owner) noexcept:
        owner.timer.deadline_ms = TIMER_NEVER

    cdef int64_t next_ms(self) noexcept:
        cdef int64_t tick = self.tick + 1
        cdef int64_t end = self.tick + WHEEL_SLOTS
        cdef int64_t left
        cdef uint64_t word
        cdef int slot
        if self.linked == 0:
            return -1
        while tick < end:
            slot = <int>(tick & (WHEEL_SLOTS - 1))
            word = self.occupied[slot >> 6] >> (slot & 63)
            if word == 0:
                tick += 64 - (slot & 63)
                continue
            tick += weir_ctz64(word)
            slot = <int>(tick & (WHEEL_SLOTS - 1))
            if self.slots[slot].next == &self.slots[slot]:
                self.occupied[slot >> 6] &= ~(<uint64_t>1 << (slot & 63))
                continue
            left = tick * WHEEL_TICK_MS - self.clock.now_us // 1000
            return left if left > 0 else 0
        return -1

    cdef int expire(self) except -1:
        cdef int64_t now_ms = self.clock.now_us // 1000
        cdef int64_t now_tick = now_ms // WHEEL_TICK_MS
        cdef int64_t tick = self.tick + 1
        cdef int slot
        if now_tick < tick:
            return 0
        if now_tick - self.tick >= WHEEL_SLOTS:     # the machine slept: every slot is due
            tick = now_tick - WHEEL_SLOTS + 1
        # Served slots are behind us before an owner runs, so that what it arms lands ahead.
        self.tick = now_tick
        while tick <= now_tick:
            slot = <int>(tick & (WHEEL_SLOTS - 1))
            if self.occupied[slot >> 6] == 0:
                tick += 64 - (slot & 63)
                continue
            if self.occupied[slot >> 6] >> (slot & 63) & 1:
                self.occupied[slot >> 6] &= ~(<uint64_t>1 << (slot & 63))
                try:
                    self._serve(slot, now_ms)
                except BaseException:
                    # The slots behind it are still to be served: next time, not a round of the wheel later.
                    self.tick = tick
                    raise
            tick += 1
        return 0

    cdef int _serve(self, int slot, int64_t now_ms) except -1:
        # The slot's nodes move to a list of our own: an owner may unlink any of them, or arm itself into
        # this very slot, while we are at it.
        cdef TimerNode mine
        cdef TimerNode* head = &self.slots[slot]
        cdef TimerNode* node
        cdef TimerOwner owner
        if head.next == head:
            return 0
        mine.next = head.next
        mine.prev = head.prev
        mine.next.prev = &mine
        mine.prev.next = &mine
        head.next = head
        head.prev = head
        while mine.next != &mine:
            node = mine.next
            timer_unlink(self, node)
            if node.deadline_ms > now_ms:
                if node.deadline_ms != TIMER_NEVER:
                    self._link(node)
                continue
            node.deadline_ms = TIMER_NEVER
            owner = <TimerOwner>node.owner
            try:
                owner.on_timeout()
            except BaseException:
                self.failed = owner
                # Ours is a list on the stack: put what is left back where a later tick finds it.
                while mine.next != &mine:
                    node = mine.next
                    timer_unlink(self, node)
                    self._link(node)
                raise
        return 0


cdef class _Alarm(TimerOwner):
    cdef object _call

    def __cinit__(self, call):
        self._call = call

    cdef int on_timeout(self) except -1:
        self._call()
        return 0


cdef class Alarms:
    """A wheel with a Python face, for tests: alarms that call a function."""

    cdef TimerWheel _wheel
    cdef Clock _clock

    def __init__(self, Clock clock not None):
        self._clock = clock
        self._wheel = TimerWheel(clock)

    @property
    def linked(self) -> int:
        """Nodes in the wheel."""
        return self._wheel.linked

    def arm(self, call, int64_t after_ms, alarm=None):
        """Arms `alarm`, or a new one that calls `call`, and returns it."""
        cdef _Alarm node = alarm if alarm is not None else _Alarm(call)
        self._wheel.arm(node, after_ms)
        return node

    def disarm(self, alarm):
        """The alarm will not ring."""
        self._wheel.disarm(<_Alarm?>alarm)

    def next_ms(self) -> int:
        """Milliseconds until something may be due; -1: never."""
        return self._wheel.next_ms()

    def expire(self) -> None:
        """Rings what is due."""
        self._wheel.expire()
