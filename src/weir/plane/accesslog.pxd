# The access log's lines, formatted into a bounded batch; writing them is somebody else's work (control.logs).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from weir.plane.codes cimport Reason

cpdef enum LogFormat:
    LOG_COMBINED = 0
    LOG_COMMON = 1
    LOG_JSON = 2
    LOG_SHORT = 3           # "path: status", as in the tutorial
    LOG_LEDGER = 4          # LOG_COMMON, and TR/Tw/Tc/Tr/Ta as HAProxy writes them

# The parts of an exchange's time, in their order; they sum to its total (docs/statistics.md). HAProxy's names.
cpdef enum LedgerPart:
    L_REQUEST_HEAD = 0      # TR: first byte of the request head to its last
    L_QUEUE = 1             # Tw: until it has its connection, the connect left out; attempts that failed included
    L_CONNECT = 2           # Tc: the connect of that connection, as far as the exchange was there; 0: not a new one
    L_RESPONSE_HEAD = 3     # Tr: until the final response head has come, the sending of the request included
    L_DATA = 4              # Td: to the end

cdef enum:
    LEDGER_PARTS = 5

# What one line is made of. Pointers are valid during add() only; length 0: not known.
cdef struct LogRecord:
    uint32_t route          # number of the route
    const char* client      # address as text, without port
    uint32_t client_length
    const char* method
    uint32_t method_length
    const char* target      # as received, query included
    uint32_t target_length
    const char* path        # without query
    uint32_t path_length
    uint8_t version_minor   # HTTP/1.x
    uint8_t has_head        # 0: no request line was understood ("-")
    uint16_t status         # 0: no answer was sent
    Reason reason
    uint64_t response_body_bytes
    uint64_t request_body_bytes
    const char* host
    uint32_t host_length
    const char* referer
    uint32_t referer_length
    const char* user_agent
    uint32_t user_agent_length
    const char* endpoint    # the endpoint's address as text
    uint32_t endpoint_length
    int64_t total_us        # first byte of the request head to the end of the exchange
    int64_t first_byte_us   # to the response head; -1: none
    int64_t parts_us[LEDGER_PARTS]      # by LedgerPart; their sum is total_us
    uint8_t retries
    const char* id          # request id
    uint32_t id_length
    const char* trace_id    # 32 hexadecimal digits; NULL: it is in no trace
    const char* span_id     # weir's own part of the trace: 16
    const char* parent_id   # the client's; NULL: the trace begins here

cdef class AccessLog:
    cdef readonly bint enabled
    cdef readonly uint64_t lines        # written into the batch
    cdef readonly uint64_t dropped      # lines lost because the batch was full
    cdef char* _batch
    cdef uint32_t _used
    cdef uint32_t _size                 # beyond it lines are dropped and counted
    cdef uint32_t _wake_at              # used bytes at which `wanted` becomes true
    cdef readonly bint wanted           # the batch should be taken now, before the next flush is due
    cdef int _format
    cdef int64_t _stamp_s               # second of the formatted time stamp
    cdef char _stamp[40]
    cdef uint32_t _stamp_length

    # Formats one line. Costs well under 1 us; the time stamp is formatted once a second.
    cdef void add(self, const LogRecord* record, int64_t wall_s) noexcept
