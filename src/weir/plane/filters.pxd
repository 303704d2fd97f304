# Which requests a rule of a listener is about: by method, by the beginning of the path, by a field.

from libc.stdint cimport uint32_t

from weir.plane.head cimport FieldId, Head

cdef enum:
    FIELD_MISSING = -1
    FIELD_SEVERAL = -2          # lines with that name

# A request as rules look at it. Pointers are valid during the call only.
cdef struct Asked:
    const char* p               # what head's offsets count from
    const Head* head
    const char* client          # its address as text
    uint32_t client_length
    char* scratch               # room for a path

# The name of a request field, ready to be looked for.
cdef class FieldName:
    cdef bytes name
    cdef FieldId known
    cdef bint parted                    # there is a "-" in it
    # The number of the only line with that name, FIELD_MISSING or FIELD_SEVERAL. A line whose name has "_" for "-" is
    # one with that name to CGI, WSGI and PHP, and another to everybody else: FIELD_SEVERAL, too.
    cdef int find(self, const Asked* asked) noexcept

cdef class Filter:
    cdef bint all                       # it takes every request
    cdef uint32_t known_methods         # a bit for each Method; 0: all
    cdef tuple other_methods            # those that have no number
    cdef bytes prefix                   # plain; b"": all
    cdef FieldName field                # None: all
    cdef bytes value                    # of the field; None: any
    cdef bint takes(self, const Asked* asked) noexcept

# Whether nothing is in p[0:n] that plain_path would change. It may say no too often.
cdef bint filter_is_plain(const char* p, uint32_t n) noexcept nogil

# Writes what p[0:n] leads to, to out (n + 1 bytes), and returns its length: without percent-encoding, empty segments,
# dot segments and what follows a semicolon in a segment; a backslash is a slash. Only to compare with.
cdef uint32_t plain_path(const char* p, uint32_t n, char* out) noexcept nogil

# The value of a hexadecimal digit; -1: it is none.
cdef int filter_hex(char c) noexcept nogil
