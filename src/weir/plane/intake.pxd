# What is decided of a request's head before there is an exchange: one order of steps, for connections and for explain.

from weir.plane.codes cimport Reason
from weir.plane.filters cimport Asked
from weir.plane.framing cimport Framing
from weir.plane.head cimport Head
from weir.plane.options cimport ListenerOptions, Route
from weir.plane.origin cimport Origin

cdef struct Intake:
    Reason reason           # R_NONE, or why it is refused
    bint routed             # it came as far as its route
    bint upgrade
    bint te_trailers
    bint expect

# The route of the request with this (complete) head at asked.p, and what is known of it by then. `tried`: None, or a
# list that gets what was looked at, as Router.trace says. `asked` is about the same head and has room for a path.
cdef Route take_in(
    ListenerOptions options, Head* head, const Asked* asked, const Origin* origin, Framing* framing, Intake* intake,
    list tried
)
