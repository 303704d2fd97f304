# Time in request fields: how long a client will wait, and what an endpoint is told of when a request came.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.head cimport Head

cdef enum:
    DEADLINE_MOST_MS = 86_400_000
    TIME_FIELDS_BYTES = 256         # more than both fields below take; a name has at most 64 bytes
    # What read_deadline says besides milliseconds.
    DEADLINE_NONE = -1
    DEADLINE_BAD = -2

# The milliseconds in the field `name` of a request head at p.
cdef int64_t read_deadline(const char* p, const Head* head, const char* name, uint32_t n) noexcept nogil

# No line with this name goes on, nor one that CGI would spell alike (with "_" for "-").
cdef void drop_named(const char* p, Head* head, const char* name, uint32_t n) noexcept nogil

# Each writes a line at `out` and returns the place after it.
cdef char* put_deadline(char* out, const char* name, uint32_t n, int64_t ms) noexcept nogil
# "X-Request-Start: t=", and microseconds since 1970 as seconds with six decimals.
cdef char* put_request_start(char* out, int64_t wall_us) noexcept nogil
