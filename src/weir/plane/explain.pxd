# What would become of a request, asked of the code that decides it.

from weir.plane.options cimport ListenerOptions

# `request` is a whole head, `client` the address that it comes from. See Plane.explain.
cdef dict explain_request(ListenerOptions options, bytes request, bytes client)
