# The whole data plane of one worker, as the control side sees it.

from weir.plane.workspace cimport Workspace

cdef class Plane:
    cdef Workspace workspace
    cdef readonly list clusters         # of Cluster
    cdef readonly list routes           # of Route
    cdef list options                   # (ListenerOptions, max_connections) by listener of the plan
    cdef readonly list listeners        # of Listener, one per socket
