"""What is decided of a request's head before there is an exchange.

How it is framed comes first: what is not clear there cannot be refused politely, wherever it was to go. Then its route,
which says how large a body may be, and last what else must be right of its fields.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from weir.plane.codes cimport FAILED, R_BODY_TOO_LARGE
from weir.plane.fields cimport check_request
from weir.plane.filters cimport Asked
from weir.plane.framing cimport B_LENGTH, Framing, frame_request
from weir.plane.head cimport Head
from weir.plane.options cimport ListenerOptions, Route
from weir.plane.origin cimport Origin
from weir.plane.router cimport NO_ROUTE


cdef Route take_in(
    ListenerOptions options, Head* head, const Asked* asked, const Origin* origin, Framing* framing, Intake* intake,
    list tried
):
    cdef Route route = options.route
    cdef int32_t number
    memset(intake, 0, sizeof(Intake))
    if frame_request(asked.p, head, framing) == FAILED:
        intake.reason = framing.reason
        return route
    if options.router is not None:
        if tried is None:
            number = options.router.find(asked, origin)
        else:
            number, looked = options.router.trace(asked, origin)
            tried += looked
        if number != NO_ROUTE:
            route = <Route>options.routes[number]
    intake.routed = True
    if framing.kind == B_LENGTH and route.max_body_bytes and framing.length > route.max_body_bytes:
        intake.reason = R_BODY_TOO_LARGE
    elif check_request(asked.p, head, framing, &intake.upgrade, &intake.te_trailers, &intake.expect) == FAILED:
        intake.reason = head.reason
    return route
