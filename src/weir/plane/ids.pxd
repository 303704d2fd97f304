# Who a request is: its request id (X-Request-Id) and its place in a trace (W3C Trace Context), taken over from the
# client where that is allowed and well-formed, else made.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from weir.plane.head cimport Head

cdef enum:
    ID_LENGTH = 16              # of a request id that is made here: hexadecimal digits
    ID_MOST = 128               # of one that is taken over
    TRACE_ID_LENGTH = 32
    SPAN_ID_LENGTH = 16
    IDENTITY_BYTES = 256        # more than put_identity writes

cpdef enum IdPolicy:
    ID_PASS = 0                 # the field goes on as it came
    ID_KEEP = 1                 # the client's id, if it is well-formed; else one of weir's own
    ID_REPLACE = 2              # always one of weir's own

cpdef enum TracePolicy:
    TRACE_PASS = 0              # the fields go on as they came
    TRACE_JOIN = 1              # weir is a part of the client's trace; without one it begins one
    TRACE_RESTART = 2           # weir begins a trace, whatever the client says

cdef struct Identity:
    uint8_t id_length           # 0: no id
    bint traced                 # trace_id, span_id and flags are set
    bint joined                 # ... and parent_id: the trace was the client's
    uint8_t flags               # of the trace: 1 sampled, 2 the trace id is random
    char id[ID_MOST]
    char trace_id[TRACE_ID_LENGTH]
    char span_id[SPAN_ID_LENGTH]        # weir's own part of the trace
    char parent_id[SPAN_ID_LENGTH]      # the client's

# The sequence that ids are made from: no number comes twice before all 2^64 have come.
cdef uint64_t next_number(uint64_t* state) noexcept nogil
# Makes a request id: unlike any other of this sequence.
cdef void make_id(uint64_t* state, Identity* identity) noexcept nogil

# Who the request is whose head stands at p. `sample` is how many of 100 traces that are begun here are to be sampled.
cdef void identify(
    const char* p, const Head* head, IdPolicy ids, TracePolicy traces, uint32_t sample, uint64_t* state,
    Identity* identity
) noexcept nogil

# Marks the lines of the request's head that do not go on because put_identity says them anew (Field.drop).
cdef void drop_replaced(const char* p, Head* head, const Identity* identity) noexcept nogil
# The fields of the request that goes on; and the one of the response.
cdef char* put_identity(char* out, const Identity* identity) noexcept nogil
cdef char* put_request_id(char* out, const Identity* identity) noexcept nogil
