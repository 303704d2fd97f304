# What is changed in a head before it goes on: lines that are left out, lines that are added, parts of its first line.

from libc.stdint cimport uint16_t, uint32_t

from weir.plane.head cimport Head

cdef enum:
    EDITS_MOST = 32768          # bytes of lines that are added to one head

# Marks the lines of p's head that are called name[0:n], in any case, and with "_" for "-".
cdef void mark_named(const char* p, Head* head, const char* name, uint32_t n) noexcept nogil

cdef class Edits:
    cdef tuple drops            # names of fields, in lower case: every line of that name
    cdef bytearray lines        # whole lines, each with its CRLF; EDITS_MOST at most
    cdef bytes target           # of a request; None: as it came
    cdef bytes host             # of a request; None: as it would be without edits
    cdef bytes status_line      # of a response, with its CRLF; None: as it came
    cdef uint16_t status        # ... and its number

    # As it is now.
    cdef Edits copy(self)
    # Marks the lines of p's head that are left out.
    cdef void mark(self, const char* p, Head* head) noexcept
    # Adds the lines to the composed head out[0:n], before the empty line that ends it; its new length.
    cdef uint32_t put(self, char* out, uint32_t n) noexcept
    # How many bytes more a head may have for it, at most.
    cdef uint32_t bound(self) noexcept
    cdef bint drops_name(self, bytes name)
    # `lowered` is the name in lower case. ValueError if the lines would be too many.
    cdef int set_field(self, bytes name, bytes lowered, bytes value) except -1
    cdef int add_field(self, bytes name, bytes value) except -1
    cdef int remove_field(self, bytes lowered) except -1
