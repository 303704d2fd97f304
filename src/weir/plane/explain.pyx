"""What would become of a request, asked of the code that decides it.

Up to the route the steps are those of a connection (`take_in`). What follows are those of `Trying.start`, in their
order, and each is the very function that is called there: so what is said here cannot differ from what happens but in
the order of these steps, which tests compare. Nothing is counted, drawn from a rate limit, or sent.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.admission cimport Limit
from weir.plane.codes cimport (
    DONE, FAILED, R_BAD_DEADLINE, R_BAD_REQUEST, R_DEADLINE_PASSED, R_NONE, R_NO_ROUTE, R_UNTRUSTED_PROXY, Reason,
)
from weir.plane.deadline cimport DEADLINE_BAD, DEADLINE_NONE, read_deadline
from weir.plane.fault cimport Fault
from weir.plane.filters cimport Asked
from weir.plane.framing cimport Framing
from weir.plane.head cimport M_GET, M_HEAD, Head, scan_request
from weir.plane.intake cimport Intake, take_in
from weir.plane.options cimport ListenerOptions, Route
from weir.plane.origin cimport CLIENT_TEXT, Origin, put_origin, read_origin
from weir.plane.pool cimport Pool
from weir.plane.trust cimport walk_forwarded_for
from weir.plane.upstream cimport UpstreamUser


cdef dict explain_request(ListenerOptions options, bytes request, bytes client):
    cdef Head head
    cdef Framing framing
    cdef Asked asked
    cdef Origin origin
    cdef Intake intake
    cdef Route route
    cdef char told[CLIENT_TEXT]
    cdef bytearray scratch = bytearray(len(request) + 1)
    cdef const char* p = request
    if not read_origin(client, <uint32_t>len(client), &origin):
        raise ValueError(f"no address: {client.decode(errors='replace')!r}")
    said = {"refused": int(R_NONE), "client": client.decode(), "tried": [], "route": None}
    believed = options.trusted is not None and options.trusted.has(&origin)
    if options.proxy_header and options.trusted is not None and not believed:
        return {**said, "refused": int(R_UNTRUSTED_PROXY)}
    head.scanned = 0
    step = scan_request(p, <uint32_t>len(request), &options.limits, &head)
    if step != DONE:
        return {**said, "refused": int(head.reason if step == FAILED else R_BAD_REQUEST)}
    if believed:
        walk_forwarded_for(p, &head, options.trusted, &origin)
    asked.p = p
    asked.head = &head
    asked.client_length = put_origin(&origin, told)
    asked.client = told
    asked.scratch = scratch
    said["client"] = told[:asked.client_length].decode()
    route = take_in(options, &head, &asked, &origin, &framing, &intake, said["tried"])
    said["route"] = options.routes.index(route) if intake.routed else None
    if intake.reason != R_NONE:
        return {**said, "refused": int(intake.reason)}
    said["page"] = (
        bool(options.page) and head.method in (M_GET, M_HEAD)
        and p[head.path_at:head.path_at + head.path_length] == options.page
    )
    said["limits"], said["faults"] = explain_rules(options, &asked, route)
    said["hooks"] = explain_hooks(route, &asked)
    said["answers"] = route.cluster.nowhere and route.action is not None and route.action.status != 0
    if not said["page"]:
        said["refused"] = int(explain_end(options, route, said["answers"], p, &head))
    said["cluster"] = route.cluster
    said["key"] = explain_key(route, &asked)
    said["bound"] = explain_bound(route, &asked)
    return said


cdef Reason explain_end(
    ListenerOptions options, Route route, bint answers, const char* p, const Head* head
) noexcept:
    """Why it goes nowhere, if it does, though nothing is wrong with its head."""
    cdef int64_t deadline_ms = DEADLINE_NONE
    if route.cluster.nowhere:
        return R_NONE if answers else R_NO_ROUTE
    if options.deadline_length:
        deadline_ms = read_deadline(p, head, options.deadline, options.deadline_length)
    if deadline_ms == DEADLINE_BAD:
        return R_BAD_DEADLINE
    return R_DEADLINE_PASSED if deadline_ms == 0 else R_NONE


cdef tuple explain_rules(ListenerOptions options, const Asked* asked, Route route):
    cdef Limit limit
    cdef Fault fault
    limits = []
    faults = []
    if options.admission is not None:
        for place, limit in enumerate(options.admission.asked_of(route.number)):
            # Which row its path has does not matter to whether it has a key.
            if limit.filter.takes(asked) and limit.key(asked, route.series, 0, 0):
                limits.append(place)
        for place, fault in enumerate(options.admission.faults):
            if fault.filter.takes(asked):
                faults.append(place)
    return limits, faults


cdef list explain_hooks(Route route, const Asked* asked):
    cdef uint64_t chosen
    if route.hooks is None:
        return []
    chosen = route.hooks.select(asked)
    return [place for place in range(len(route.hooks.entries)) if chosen >> <int>place & 1]


cdef object explain_key(Route route, const Asked* asked):
    # By which the endpoint is chosen, if the cluster's policy is "hash"; None: it has none, or does not matter.
    cdef UpstreamUser user = UpstreamUser.__new__(UpstreamUser)
    if route.cluster.keys is None:
        return None
    route.cluster.keys.take(asked.p, asked.head, asked.client, asked.client_length, user)
    return user.key if user.keyed else None


cdef object explain_bound(Route route, const Asked* asked):
    # The endpoint that its cookie names, which is asked first; None: there is none.
    cdef UpstreamUser user = UpstreamUser.__new__(UpstreamUser)
    cdef Pool pool = None
    if route.cluster.sticky is not None:
        route.cluster.sticky.read(asked.p, asked.head, user)
        if user.bound:
            route.cluster.stamp += 1        # nobody has been tried
            pool = route.cluster._bound(user)
    return None if pool is None else pool.name
