# The engine: one epoll set for everything a worker waits for. Its argument is at the top of engine.pyx.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.clock cimport Clock
from weir.plane.syscalls cimport epoll_event
from weir.plane.timers cimport TimerOwner, TimerWheel

cdef enum:
    ENGINE_BATCH = 256          # events taken from the kernel at once
    WAIT_RAISED = -4096         # beyond every -errno
    ENGINE_HOLD_US = 5000       # the GIL is let go, and signals are looked at, this often (sys.getswitchinterval)

# Something that is told when its descriptor is ready. While it is in the set the engine holds a reference
# to it, so "registered" means "alive"; whoever closes the descriptor calls Engine.remove first.
cdef class Source(TimerOwner):
    cdef int fd                             # -1: none
    cdef bint registered
    cdef bint in_ready_list
    cdef Source next_ready
    cdef int on_ready(self, uint32_t events) except -1      # events 0: from the ready list

cdef struct EngineSlot:
    void* source                # Source (owned reference), or NULL: asyncio's, or nobody's
    uint32_t generation         # counts the uses of this descriptor: an event of an earlier use is dropped

cdef class Engine:
    cdef readonly Clock clock
    cdef readonly TimerWheel wheel
    cdef int epfd
    cdef EngineSlot* slots
    cdef int slot_count
    cdef epoll_event events[ENGINE_BATCH]
    cdef Source ready_first                 # the ready list: sources that have work left, in turn
    cdef Source ready_last
    cdef list foreign                       # (fd, epoll events) of asyncio's descriptors, from this run
    cdef bint python_wanted                 # the plane called into Python: asyncio should have a look
    cdef bint polling                       # a zero-timeout wait has been paying
    cdef object on_touch                    # of a guest in somebody else's loop (plane/guest): asks for a turn; or None
    cdef int64_t released_us                # when the GIL was last let go
    cdef readonly uint64_t turns
    cdef readonly uint64_t waits
    cdef readonly uint64_t bugs             # exceptions that left a source or a timer's owner
    cdef readonly uint64_t out_of_memory    # those that were MemoryError
    cdef int64_t said_us                    # when the last of those was logged
    cdef readonly int64_t sources           # plane sources in the set

    cdef int add(self, Source source, uint32_t events) except -1        # OSError if the kernel refuses
    cdef int change(self, Source source, uint32_t events) except -1
    # Takes the source out of the books; with `keep` the descriptor stays open and is taken out of the set.
    cdef void remove(self, Source source, bint keep=*) noexcept
    cdef void put_ready(self, Source source) noexcept
    cdef void want_python(self) noexcept
    # Whoever comes from Python, outside of a turn, says so before it calls into the plane.
    cdef int enter(self) except -1
    # An exception has left a call of `owner`: it is logged, and owner.on_failure told. Whoever calls into what
    # belongs to somebody else catches what comes out and passes it on here, so that one failure is one failure.
    cdef void failed(self, TimerOwner owner, error) noexcept

    cdef list run(self, int64_t timeout_ms)         # -1: no limit. Returns foreign events

    cdef int _grow(self, int fd) except -1
    cdef int _control(self, int operation, int fd, uint32_t events) except -1
    cdef int _wait(self, int64_t timeout_ms) except WAIT_RAISED   # how many events; -errno
    cdef void _call(self, Source source, uint32_t events) noexcept
    cdef void _serve_ready(self) noexcept
    cdef void _serve_events(self, int n) noexcept
