# Made by tools/gen_tables.py from spec/counters.toml and spec/figures.toml; do not edit.

# Places of the counters in a row of the shared table.
cdef enum:
    K_REQUESTS = 0
    K_RESPONSE_BODY_BYTES = 1
    K_REQUEST_BODY_BYTES = 2
    K_STATUS_1XX = 3
    K_STATUS_2XX = 4
    K_STATUS_3XX = 5
    K_STATUS_4XX = 6
    K_STATUS_5XX = 7
    K_ERRORS = 8
    K_RETRIES = 9
    K_TOTAL_US = 10
    K_FIRST_BYTE_US = 11
    K_FIRST_BYTES = 12
    K_REQUEST_HEAD_US = 13
    K_QUEUE_US = 14
    K_CONNECT_US = 15
    K_RESPONSE_HEAD_US = 16
    K_DATA_US = 17
    ROW_COUNTERS = 128
    ROW_REASONS = 64
    REASON_PLACES = 64
    ROW_HISTOGRAMS = 2
    ROW_BUCKETS = 256
    ROUTE_PARTS = 5
    SKETCH_BITS = 12

# Places of a worker's figures of an endpoint.
cdef enum:
    EF_OPEN = 0
    EF_IDLE = 1
    EF_SURPLUS = 2
    EF_CONNECTING = 3
    EF_WAITING = 4
    EF_ACTIVE = 5
    EF_DIALS = 6
    EF_DIAL_FAILURES = 7
    EF_REUSES = 8
    EF_SPOILED = 9
    EF_ATTEMPTS = 10
    EF_FAILURES = 11
    EF_ERRORS_5XX = 12
    EF_RESPONSES = 13
    EF_RESPONSE_US = 14
    EF_RETIRED = 15
    EF_PASSED_OVER = 16
    EF_RACES_LOST = 17
    EF_RACES_SAVED = 18
    EF_LEARNED_IDLE_TIMEOUT_MS = 19
    EF_IDLE_LIMIT_MS = 20
    ENDPOINT_FIGURES = 32

# Places of a worker's figures of a cluster.
cdef enum:
    CF_QUEUED = 0
    CF_RETRIES = 1
    CF_RETRIES_DENIED = 2
    CF_PANICS = 3
    CF_IN_PROGRESS = 4
    CF_LIMIT = 5
    CF_OPEN_BREAKERS = 6
    CF_BREAKER_OPENINGS = 7
    CF_OVERFLOWS = 8
    CF_STICKY_BOUND = 9
    CF_STICKY_LOST = 10
    CF_HASH_KEYLESS = 11
    CF_HASH_FALLBACKS = 12
    CF_MIRRORED = 13
    CF_MIRRORS_SKIPPED = 14
    CF_MIRRORS_FAILED = 15
    CLUSTER_FIGURES = 64
    CLUSTER_DECISIONS = 32     # then RETRY_WORDS places
