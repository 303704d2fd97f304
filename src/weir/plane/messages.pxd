# Requests and responses as Python functions see them: read from the parsed head, written through edits.

from libc.stdint cimport uint32_t

from weir.plane.bodied cimport Bodied
from weir.plane.cluster cimport Cluster
from weir.plane.edits cimport Edits

cdef class Headers:
    cdef Message message
    cdef list _lines(self)
    cdef tuple _checked(self, str name)

cdef class Message(Bodied):
    cdef Headers _headers
    cdef Edits edits_if_any(self)
    cdef tuple reserved(self)
    cdef dict good_names(self)          # those that were found good before

cdef class Request(Message):
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
