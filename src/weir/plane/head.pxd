# The scanner of message heads: bytes to offsets, strictly (RFC 9112), copying nothing.
#
# scan_request / scan_response look at p[0:n] and return
#   DONE       a whole head was found; head.length says how many bytes it takes, all else is filled in
#   NEED_MORE  the head is not complete; head.scanned remembers how far the search for its end has come,
#              so that a head fed byte by byte costs linear, not quadratic, time
#   FAILED     head.reason says why (a Reason); nothing else in head is to be believed
#
# Bounds: every offset o and length l in a Head that came back DONE satisfies o + l <= head.length <= n.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason, Step
from weir.plane.debug cimport WEIR_DEBUG, invariant

cdef enum:
    HEAD_MAX_FIELDS = 256       # places in the table; the configured limit is at most this

# Field names that the plane itself acts on. Everything else is F_OTHER and passes untouched.
cpdef enum FieldId:
    F_OTHER = 0
    F_HOST = 1
    F_CONNECTION = 2
    F_CONTENT_LENGTH = 3
    F_TRANSFER_ENCODING = 4
    F_KEEP_ALIVE = 5
    F_PROXY_CONNECTION = 6
    F_TE = 7
    F_TRAILER = 8
    F_UPGRADE = 9
    F_EXPECT = 10
    F_X_FORWARDED_FOR = 11
    F_X_FORWARDED_PROTO = 12
    F_X_FORWARDED_HOST = 13
    F_VIA = 14
    F_PROXY_AUTHORIZATION = 15
    F_PROXY_AUTHENTICATE = 16
    F_PROXY = 17                # "Proxy:", never legitimate in a request (httpoxy)
    F_HTTP2_SETTINGS = 18
    F_DATE = 19
    F_X_REAL_IP = 20
    F_FORWARDED = 21
    F_SERVER = 22
    F_PROXY_AUTHENTICATION_INFO = 23
    F_USER_AGENT = 24           # the access log wants these two
    F_REFERER = 25
    F_AUTHORIZATION = 26        # these two may tie a connection to one client
    F_WWW_AUTHENTICATE = 27

cpdef enum Method:
    M_OTHER = 0                 # any other token: forwarded, taken as not idempotent
    M_GET = 1
    M_HEAD = 2
    M_POST = 3
    M_PUT = 4
    M_DELETE = 5
    M_OPTIONS = 6
    M_PATCH = 7
    M_TRACE = 8
    M_CONNECT = 9

cpdef enum TargetForm:
    T_ORIGIN = 0                # /path?query
    T_ABSOLUTE = 1              # http://host/path?query
    T_AUTHORITY = 2             # host:port, CONNECT only
    T_ASTERISK = 3              # *, OPTIONS only

cdef struct Field:
    uint32_t name               # offset of the first byte of the name = start of the line
    uint32_t value              # offset of the value, leading white space skipped
    uint32_t value_length       # trailing white space not counted
    uint32_t next               # offset of the next line (after this one's CRLF)
    uint16_t name_length
    uint8_t id                  # FieldId
    uint8_t drop                # set by fields: this line is not forwarded

cdef struct HeadLimits:
    uint32_t head_bytes         # the whole head, start line and final empty line included
    uint32_t target_bytes
    uint32_t fields             # at most HEAD_MAX_FIELDS

cdef struct Head:
    uint32_t length             # of the whole head, final CRLF CRLF included, leading empty line included
    uint32_t scanned            # NEED_MORE: bytes already searched for the end; 0 to begin a new head
    Reason reason               # FAILED: why
    # start line
    uint8_t version_minor       # HTTP/1.x: 0 or 1 (a higher 1.x is taken as 1)
    uint8_t method              # Method
    uint8_t target_form         # TargetForm
    uint32_t method_at
    uint32_t method_length
    uint32_t target_at          # the target as received
    uint32_t target_length
    uint32_t path_at            # the path, without query; T_ABSOLUTE with no path: path_length 0
    uint32_t path_length
    uint32_t query_length       # bytes after the path up to the end of the target, '?' included
    uint32_t authority_at       # T_ABSOLUTE, T_AUTHORITY; else length 0
    uint32_t authority_length
    uint16_t status             # responses: 100 to 599
    uint32_t status_at          # responses: offset of the three digits; the reason phrase follows
    uint32_t fields_at          # offset of the first field line
    uint8_t nominates           # set by fields: Connection names fields of its own, so no trailer is passed on
    # fields
    uint32_t field_count
    Field fields[HEAD_MAX_FIELDS]
    # index + 1 of the first field with that id, and how many there are: a look-up without a search
    uint16_t first[32]
    uint16_t count[32]

cdef Step scan_request(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil
cdef Step scan_response(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil

# Parses field lines only (a trailer section): from p[0] to the empty line that ends it. Same returns.
cdef Step scan_fields(const char* p, uint32_t n, const HeadLimits* limits, Head* head) noexcept nogil

# Which of the known names s[0:n] is, or F_OTHER.
cdef FieldId known_name(const char* s, uint32_t n) noexcept nogil

# The bounds that are promised above, asserted of every head that comes back DONE; nothing in a release build.
cdef inline void check_head(const Head* head, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef const Field* field
    if not WEIR_DEBUG:
        return
    invariant(head.length <= n and head.field_count <= HEAD_MAX_FIELDS and head.fields_at <= head.length)
    invariant(head.method_at + head.method_length <= head.length and head.status_at <= head.length)
    invariant(head.target_at + head.target_length <= head.length)
    invariant(head.path_at + head.path_length + head.query_length <= head.length)
    invariant(head.authority_at + head.authority_length <= head.length)
    for i in range(head.field_count):
        field = &head.fields[i]
        invariant(field.name + field.name_length < field.value and field.value + field.value_length < field.next)
        invariant(field.next < head.length and field.name == (head.fields[i - 1].next if i else head.fields_at))
