# Whether a request may be sent once more: a cluster's policy, its budget, and what was decided, by word.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from weir.plane.clock cimport Clock
from weir.plane.head cimport Head
from weir.plane.retrywords cimport RetryWord
from weir.plane.roster cimport GroupEntry

cdef enum:
    BUDGET_LIMIT = 10000        # hundredths: retries saved up at most
    PAUSE_FACTOR = 10           # the longest pause, in times of the first
    DELAY_STEPS = 8             # of an octave: a step is at most an eighth
    DELAY_BUCKETS = 216         # up to 536 s
    DELAY_MEMORY = 4096         # observations after which all counts are halved
    DELAY_LEAST = 100           # ... before which no percentile is known
    DELAY_EVERY = 64            # ... between two looks at the percentile

# What may be tried again, as bits of `on`; one of them is what has failed.
cdef enum RetryOn:
    ON_CONNECT = 1          # no connection, or one that took no byte of the request
    ON_REUSED = 2           # one that had been used before broke, before a byte of a response
    ON_RESET = 4            # a new one broke, before a byte of a response
    ON_TIMEOUT = 8          # no response head within attempt_timeout
    ON_BAD_RESPONSE = 16    # a malformed response head, or half of one
    ON_429 = 32
    ON_502 = 64
    ON_503 = 128
    ON_504 = 256

# What is known when an attempt has failed.
cdef struct Attempt:
    uint16_t failure        # RetryOn
    bint repeatable         # an idempotent method, or a key that the cluster honours
    bint body_here          # the whole body, as far as it came, can be sent again
    bint elsewhere          # there is an endpoint that has not failed this request
    bint in_time            # the next attempt would begin before the deadline of the whole
    uint32_t made           # attempts so far, this one included

cdef class Retries:
    cdef Clock clock
    # from the plan
    cdef readonly uint16_t on
    cdef readonly uint32_t attempts
    cdef int64_t attempt_timeout_ms         # 0: none
    cdef int64_t backoff_ms
    cdef bint same_endpoint
    cdef bint takes_keys
    cdef uint32_t max_replay_body           # bytes; 0: only what came with the head is sent again
    cdef int64_t budget                     # retries allowed now, in hundredths
    cdef int64_t ratio                      # hundredths per request (percent)
    cdef int64_t per_second                 # hundredths
    cdef int64_t filled_us
    cdef uint64_t dice                      # for jitter
    cdef GroupEntry group                   # the cluster's figures: decisions are counted in place
    cdef uint64_t* counts                   # RETRY_WORDS

    # Counts the decision, and takes a granted retry out of the budget.
    cdef RetryWord decide(self, const Attempt* attempt) noexcept
    # As decide(), for a second request beside one that is in progress; `made`: attempts so far.
    cdef bint may_hedge(self, uint32_t made, bint elsewhere) noexcept
    cdef inline void count(self, RetryWord word) noexcept:
        self.counts[<int>word] += 1
    # How long the next attempt waits, in ms: `retries` were made before, `again`: it goes where it has failed.
    cdef int64_t pause_ms(self, uint32_t retries, bint again) noexcept

    cdef inline void count_request(self) noexcept:      # pays into the budget
        self.budget += self.ratio
        if self.budget > BUDGET_LIMIT:
            self.budget = BUDGET_LIMIT
    cdef RetryWord _judge(self, const Attempt* attempt) noexcept
    cdef bint _take(self) noexcept                      # takes one retry out of the budget

# The bit of a status, 0 if no status of `on`.
cdef inline uint16_t status_failure(uint16_t status) noexcept nogil:
    if status == 503:
        return ON_503
    if status == 502:
        return ON_502
    if status == 504:
        return ON_504
    return ON_429 if status == 429 else 0

# Whether a request has exactly one Idempotency-Key (draft-ietf-httpapi-idempotency-key), and not an empty one.
cdef bint carries_key(const char* p, const Head* head) noexcept nogil

# After how long a request is hedged: a fixed time, or a percentile of how long response heads took lately.
cdef class HedgeDelay:
    cdef int64_t fixed_ms               # 0: the percentile
    cdef uint32_t permille
    cdef uint32_t total
    cdef uint32_t unseen                # observations since the last look
    cdef int64_t percentile_us          # 0: not known yet
    cdef uint32_t buckets[DELAY_BUCKETS]

    cdef void observe(self, int64_t us) noexcept
    # In ms; -1: not known yet.
    cdef int64_t delay_ms(self) noexcept
    cdef void _look(self) noexcept
