"""What an endpoint is told of the client: by a PROXY header, whose connection is the client's alone then, and by
X-Forwarded-*."""

from libc.stdint cimport uint8_t, uint32_t

from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.fields cimport FWD_APPEND, FWD_REPLACE, RequestPolicy
from weir.plane.head cimport Head
from weir.plane.origin cimport O_IPV4, O_IPV6, Origin, origin_of_bytes, origin_of_peer, put_origin, same_origin
from weir.plane.private cimport PrivatePool
from weir.plane.proxyproto cimport write_proxy_header
from weir.plane.syscalls cimport sockaddr_storage
from weir.plane.trust cimport has_good_host, has_good_proto
from weir.plane.upstream cimport Upstream


cdef uint32_t introduce(Exchange exchange, char* out) noexcept:
    """Writes the PROXY header with which a connection begins that is this client's from now on."""
    cdef ExchangeOwner owner = exchange.owner
    cdef Origin destination = owner.destination
    cdef sockaddr_storage address
    exchange.upstream.speaks_for = owner.origin
    if destination.family != O_IPV4 and destination.family != O_IPV6:
        if owner.stream.local_address(&address):
            origin_of_peer(&address, &destination)
        if destination.family != O_IPV4 and destination.family != O_IPV6:
            # A client that a trusted proxy tells of, over a Unix socket: better 0.0.0.0 than not to say who it is.
            origin_of_bytes(O_IPV4, <const uint8_t*>b"\x00\x00\x00\x00", 0, &destination)
    return write_proxy_header(exchange.cluster.proxy_header, &owner.origin, &destination, False, out)


cdef void believe(
    ExchangeOwner owner, const Head* head, RequestPolicy* policy, const char* p, char* hop
) noexcept:
    """What trusted proxies, where there are any, change in what is said of the client; `hop` has CLIENT_TEXT bytes."""
    if not owner.believed:
        if policy.forwarded == FWD_APPEND:
            policy.forwarded = FWD_REPLACE      # nothing that it says is to go on
    elif policy.forwarded == FWD_REPLACE:
        policy.keep_proto = has_good_proto(p, head)
        policy.keep_host = has_good_host(p, head)
    elif policy.forwarded == FWD_APPEND:
        policy.client_length = put_origin(&owner.hop, hop)
        policy.client = hop


cdef Upstream take_kept(Exchange exchange):
    """The connection that speaks for this client and has rested since its last request; None: there is none."""
    cdef Upstream upstream = exchange.owner.kept
    cdef PrivatePool pool = <PrivatePool>upstream.home
    exchange.owner.kept = None
    if (
        pool.owner is exchange.cluster
        and (exchange.wanted is None or exchange.wanted is pool)
        and same_origin(&upstream.speaks_for, &exchange.owner.origin)
        and pool.retake(upstream, exchange)
    ):
        return upstream
    pool.drop(upstream)
    return None


cdef int drop_kept(Exchange exchange) except -1:
    cdef Upstream upstream = exchange.owner.kept
    exchange.owner.kept = None
    return (<PrivatePool>upstream.home).drop(upstream)
