"""Where an exchange meets what its route does with heads.

Requests that no hook is about are edited while their head is written, once for each attempt, and nothing is kept. One
that hooks see has the same edits from its beginning as edits of its own, so that hooks see what is forwarded and can
change it.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from weir.plane.action cimport LINES_MOST, Action, Lines
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.fields cimport RequestPolicy
from weir.plane.filters cimport filter_is_plain
from weir.plane.head cimport Head
from weir.plane.ids cimport Identity
from weir.plane.phrase cimport (
    PHRASE_SEGMENTS, PHRASE_TOO_LONG, V_CLIENT, V_CLUSTER, V_ENDPOINT, V_HOST, V_LISTENER, V_METHOD, V_PATH, V_QUERY,
    V_REQUEST_ID, V_ROUTE, V_SCHEME, Facts, Slice, path_segments, slash_at,
)
from weir.plane.retarget cimport RETARGET_BYTES, Retarget
from weir.plane.workspace cimport COMPOSE_BYTES, Workspace

cdef enum:
    TARGET_ROOM = 132096    # of the longest target that a listener takes (max_target), and what it becomes longer by

cdef Retarget settled = Retarget(0)     # a path that stays, but for its dot segments and its first slashes


cdef inline void facts_say(Slice* slice, const char* p, uint32_t n) noexcept:
    slice.p = p
    slice.n = n


cdef inline void facts_say_bytes(Slice* slice, bytes text) noexcept:
    slice.p = text
    slice.n = <uint32_t>len(text)


cdef bint gather(Exchange exchange, Facts* facts, bint wants_head) noexcept:
    cdef ExchangeOwner owner = exchange.owner
    cdef const char* base = owner.inbuf.data
    cdef const Head* head = NULL
    cdef uint32_t n
    memset(facts, 0, sizeof(Facts))
    if wants_head:
        if exchange.workspace.request_owner is not exchange and not exchange.restore_head():
            return False
        head = facts.head = &exchange.workspace.request_head
        facts.p = base + exchange.head.at
    facts_say(&facts.said[<int>V_CLIENT], owner.client, owner.client_length)
    facts_say(&facts.said[<int>V_METHOD], base + exchange.method_text.at, exchange.method_text.length)
    facts_say(&facts.said[<int>V_SCHEME], b"https" if owner.tls else b"http", 5 if owner.tls else 4)
    facts_say(&facts.said[<int>V_REQUEST_ID], exchange.identity.id, exchange.identity.id_length)
    facts_say_bytes(&facts.said[<int>V_ROUTE], exchange.route.text)
    facts_say_bytes(&facts.said[<int>V_CLUSTER], exchange.cluster.text)
    facts_say_bytes(&facts.said[<int>V_LISTENER], owner.options.route.text)
    if exchange.pool is not None:
        facts_say_bytes(&facts.said[<int>V_ENDPOINT], exchange.pool.endpoint_text)
    facts_say(&facts.said[<int>V_PATH], b"/", 1)
    if exchange.path.length and base[exchange.path.at] == c"/":
        facts_say(&facts.said[<int>V_PATH], base + exchange.path.at, exchange.path.length)
    n = exchange.target.at + exchange.target.length - exchange.path.at - exchange.path.length
    if n and base[exchange.path.at + exchange.path.length] == c"?":
        facts_say(&facts.said[<int>V_QUERY], base + exchange.path.at + exchange.path.length + 1, n - 1)
    if exchange.host.length:
        facts_host(&facts.said[<int>V_HOST], base + exchange.host.at, exchange.host.length)
    elif head != NULL and head.authority_length:
        facts_host(&facts.said[<int>V_HOST], facts.p + head.authority_at, head.authority_length)
    return True


cdef void facts_host(Slice* said, const char* host, uint32_t n) noexcept:
    # Without the port: behind the last colon, unless that stands inside an IPv6 address.
    cdef uint32_t i = n
    while i and c"0" <= host[i - 1] <= c"9":
        i -= 1
    facts_say(said, host, i - 1 if i and host[i - 1] == c":" else n)


cdef uint32_t facts_target(Exchange exchange, Retarget retarget, char* out) noexcept:
    """Writes the request's target as its path becomes; 0: there is no path. Room: its target and RETARGET_BYTES."""
    cdef const char* base = exchange.owner.inbuf.data
    cdef uint32_t query = exchange.target.at + exchange.target.length - exchange.path.at - exchange.path.length
    cdef uint32_t n
    if base[exchange.target.at] == c"*":
        return 0
    n = retarget.put(base + exchange.path.at, exchange.path.length, out)
    if query:
        memcpy(out + n, base + exchange.path.at + exchange.path.length, query)
    return n + query


