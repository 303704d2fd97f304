"""The head that a client gets: the endpoint's, without what ends at this hop, and with what is said beside it.

Who says what, in this order: the endpoint, hooks, the route, the cookie of the cluster.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from weir.plane.accesslog cimport LEDGER_PARTS
from weir.plane.action cimport Action, Lines
from weir.plane.columns cimport K_RESPONSE_BODY_BYTES
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport MAX_INTERIM_BYTES, Exchange
from weir.plane.facts cimport append_lines, says_itself
from weir.plane.fields cimport ResponsePolicy, response_head_bound, write_response_head
from weir.plane.framing cimport B_CHUNKED, B_CLOSE, B_LENGTH, Framing
from weir.plane.head cimport Head
from weir.plane.options cimport ListenerOptions
from weir.plane.workspace cimport COMPOSE_BYTES, Workspace

cdef enum:
    OWN_ROOM = 98304        # what weir adds to MAX_INTERIM interim heads, and hooks and routes to one head, at most


cdef uint32_t compose_response(Exchange exchange, const char* p, const Framing* framing) noexcept:
    """Writes the head for the client to the workspace's compose buffer; 0: there is no room for it."""
    cdef Workspace workspace = exchange.workspace
    cdef ListenerOptions options = exchange.owner.options
    cdef Head* head = &workspace.response_head
    cdef Edits edits = exchange.response_edits
    cdef Action action = exchange.route.action
    cdef ResponsePolicy policy
    cdef uint32_t n
    cdef int64_t parts_us[LEDGER_PARTS]
    cdef Lines lines = None if action is None else action.response
    memset(&policy, 0, sizeof(policy))
    if options.identifies and not says_itself(edits, lines, b"x-request-id"):
        policy.identity = &exchange.identity
    if options.server_timing and not says_itself(edits, lines, b"server-timing"):
        exchange.split(parts_us, workspace.clock.now_us)
        policy.parts_us = parts_us
    if edits is not None:
        edits.mark(p, head)
        if edits.status_line is not None:
            policy.status_line = edits.status_line
            policy.status_line_length = <uint32_t>len(edits.status_line)
            exchange.status = edits.status
    if lines is not None:
        lines.mark(p, head)
    policy.via = options.via_response
    policy.close = not exchange.keep_client
    policy.keep_alive = exchange.keep_client and exchange.version_minor == 0
    policy.chunked = exchange.version_minor != 0 and (framing.kind == B_CHUNKED or framing.kind == B_CLOSE)
    policy.counter = options.counter
    policy.counter_length = <uint32_t>len(options.counter)
    if policy.counter_length:
        policy.counter_value = workspace.counters.total(exchange.row, K_RESPONSE_BODY_BYTES)
        if framing.kind == B_LENGTH:
            policy.counter_value += framing.length
    if response_head_bound(head, &policy) + MAX_INTERIM_BYTES + OWN_ROOM > COMPOSE_BYTES:
        return 0
    n = write_response_head(p, head, &policy, workspace.compose)
    if edits is not None:
        n = edits.put(workspace.compose, n)
    if lines is not None:
        n = append_lines(exchange, lines, n)
    return stick(exchange, n) if n else 0


cdef uint32_t stick(Exchange exchange, uint32_t n) noexcept:
    """Adds the cookie that binds the client to its endpoint to the composed head, where a cluster has one."""
    if exchange.cluster.sticky is None:
        return n
    return exchange.cluster.sticky.put_line(exchange.pool, exchange, exchange.workspace.compose, n)
