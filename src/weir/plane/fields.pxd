# What is forwarded: composes the head that goes on from the head that came in.
#
# A message's own bytes are copied as they are, in runs of whole field lines; what is taken out are the
# hop-by-hop fields (RFC 9110 section 7.6.1), the fields that Connection nominates, and those that weir
# writes itself.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason, Step
from weir.plane.framing cimport Framing
from weir.plane.head cimport FieldId, Head
from weir.plane.ids cimport IDENTITY_BYTES, Identity
from weir.plane.timing cimport SERVER_TIMING_BYTES

cdef enum:
    # More than all that weir writes beyond what it copies: the names of its fields and its own values.
    OWN_BYTES = 512 + IDENTITY_BYTES + SERVER_TIMING_BYTES

cpdef enum ForwardedPolicy:
    FWD_REPLACE = 0     # X-Forwarded-* say what this proxy saw; what the client sent is dropped
    FWD_APPEND = 1      # the client's address is appended to the received X-Forwarded-For
    FWD_KEEP = 2        # pass what was received, add nothing
    FWD_OFF = 3         # remove what was received, add nothing

cdef struct RequestPolicy:
    uint8_t forwarded           # ForwardedPolicy
    uint8_t via                 # 1: append to Via
    uint8_t keep_proto          # 1: X-Forwarded-Proto is believed, and goes on in place of weir's own
    uint8_t keep_host           # 1: likewise X-Forwarded-Host
    const char* host            # length 0: keep the client's Host
    uint32_t host_length
    const char* client          # the client's address as text ("192.0.2.1", "2001:db8::1", "unix:")
    uint32_t client_length
    const char* proto           # "http" or "https"
    uint32_t proto_length
    const Identity* identity    # who the request is; NULL: its fields go on as they came
    const char* target          # length 0: as it came
    uint32_t target_length

cdef struct ResponsePolicy:
    uint8_t via                 # 1: append to Via
    uint8_t close               # 1: say "Connection: close"
    uint8_t keep_alive          # 1: say "Connection: keep-alive" (to an HTTP/1.0 client that asked)
    uint8_t chunked             # 1: the body goes on chunked: say so, and drop any Content-Length
    uint8_t interim             # 1: a 1xx head: no framing fields, no counter
    const char* status_line     # with its CRLF; length 0: as it came
    uint32_t status_line_length
    uint8_t upgrade             # 1: a 101: pass Upgrade and say "Connection: upgrade"
    const char* counter         # name of the field with the running total; length 0: none
    uint32_t counter_length
    uint64_t counter_value
    const Identity* identity    # whose X-Request-Id is said in place of the endpoint's; NULL: none
    const int64_t* parts_us     # by LedgerPart: a Server-Timing with them; NULL: none

# First pass, after framing: marks the lines that are not forwarded (Field.drop) and checks what needs
# checking (Host, Connection, Expect, Upgrade). DONE, or FAILED with head.reason set.
#   *upgrade       the request asks for an upgrade that is passed on
#   *te_trailers   the client takes trailers
#   *expect        it waits for 100-continue
cdef Step check_request(
    const char* p, Head* head, const Framing* framing, bint* upgrade, bint* te_trailers, bint* expect
) noexcept nogil

# The same for a response, whose Connection may name too many options: DONE, or FAILED with head.reason set.
cdef Step check_response(const char* p, Head* head) noexcept nogil

# Whether a field (Authorization, WWW-Authenticate) speaks of NTLM or Negotiate, by which an endpoint may take a
# connection, and not a request, for authenticated (RFC 4559 section 6): what comes on it next is its client's.
cdef bint ties_connection(const char* p, const Head* head, FieldId known) noexcept nogil

# An upper bound for the bytes that write_* needs.
cdef inline uint32_t request_head_bound(const Head* head, const RequestPolicy* policy) noexcept nogil:
    # Host or authority is written a second time at most; either is part of head.length. Where another target is
    # written, of the one that came there is only its authority.
    cdef uint32_t n = 2 * head.length + policy.host_length + policy.client_length + policy.proto_length + OWN_BYTES
    if policy.target_length:
        n += policy.target_length + 2 * head.authority_length - 2 * head.target_length
    return n

cdef inline uint32_t response_head_bound(const Head* head, const ResponsePolicy* policy) noexcept nogil:
    return head.length + policy.status_line_length + policy.counter_length + OWN_BYTES

# Write the composed head to out (room for the bound) and return its length.
cdef uint32_t write_request_head(
    const char* p, Head* head, const Framing* framing, const RequestPolicy* policy, bint upgrade,
    bint te_trailers, char* out
) noexcept nogil
cdef uint32_t write_response_head(
    const char* p, Head* head, const ResponsePolicy* policy, char* out
) noexcept nogil