cdef uint32_t apply_target(Exchange exchange, RequestPolicy* policy) noexcept:
    cdef Action action = exchange.route.action
    cdef uint32_t more = 0
    if action.request is not None:
        more = LINES_MOST
    if action.host:
        policy.host = action.host
        policy.host_length = <uint32_t>len(action.host)
    if action.retarget is not None:
        more += facts_put_target(exchange, action.retarget, policy)
    return more


cdef uint32_t settle_target(Exchange exchange, RequestPolicy* policy) noexcept:
    cdef const char* path = exchange.owner.inbuf.data + exchange.path.at
    cdef uint32_t n = exchange.path.length
    cdef Slice segments[PHRASE_SEGMENTS]
    cdef bint dotted
    if n == 0 or path[0] != c"/" or filter_is_plain(path, n):
        return 0
    path_segments(path, n, segments, &dotted)
    if not dotted and slash_at(path + 1, n - 1) == 0:
        return 0
    return facts_put_target(exchange, settled, policy)


cdef bint says_itself(Edits edits, Lines lines, bytes name) noexcept:
    return (edits is not None and name in edits.drops) or (lines is not None and name in lines.drops)


cdef const Identity* identity_left(Exchange exchange, Edits edits, Lines lines, Identity* copy) noexcept:
    cdef bint identified = says_itself(edits, lines, b"x-request-id")
    cdef bint traced = says_itself(edits, lines, b"traceparent")
    if not identified and not traced:
        return &exchange.identity
    copy[0] = exchange.identity
    if identified:
        copy.id_length = 0
    if traced:
        copy.traced = False
    return copy


cdef uint32_t facts_put_target(Exchange exchange, Retarget retarget, RequestPolicy* policy) noexcept:
    """Writes the target to the end of the compose buffer; how many bytes there are not free for a head any more."""
    cdef uint32_t room = exchange.target.length + RETARGET_BYTES
    cdef char* out
    if room > TARGET_ROOM:
        return COMPOSE_BYTES
    out = exchange.workspace.compose + COMPOSE_BYTES - room
    policy.target_length = facts_target(exchange, retarget, out)
    policy.target = out
    return room


cdef uint32_t append_lines(Exchange exchange, Lines lines, uint32_t n) noexcept:
    cdef Facts facts
    if lines.varies and not gather(exchange, &facts, lines.wants_head):
        return 0
    return lines.append(&facts, exchange.workspace.compose, n)


cdef int fill_edits(Exchange exchange) except -1:
    cdef Action action = exchange.route.action
    cdef Workspace workspace = exchange.workspace
    cdef Edits edits = Edits.__new__(Edits)
    cdef Facts facts
    cdef uint32_t n
    exchange.filled = True
    if action.host:
        edits.host = action.host
    if action.retarget is not None and exchange.target.length + RETARGET_BYTES < COMPOSE_BYTES:
        n = facts_target(exchange, action.retarget, workspace.compose)
        edits.target = workspace.compose[:n] if n else None
    if action.request is not None:
        edits.drops = action.request.drops
        n = PHRASE_TOO_LONG
        if gather(exchange, &facts, action.request.wants_head):
            n = action.request.put(&facts, workspace.compose)
        if n == PHRASE_TOO_LONG:
            return 1
        edits.lines = bytearray(workspace.compose[:n])
    exchange.request_edits = edits
    return 0


cdef int overrule(Exchange exchange) except -1:
    cdef Action action = exchange.route.action
    cdef bytes name
    if action.response is None:
        return 0
    for name in action.response.drops:
        exchange.response_edits.remove_field(name)
    return 0
