# Requests and responses as Python functions see them: read from the parsed head, written through edits.

from libc.stdint cimport uint32_t

from weir.plane.bodied cimport Bodied
from weir.plane.cluster cimport Cluster
from weir.plane.edits cimport Edits
from weir.plane.headers cimport Headers

cdef class Message(Bodied):
    cdef Headers _headers

cdef class Request(Message):        # one may serve several exchanges: end() puts back all that is here
    cdef Response answered              # its response, as hooks see it; None: there was none yet
    cdef object _state
    cdef str named                      # its series; None: nobody has asked, it is its path's
    cdef uint32_t next                  # the hook that is next at this phase
    cdef bint attempted                 # hooks of phase "upstream" have seen it
    cdef Edits unattempted              # ... and its edits before that; None: it had none
    cdef object call                    # what it waits for; None: nothing
    cdef Response response_view(self)
    cdef int use_cluster(self, Cluster cluster) except -1

cdef class Response(Message):
    cdef Request asked
