# A path that is forwarded as another one: a prefix taken out or put before it, or a pattern filled in.

from libc.stdint cimport uint32_t

from weir.plane.phrase cimport PHRASE_SEGMENTS

cdef enum:
    RETARGET_BYTES = 1024       # more than a path can become longer by

cdef class Retarget:
    cdef readonly uint32_t strips       # segments that are taken out at the beginning
    cdef bytes adds                     # what is put before the rest; b"": nothing
    cdef list parts                     # of a pattern, or None: bytes (with slashes), or the number of a segment
    cdef bint rest                      # what follows the segments that are taken out goes on
    # Writes what the path p[0:n] becomes to out: at most n + RETARGET_BYTES bytes; its length.
    cdef uint32_t put(self, const char* p, uint32_t n, char* out) noexcept
