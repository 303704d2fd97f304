"""Server-Timing (W3C): the parts of an exchange's time, in milliseconds, for whoever sees the response."""

from libc.stdint cimport int64_t

from weir.plane.accesslog cimport L_DATA
from weir.plane.text cimport put_bytes, put_ms

cdef const char* NAMES = b"TR;dur=Tw;dur=Tc;dur=Tr;dur="


cdef char* put_server_timing(char* out, const int64_t* parts_us) noexcept nogil:
    cdef int part
    out = put_bytes(out, b"Server-Timing: ", 15)
    for part in range(<int>L_DATA):
        out = put_bytes(out, NAMES + 7 * part, 7)
        out = put_ms(out, parts_us[part])
        out = put_bytes(out, b", ", 2)
    (out - 2)[0] = c"\r"
    (out - 1)[0] = c"\n"
    return out
