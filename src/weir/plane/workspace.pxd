# What all parts of one worker's plane share: engine, buffers, counters, log, and scratch space.
#
# The plane runs on one thread and serves one event at a time, so the heads and the compose buffer exist
# once: whoever fills them uses them before it returns to the engine.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.accesslog cimport AccessLog
from weir.plane.buffer cimport BufferPool
from weir.plane.clock cimport Clock
from weir.plane.codes cimport Reason
from weir.plane.counters cimport Counters
from weir.plane.engine cimport Engine
from weir.plane.head cimport Head
from weir.plane.states cimport MACHINE_COUNT, STATE_PLACES, Machine, is_legal_move
from weir.plane.stream cimport Dialer
from weir.plane.timers cimport TimerWheel

cdef enum:
    COMPOSE_BYTES = 524288      # a forwarded head (bounded by the limits of heads) and a small body behind it

cdef class Workspace:
    cdef Engine engine
    cdef Clock clock
    cdef TimerWheel wheel
    cdef BufferPool buffers
    cdef Counters counters
    cdef AccessLog log
    cdef Dialer dialer
    cdef Head request_head              # of the request that was parsed last
    cdef object request_owner           # whose it is
    cdef Head response_head
    cdef object response_owner          # whose it is, while hooks see it
    cdef Head trailers
    cdef char* compose                  # COMPOSE_BYTES
    cdef bint draining                  # answers say "Connection: close", no connection stays open after its exchange
    cdef readonly int64_t downstreams   # client connections open
    cdef int64_t max_downstreams        # over all listeners: the rest of the descriptors is for endpoints
    cdef readonly int64_t exchanges     # in progress
    cdef readonly int64_t upstreams     # connections to endpoints open
    cdef uint64_t* reasons              # how often each reason ended an exchange or a connection: in the table
    cdef uint64_t moves[MACHINE_COUNT][STATE_PLACES * STATE_PLACES]     # how often each move was made, by mask bit
    cdef uint64_t id_state              # of the sequence of request ids
    cdef Reason closing_reason          # what a worker that stops gives exchanges as their end
    cdef object spare_exchange          # Exchange: the free list
    cdef int spare_exchanges
    cdef object on_quiet                # called when, draining, the last client connection has gone
    cdef object on_log_wanted           # called when the log's batch has grown large

    cdef void note_illegal_move(self, Machine machine, uint8_t old, uint8_t new) noexcept

# Every change of a state goes through here: `x.state = move(workspace, MACHINE_..., x.state, new)`.
cdef inline uint8_t move(Workspace workspace, Machine machine, uint8_t old, uint8_t new) noexcept:
    if not is_legal_move(machine, old, new):
        workspace.note_illegal_move(machine, old, new)
    workspace.moves[<int>machine][STATE_PLACES * old + new] += 1
    return new
