# The template of a path: its identifiers replaced, so that what differs in them alone is one series.

from libc.stdint cimport uint32_t

cdef enum:
    TEMPLATE_BYTES = 200        # what the directory of the statistics table keeps of a path

# Writes the template of p[0:n] to `out`, which has room for TEMPLATE_BYTES, and returns its length; 0: the path is
# its own template, nothing useful was written.
cdef uint32_t template_of(const char* p, uint32_t n, char* out) noexcept nogil
