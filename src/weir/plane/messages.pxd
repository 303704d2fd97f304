# Requests and responses as Python functions see them: read from the parsed head, written through edits.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from weir.plane.bodied cimport Bodied
from weir.plane.edits cimport Edits

cdef enum:
    ANSWER_MOST = 16777216      # bytes of an Answer's body

cdef class Headers:
    cdef Message message
    cdef list _lines(self)
    cdef int _check_name(self, str name) except -1

cdef class Message(Bodied):
    cdef Headers _headers
    cdef Edits edits_if_any(self)
    cdef tuple reserved(self)

cdef class Request(Message):
    cdef Response answered              # its response, as hooks see it; None: there was none yet
    cdef object _state
    cdef uint32_t next                  # the hook that is next at this phase
    cdef object call                    # what it waits for; None: nothing
    cdef Response response_view(self)

cdef class Response(Message):
    cdef Request asked

cdef class Answer:
    cdef readonly uint16_t status
    cdef readonly bytes body
    cdef object pieces                  # an async iterator, in place of the body; None: there is none
    cdef readonly list headers          # (name, value)
    cdef bytes lines                    # status line and fields, without framing

# What is bytes of a field value to Python, and back: ISO 8859-1, as RFC 9110 section 5.5 has it.
cdef bytes checked_name(str name)
cdef bytes checked_value(str value)
