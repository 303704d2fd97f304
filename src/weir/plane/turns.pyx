"""Turns by weight: the fairest order, at logarithmic cost.

What is hard here: nginx's smooth round robin looks at every endpoint for each request, and counting down weights sends
runs to one endpoint. This is the packet scheduler WF2Q+ (Bennett and Zhang, 1997): of those whose next turn has begun
in virtual time, the one whose turn ends first is served. Nobody is ever a whole turn ahead of its part or behind it, so
after as many turns as the weights sum up to, each has had exactly its weight.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from weir.plane.debug cimport invariant

cdef enum:
    TURN_BITS = 44          # a turn of weight 1 takes 2**44 of virtual time
    REBASE_BITS = 62        # beyond this the clock is set back


cdef void heap_push(Place* heap, uint32_t* count, uint64_t key, uint32_t index) noexcept nogil:
    cdef uint32_t at = count[0]
    cdef uint32_t parent
    count[0] = at + 1
    while at:
        parent = (at - 1) >> 1
        if heap[parent].key < key or (heap[parent].key == key and heap[parent].index < index):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at].key = key
    heap[at].index = index


cdef uint32_t heap_pop(Place* heap, uint32_t* count) noexcept nogil:
    cdef uint32_t first = heap[0].index
    cdef uint32_t n = count[0] - 1
    cdef Place last = heap[n]
    cdef uint32_t at = 0
    cdef uint32_t child
    count[0] = n
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and (
            heap[child + 1].key < heap[child].key
            or (heap[child + 1].key == heap[child].key and heap[child + 1].index < heap[child].index)
        ):
            child += 1
        if last.key < heap[child].key or (last.key == heap[child].key and last.index < heap[child].index):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = last
    return first


cdef class Turns:
    """Who of some takes the next turn."""

    def __dealloc__(self):
        free(self.turns)
        free(self.early)
        free(self.due)
        free(self.held)

    cdef int begin(self, uint32_t count, uint64_t total) except -1:
        invariant(count > 0 and total > 0)
        free(self.turns)
        free(self.early)
        free(self.due)
        free(self.held)
        self.count = self.early_count = self.due_count = self.held_count = 0
        self.turns = <Turn*>calloc(count, sizeof(Turn))
        self.early = <Place*>calloc(count, sizeof(Place))
        self.due = <Place*>calloc(count, sizeof(Place))
        self.held = <uint32_t*>calloc(count, sizeof(uint32_t))
        if self.turns == NULL or self.early == NULL or self.due == NULL or self.held == NULL:
            raise MemoryError
        self.count = count
        # Rounded up, and the strides down: who is due at the very moment is due, whatever was rounded before.
        self.step = ((<uint64_t>1 << TURN_BITS) + total - 1) // total
        self.now = <uint64_t>1 << TURN_BITS
        return 0

    cdef void add(self, uint32_t index, uint32_t weight, double lag) noexcept:
        cdef Turn* turn = &self.turns[index]
        invariant(index < self.count and weight > 0)
        turn.stride = (<uint64_t>1 << TURN_BITS) // weight
        lag = min(max(lag, -1.0), 1.0)
        turn.start = <uint64_t>(<double>self.now + lag * <double>turn.stride)
        heap_push(self.early, &self.early_count, turn.start, index)

    cdef double lag(self, uint32_t index) noexcept:
        cdef Turn* turn = &self.turns[index]
        if turn.start >= self.now:
            return <double>(turn.start - self.now) / <double>turn.stride
        return -<double>(self.now - turn.start) / <double>turn.stride

    cdef uint32_t take(self) noexcept:
        cdef uint32_t index
        if self.due_count == 0 and self.early_count and self.early[0].key > self.now:
            self.now = self.early[0].key        # those who would be due are held: nobody waits for them
        while self.early_count and self.early[0].key <= self.now:
            index = heap_pop(self.early, &self.early_count)
            heap_push(self.due, &self.due_count, self.turns[index].start + self.turns[index].stride, index)
        if self.due_count == 0:
            return NOBODY
        return heap_pop(self.due, &self.due_count)

    cdef void serve(self, uint32_t index) noexcept:
        cdef Turn* turn = &self.turns[index]
        turn.start += turn.stride
        heap_push(self.early, &self.early_count, turn.start, index)
        self.now += self.step
        if self.now >> REBASE_BITS:
            self._rebase()

    cdef void hold(self, uint32_t index) noexcept:
        invariant(self.held_count < self.count)
        self.held[self.held_count] = index
        self.held_count += 1

    cdef void release(self) noexcept:
        cdef uint32_t index
        while self.held_count:
            self.held_count -= 1
            index = self.held[self.held_count]
            # What it could not take is not made up for: a run would follow.
            if self.turns[index].start < self.now:
                self.turns[index].start = self.now
            heap_push(self.early, &self.early_count, self.turns[index].start, index)

    cdef void _rebase(self) noexcept:
        cdef uint64_t back = self.now - (<uint64_t>1 << TURN_BITS)
        cdef uint32_t i
        for i in range(self.count):
            if self.turns[i].start < back:
                back = self.turns[i].start
        self.now -= back
        for i in range(self.count):
            self.turns[i].start -= back
        for i in range(self.early_count):
            self.early[i].key -= back
        for i in range(self.due_count):
            self.due[i].key -= back
