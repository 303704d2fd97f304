# What a route does with a request, and with its response, beside sending it on.

from libc.stdint cimport uint16_t, uint32_t

from weir.plane.edits cimport Edits
from weir.plane.head cimport Head
from weir.plane.phrase cimport Facts, Phrase
from weir.plane.retarget cimport Retarget

cdef enum:
    LINES_MOST = 32768          # bytes that lines of one head may come to
    BODY_MOST = 131072          # of an answer

# Lines that are left out of a head, and lines that are added.
cdef class Lines:
    cdef tuple drops                    # names, in lower case
    cdef list added                     # of (name with ": ", Phrase), those that are not the same for all
    cdef bytes constant                 # whole lines of the others
    cdef readonly bint varies           # there are such
    cdef readonly bint wants_head
    # Marks the lines of p's head that are left out.
    cdef void mark(self, const char* p, Head* head) noexcept
    # Writes the lines to out, LINES_MOST bytes; how many, or PHRASE_TOO_LONG.
    cdef uint32_t put(self, const Facts* facts, char* out) noexcept
    # Adds them to the composed head out[0:n], before the empty line that ends it; its new length, 0: they are too long.
    cdef uint32_t append(self, const Facts* facts, char* out, uint32_t n) noexcept

cdef class Action:
    cdef readonly Lines request         # None: none
    cdef readonly Lines response
    cdef readonly Retarget retarget     # None: the target goes on as it came
    cdef bytes host                     # what endpoints are told in Host; b"": as without it
    # What it answers by itself.
    cdef readonly uint16_t status       # 0: nothing
    cdef bytes begin                    # status line, and the fields that are the same for all
    cdef Phrase location                # None: it is no redirect
    cdef Phrase body
