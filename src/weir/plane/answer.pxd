# Answers that a hook gives instead of an endpoint, and what field lines that Python writes have to be.

from libc.stdint cimport uint16_t

cdef enum:
    ANSWER_MOST = 16777216      # bytes of an Answer's body

cdef class Answer:
    cdef readonly uint16_t status
    cdef readonly bytes body
    cdef object pieces                  # an async iterator, in place of the body; None: there is none
    cdef readonly list headers          # (name, value)
    cdef bytes lines                    # status line and fields, without framing

# A field name or value as bytes: ISO 8859-1, as RFC 9110 section 5.5 has it. ValueError for what is none.
cdef bytes checked_name(str name)
cdef bytes checked_value(str value)
# A name that is none of `reserved` (in lower case): as it is written, and in lower case. It is remembered in `good`.
cdef tuple good_name(str name, tuple reserved, dict good)
# With its CRLF.
cdef bytes status_line(int status)
