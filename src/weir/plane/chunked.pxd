# The chunked coding (RFC 9112 section 7.1), scanned and made canonical in place.
#
# What goes on is the canonical form: size in lower-case hex without leading zeros, no extensions, CRLF.
# It is never longer than what came in, so it is written over the same bytes. A chunk header that is not
# complete is left where it is and asked for again with more bytes behind it; its length is bounded.
#
# The last chunk goes on together with the trailer section behind it, when that was found good: to a recipient the
# last chunk is the end of the body (section 8), and no body whose trailers are refused may look whole.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason, Step
from weir.plane.head cimport Head, HeadLimits

cdef enum:
    CHUNK_HEADER_LIMIT = 256        # size, extensions and CRLF of one chunk header; longer is refused

cpdef enum ChunkState:
    C_HEADER = 0            # at the start of a chunk header
    C_DATA = 1              # inside chunk data
    C_DATA_END = 2          # at the CRLF after chunk data
    C_TRAILERS = 3          # at the header of the last chunk, behind which field lines come, up to an empty line
    C_END = 4               # the body is complete

cdef struct ChunkScanner:
    uint8_t state               # ChunkState
    uint8_t decode              # 1: drop all framing (for an HTTP/1.0 recipient); 0: canonical framing
    uint8_t no_trailers         # 1: leave all trailer fields out
    uint16_t last_length        # C_TRAILERS: length of the header of the last chunk, which waits with them
    uint64_t left               # C_DATA: bytes of this chunk still to come
    uint64_t payload            # bytes of chunk data seen so far: the body without its framing
    uint32_t trailer_scanned    # C_TRAILERS: how far the search for their end has come
    Reason reason               # FAILED: why

cdef void chunk_start(ChunkScanner* scanner, bint decode) noexcept nogil

# Works on buf[at:end] in place. On return buf[at:*out_end] is to be sent on, buf[*rest:end] is not yet
# consumed (an incomplete header, the last chunk and an incomplete trailer section, or after C_END the bytes of the
# next message), and
# at <= *out_end <= *rest <= end.
#   DONE       the body is complete (state C_END)
#   NEED_MORE  all that could be consumed is; call again when more bytes stand behind buf[*rest:]
#   FAILED     scanner.reason says why; what lies before *out_end was good and may have been sent
# `trailers` is scratch space for the trailer fields; forbidden ones (framing, routing, authentication,
# hop-by-hop: RFC 9110 section 6.5.1) are left out of what is sent on.
# `bad` is the reason for a malformed chunk (it differs by side).
cdef Step chunk_scan(
    ChunkScanner* scanner, char* buf, uint32_t at, uint32_t end, uint32_t* out_end, uint32_t* rest,
    const HeadLimits* limits, Head* trailers, Reason bad
) noexcept nogil
