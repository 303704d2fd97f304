# How long is this body: the one place that looks at Content-Length and Transfer-Encoding
# (RFC 9112 section 6.3), for requests and for responses.

from libc.stdint cimport uint8_t, uint64_t

from weir.plane.codes cimport Reason, Step
from weir.plane.head cimport Head

cpdef enum BodyKind:
    B_NONE = 0          # no body
    B_LENGTH = 1        # Framing.length bytes
    B_CHUNKED = 2       # until the last chunk and the trailers
    B_CLOSE = 3         # until the sender closes (responses only)
    B_TUNNEL = 4        # bytes both ways until both sides close (101)

cdef struct Framing:
    uint8_t kind                # BodyKind
    uint8_t has_length          # a valid Content-Length was there (also on HEAD and 304, where kind is B_NONE)
    uint8_t keep_alive          # the sender of this message allows its connection to be used again
    uint64_t length             # has_length: its value
    Reason reason               # FAILED: why

# Returns DONE or FAILED. `p` is the base of the head's offsets.
cdef Step frame_request(const char* p, const Head* head, Framing* framing) noexcept nogil
# `method` is that of the request (Method); `upgrade` says that the request asked for an upgrade.
cdef Step frame_response(
    const char* p, const Head* head, uint8_t method, bint upgrade, Framing* framing
) noexcept nogil

# Whether a 101 (its head in `q`) switches, and only to protocols that the request (its head in `p`) asked for.
cdef bint switches_as_asked(const char* p, const Head* asked, const char* q, const Head* head) noexcept nogil
