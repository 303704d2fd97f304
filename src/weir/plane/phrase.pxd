# Texts with variables, as a configuration has them: "https://{host}{target}".

from libc.stdint cimport uint8_t, uint32_t

from weir.plane.head cimport Head

cdef enum:
    PHRASE_SEGMENTS = 64        # ROUTER_SEGMENTS: of a path, that a route can name
    PHRASE_TOO_LONG = 0xffffffff

# In the order of weir.plane.phrase.VARIABLES.
cdef enum Variable:
    V_CLIENT = 0
    V_HOST = 1
    V_PATH = 2                  # as it came, without the query; "/" if it is empty
    V_QUERY = 3                 # without the question mark
    V_TARGET = 4                # path and query
    V_METHOD = 5
    V_SCHEME = 6
    V_REQUEST_ID = 7
    V_ROUTE = 8
    V_CLUSTER = 9
    V_ENDPOINT = 10
    V_LISTENER = 11
    V_KNOWN = 12                # from here on: what is not simply known of a request
    V_TEXT = 12                 # no variable
    V_SEGMENT = 13              # of the path: a parameter of the route's
    V_FIELD = 14
    V_COOKIE = 15

cdef struct Slice:
    const char* p
    uint32_t n

# What is known of a request. Pointers are valid during the call only.
cdef struct Facts:
    Slice said[V_KNOWN]         # by Variable; V_TARGET is made of V_PATH and V_QUERY
    const char* p               # what the head's offsets count from
    const Head* head            # the request's; NULL unless the phrase wants it

cdef struct Piece:
    uint8_t variable            # Variable
    uint32_t at                 # V_TEXT, V_FIELD, V_COOKIE: in the phrase's text; V_SEGMENT: its number
    uint32_t n

cdef class Phrase:
    cdef bytes text             # what pieces point into
    cdef Piece* pieces
    cdef uint32_t count
    cdef readonly bint constant
    cdef readonly bint wants_head       # facts.head has to be there
    # Writes what it says to out, room bytes; how many, or PHRASE_TOO_LONG.
    cdef uint32_t put(self, const Facts* facts, char* out, uint32_t room) noexcept

# The segments of a path as routes count them (filters.plain_path: without empty ones and dot segments, and a backslash
# or an encoded slash is one), each as it came; *dotted: there were dot segments. How many, of which PHRASE_SEGMENTS are
# told.
cdef uint32_t path_segments(const char* p, uint32_t n, Slice* segments, bint* dotted) noexcept nogil
# Whether s[0:n] may begin with a slash, as it came: its length (1 or 3), or 0.
cdef uint32_t slash_at(const char* s, uint32_t n) noexcept nogil
# Where the segment of p[0:n] ends that begins at `at`; *name: where what it is called ends, before a semicolon.
cdef uint32_t segment_end(const char* p, uint32_t at, uint32_t n, uint32_t* name) noexcept nogil
# How many dots s[0:n] is, if it is nothing but one or two of them, encoded or not; else 0.
cdef uint32_t dots_of(const char* s, uint32_t n) noexcept nogil
