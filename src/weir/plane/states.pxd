# Made by tools/gen_tables.py from spec/states.toml; do not edit.

from libc.stdint cimport uint8_t, uint64_t

# A client's connection.
cdef enum DownstreamState:
    # no byte of a request is here; it owns no buffer
    D_IDLE = 0
    # a part of a head is here, under the time for a head
    D_HEAD = 1
    # one exchange is in progress; requests behind it wait unread
    D_EXCHANGE = 2
    # the last bytes of an answer wait for the client
    D_CLOSING = 3
    # our side is closed; what the client still sends is dropped: no reset may overtake the answer (RFC 9112 9.6)
    D_LINGER = 4
    # its descriptor is given back
    D_CLOSED = 5
    # a PROXY protocol header is awaited, under the time for a head
    D_PREFACE = 6

# One request and its response.
cdef enum ExchangeState:
    # counted and logged; on the free list
    E_OVER = 0
    # for a connection: in a pool's line or in the cluster's queue
    E_WAITING = 1
    # the request is on its way (its body perhaps still coming), no final response head yet
    E_SENT = 2
    # the response goes to the client (the request's body perhaps still to the endpoint)
    E_BODY = 3
    # after 101: bytes both ways
    E_TUNNEL = 4
    # between two attempts
    E_PAUSE = 5
    # before it is sent: refused by a rate limit, or made to wait by one or by an injected fault
    E_HELD = 6

# A connection to an endpoint.
cdef enum UpstreamState:
    # dialled for whoever comes first
    U_CONNECTING = 0
    # in the pool, in the epoll set: a close is noticed at once
    U_IDLE = 1
    # given back when the pool was full; waits give_back for room
    U_SURPLUS = 2
    # rests on, for nobody, to see when the endpoint closes it
    U_PROBE = 3
    # in the hands of one exchange
    U_BUSY = 4
    # its descriptor is given back
    U_CLOSED = 5
    # said by a PROXY header to be one client's: waits for the next request of that client's connection
    U_KEPT = 6

# A second request beside the first of an exchange.
cdef enum HedgeState:
    # it has won, or was given up
    H_OVER = 0
    # for a connection: in a pool's line
    H_WAITING = 1
    # the request is on its way, no final response head yet
    H_SENT = 2

# A copy of a request, for a mirror.
cdef enum MirrorState:
    # its response is over, or it was given up
    MI_OVER = 0
    # for a connection: in a pool's line
    MI_WAITING = 1
    # the request is on its way, or its response, which is dropped
    MI_SENT = 2

# The circuit breaker of a cluster, in one worker.
cdef enum BreakerState:
    # requests go on, and what comes of them is counted
    CB_CLOSED = 0
    # requests are refused at once
    CB_OPEN = 1
    # a few requests go on: they show what the others would meet
    CB_HALF_OPEN = 2

cdef enum Machine:
    MACHINE_DOWNSTREAM = 0
    MACHINE_EXCHANGE = 1
    MACHINE_UPSTREAM = 2
    MACHINE_HEDGE = 3
    MACHINE_MIRROR = 4
    MACHINE_BREAKER = 5

cdef enum:
    MACHINE_COUNT = 6
    STATE_PLACES = 8

# Whether the table has this move: bit 8 x old + new of a machine's mask.
cdef inline bint is_legal_move(Machine machine, uint8_t old, uint8_t new) noexcept nogil:
    cdef uint64_t mask = 0
    if machine == MACHINE_DOWNSTREAM:
        mask = <uint64_t>0x0021002030213d7e
    elif machine == MACHINE_EXCHANGE:
        mask = <uint64_t>0x000b0301013b2542
    elif machine == MACHINE_UPSTREAM:
        mask = <uint64_t>0x0030007620323836
    elif machine == MACHINE_HEDGE:
        mask = <uint64_t>0x0000000000010502
    elif machine == MACHINE_MIRROR:
        mask = <uint64_t>0x0000000000010502
    elif machine == MACHINE_BREAKER:
        mask = <uint64_t>0x0000000000030402
    return mask >> (STATE_PLACES * old + new) & 1
