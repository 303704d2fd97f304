# Server-Timing: the parts of an exchange's time that are known when its response head goes out.

from libc.stdint cimport int64_t

cdef enum:
    SERVER_TIMING_BYTES = 160   # more than put_server_timing writes

# TR, Tw, Tc and Tr of parts_us (by LedgerPart), as a field line.
cdef char* put_server_timing(char* out, const int64_t* parts_us) noexcept nogil
