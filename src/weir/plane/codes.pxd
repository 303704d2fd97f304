# Made by tools/gen_tables.py from spec/reasons.toml; do not edit.

# What a step of a parser, a stream or a relay comes back with.
cdef enum Step:
    DONE = 0    # finished: go on
    NEED_MORE = 1    # more input is needed
    WOULD_BLOCK = 2    # the kernel takes or gives no more for now
    FAILED = 3    # broken; the reason says why

# Why an exchange or a connection ended other than well.
cdef enum Reason:
    R_NONE = 0
    R_BAD_REQUEST = 1
    R_BAD_FRAMING = 2
    R_BAD_HOST = 3
    R_BAD_CHUNK = 4
    R_BAD_VERSION = 5
    R_METHOD_REFUSED = 6
    R_UNSUPPORTED_CODING = 7
    R_EXPECTATION_FAILED = 8
    R_TARGET_TOO_LONG = 9
    R_HEAD_TOO_LARGE = 10
    R_BODY_TOO_LARGE = 11
    R_HEAD_TIMEOUT = 12
    R_BODY_TIMEOUT = 13
    R_CLIENT_CLOSED = 14
    R_CLIENT_STALLED = 15
    R_IDLE_TIMEOUT = 16
    R_NO_ENDPOINT = 17
    R_CONNECT_REFUSED = 18
    R_CONNECT_FAILED = 19
    R_CONNECT_TIMEOUT = 20
    R_UPSTREAM_CLOSED = 21
    R_UPSTREAM_RESET = 22
    R_UPSTREAM_TRUNCATED = 23
    R_BAD_RESPONSE = 24
    R_BAD_RESPONSE_FRAMING = 25
    R_RESPONSE_HEAD_TOO_LARGE = 26
    R_RESPONSE_TIMEOUT = 27
    R_STREAM_TIMEOUT = 28
    R_QUEUE_FULL = 29
    R_QUEUE_TIMEOUT = 30
    R_OUT_OF_DESCRIPTORS = 31
    R_DRAINING = 32
    R_INTERNAL = 33
    R_EVICTED = 34
    R_OUT_OF_MEMORY = 35
    R_OUT_OF_PORTS = 36
    R_RATE_LIMITED = 37
    R_FAULT_INJECTED = 38
    R_BAD_PROXY_HEADER = 39
    R_PROXY_HEADER_TIMEOUT = 40
    R_UNTRUSTED_PROXY = 41
    R_CLIENT_LIMIT = 42
    R_BODY_TOO_SLOW = 43
    R_CLIENT_TOO_SLOW = 44
    R_CIRCUIT_OPEN = 45
    R_BAD_DEADLINE = 46
    R_DEADLINE_PASSED = 47
    R_HOOK_FAILED = 48
    R_HOOK_TIMEOUT = 49
    R_NO_ROUTE = 50
    R_RESPONSE_TOO_LARGE = 51

cdef enum:
    REASON_COUNT = 52
