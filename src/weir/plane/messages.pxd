# Requests and responses as Python functions see them: read from the parsed head, written through edits.

from libc.stdint cimport uint32_t

from weir.plane.cluster cimport Cluster
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange, ExchangeView
from weir.plane.head cimport Head

cdef class Headers:
    cdef Message message
    cdef list _lines(self)
    cdef int _check_name(self, str name) except -1

cdef class Message(ExchangeView):
    cdef Headers _headers
    # The edits of its head; made if there are none.
    cdef Edits edits(self)
    cdef Edits edits_if_any(self)
    # Its parsed head, and in p[0] what offsets count from. RuntimeError when it is gone.
    cdef const Head* parsed(self, const char** p) except NULL
    cdef tuple reserved(self)

cdef class Request(Message):
    cdef Response answered              # its response, as hooks see it; None: there was none yet
    cdef object _state
    cdef str named                      # its series; None: nobody has asked, it is its path's
    cdef uint32_t next                  # the hook that is next at this phase
    cdef object call                    # what it waits for; None: nothing
    cdef Response response_view(self)
    cdef int use_cluster(self, Cluster cluster) except -1

cdef class Response(Message):
    cdef Request asked
