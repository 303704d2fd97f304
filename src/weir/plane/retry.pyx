"""Whether a request may be sent once more: the decision, its budget, and when a second one is sent beside the first.

What is hard here: the answer has to be safe first and cheap second. Nothing is sent twice that may not be done
twice; what is allowed is bounded for each request (attempts, the deadline) and for all of them together (the
budget), so that endpoints in trouble are not sent a second wave; and whatever is decided leaves a word.
The order of the questions is the order of docs/retries.md: the first that says no is the one that is counted.
"""

import os

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from weir.plane.clock cimport Clock
from weir.plane.columns cimport CF_RETRIES, CF_RETRIES_DENIED, CLUSTER_DECISIONS
from weir.plane.head cimport F_OTHER, Head
from weir.plane.retrywords cimport (
    RETRIED_MASK,
    RETRY_WORDS,
    RW_ATTEMPTS,
    RW_BAD_RESPONSE,
    RW_BODY_GONE,
    RW_BUDGET,
    RW_DEADLINE,
    RW_HEDGE_ATTEMPTS,
    RW_HEDGE_BUDGET,
    RW_HEDGE_NO_ENDPOINT,
    RW_NO_ENDPOINT,
    RW_NOT_CHOSEN,
    RW_NOT_IDEMPOTENT,
    RW_RESET,
    RW_REUSED,
    RW_STATUS,
    RW_TIMEOUT,
    RW_UNSENT,
    RetryWord,
)
from weir.plane.roster cimport GroupEntry
from weir.plane.text cimport equals_lower

cdef enum:
    KEY_BYTES = 255         # a longer key is none: whoever keeps it at the endpoint has a limit, too

_ON = {
    "connect": ON_CONNECT, "reused": ON_REUSED, "reset": ON_RESET, "timeout": ON_TIMEOUT,
    "bad_response": ON_BAD_RESPONSE, "429": ON_429, "502": ON_502, "503": ON_503, "504": ON_504,
}

cdef extern from *:
    int __builtin_clzll(unsigned long long) noexcept nogil


cdef RetryWord retry_word(uint16_t failure) noexcept nogil:
    # What a retry after this failure is counted as.
    if failure == ON_CONNECT:
        return RW_UNSENT
    if failure == ON_REUSED:
        return RW_REUSED
    if failure == ON_RESET:
        return RW_RESET
    if failure == ON_TIMEOUT:
        return RW_TIMEOUT
    return RW_BAD_RESPONSE if failure == ON_BAD_RESPONSE else RW_STATUS


cdef class Retries:
    """A cluster's retries in one worker; the settings are those of `weir.config.plan.RetryPlan`."""

    def __cinit__(self, Clock clock not None, plan, GroupEntry group=None):
        self.clock = clock
        self.group = GroupEntry() if group is None else group
        self.counts = self.group.figures + CLUSTER_DECISIONS
        for word in plan.on:
            self.on |= <uint16_t>_ON[word]
        self.attempts = plan.attempts
        self.attempt_timeout_ms = plan.attempt_timeout_ms
        self.backoff_ms = plan.backoff_ms
        self.same_endpoint = plan.same_endpoint
        self.takes_keys = plan.idempotency_key
        self.max_replay_body = plan.max_replay_body_bytes
        self.ratio = plan.ratio_percent
        self.per_second = plan.min_per_second * 100
        # As if nothing had been repeated for ten seconds: an endpoint that dies right after the start is no worse.
        self.budget = min(<int64_t>BUDGET_LIMIT, self.per_second * 10)
        self.filled_us = clock.now_us
        self.dice = int.from_bytes(os.urandom(8), "little") | 1

    cdef RetryWord decide(self, const Attempt* attempt) noexcept:
        cdef RetryWord word = self._judge(attempt)
        self.counts[<int>word] += 1
        if RETRIED_MASK >> <int>word & 1:
            self.group.figures[CF_RETRIES] += 1
        elif word == RW_BUDGET:
            self.group.figures[CF_RETRIES_DENIED] += 1
        return word

    cdef RetryWord _judge(self, const Attempt* attempt) noexcept:
        cdef bint innocent = attempt.failure == ON_CONNECT or attempt.failure == ON_REUSED
        if attempt.failure & self.on == 0:
            return RW_NOT_CHOSEN
        if attempt.failure != ON_CONNECT and not attempt.repeatable:
            return RW_NOT_IDEMPOTENT
        if not attempt.body_here:
            return RW_BODY_GONE
        if attempt.made >= self.attempts:
            return RW_ATTEMPTS
        # A connection that was closed as it came back into use says nothing about its endpoint. All else does.
        if not (innocent or attempt.elsewhere or self.same_endpoint):
            return RW_NO_ENDPOINT
        if not attempt.in_time:
            return RW_DEADLINE
        return retry_word(attempt.failure) if self._take() else RW_BUDGET

    cdef bint may_hedge(self, uint32_t made, bint elsewhere) noexcept:
        if made >= self.attempts:
            self.count(RW_HEDGE_ATTEMPTS)
        elif not elsewhere:
            self.count(RW_HEDGE_NO_ENDPOINT)
        elif not self._take():
            self.count(RW_HEDGE_BUDGET)
            self.group.figures[CF_RETRIES_DENIED] += 1
        else:
            self.group.figures[CF_RETRIES] += 1
            return True
        return False

    cdef bint _take(self) noexcept:
        cdef int64_t earned = 0
        if self.per_second:
            earned = (self.clock.now_us - self.filled_us) * self.per_second // 1_000_000
            # Only the time that earned it is used up: else many calls in a row would earn less than one.
            self.filled_us += earned * 1_000_000 // self.per_second
            self.budget = min(<int64_t>BUDGET_LIMIT, self.budget + earned)
        if self.budget < 100:
            return False
        self.budget -= 100
        return True

    cdef int64_t pause_ms(self, uint32_t retries, bint again) noexcept:
        cdef int64_t longest = self.backoff_ms
        if retries == 0 and not again:
            return 0
        while retries > 1 and longest < self.backoff_ms * PAUSE_FACTOR:
            retries -= 1
            longest = min(longest * 2, self.backoff_ms * PAUSE_FACTOR)
        if longest <= 0:
            return 0
        # xorshift: retries that failed together do not come back together.
        self.dice ^= self.dice << 13
        self.dice ^= self.dice >> 7
        self.dice ^= self.dice << 17
        return longest - <int64_t>(self.dice % <uint64_t>(longest // 2 + 1))

    # -- for tests ----------------------------------------------------------------------------------------

    def judge(self, str failure not None, *, bint repeatable=True, bint body_here=True, bint elsewhere=True,
              bint in_time=True, uint32_t made=1) -> int:
        """The number of the word (`weir.stats.retrywords`) for a failed attempt; it is counted, and paid for."""
        cdef Attempt attempt
        attempt.failure = <uint16_t>_ON[failure]
        attempt.repeatable = repeatable
        attempt.body_here = body_here
        attempt.elsewhere = elsewhere
        attempt.in_time = in_time
        attempt.made = made
        return self.decide(&attempt)

    def pause(self, uint32_t retries, bint again) -> int:
        """A pause in milliseconds."""
        return self.pause_ms(retries, again)

    def pay_in(self) -> None:
        """A request has come."""
        self.count_request()

    def counted(self) -> list[int]:
        """How often each word was decided, in order."""
        return [self.counts[number] for number in range(RETRY_WORDS)]


cdef bint carries_key(const char* p, const Head* head) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t found = 0
    cdef bint good = False
    for i in range(head.field_count):
        if (
            head.fields[i].id == F_OTHER
            and head.fields[i].name_length == 15
            and equals_lower(p + head.fields[i].name, b"idempotency-key", 15)
        ):
            found += 1
            good = 0 < head.fields[i].value_length <= KEY_BYTES
    # Two of them are two opinions about what this request is.
    return good and found == 1


cdef class HedgeDelay:
    """When a request is hedged; the settings are those of `weir.config.plan.HedgePlan`."""

    def __cinit__(self, plan):
        self.fixed_ms = plan.after_ms
        self.permille = plan.after_permille
        memset(self.buckets, 0, sizeof(self.buckets))

    cdef void observe(self, int64_t us) noexcept:
        cdef uint64_t value = <uint64_t>us if us > 0 else 0
        cdef uint32_t octave, bucket, i
        if self.fixed_ms:
            return
        # Values below 8 have a bucket each; above, an octave has DELAY_STEPS.
        if value < DELAY_STEPS:
            bucket = <uint32_t>value
        else:
            octave = 63 - <uint32_t>__builtin_clzll(value)
            bucket = (octave - 2) * DELAY_STEPS + <uint32_t>(value >> (octave - 3) & 7)
            bucket = min(bucket, <uint32_t>DELAY_BUCKETS - 1)
        self.buckets[bucket] += 1
        self.total += 1
        if self.total >= DELAY_MEMORY:
            self.total = 0
            for i in range(DELAY_BUCKETS):
                self.buckets[i] >>= 1
                self.total += self.buckets[i]
        self.unseen += 1
        if self.unseen >= DELAY_EVERY:
            self._look()

    cdef void _look(self) noexcept:
        """The upper end of the bucket in which the percentile lies."""
        cdef uint64_t wanted = (<uint64_t>self.total * self.permille + 999) // 1000
        cdef uint64_t seen = 0
        cdef uint32_t bucket = 0
        self.unseen = 0
        if self.total < DELAY_LEAST:
            return
        while bucket < DELAY_BUCKETS - 1:
            seen += self.buckets[bucket]
            if seen >= wanted:
                break
            bucket += 1
        bucket += 1
        if bucket < DELAY_STEPS:
            self.percentile_us = bucket
        else:
            self.percentile_us = <int64_t>(DELAY_STEPS + bucket % DELAY_STEPS) << (bucket // DELAY_STEPS - 1)

    cdef int64_t delay_ms(self) noexcept:
        if self.fixed_ms:
            return self.fixed_ms
        return self.percentile_us // 1000 + 1 if self.percentile_us else -1

    # -- for tests ----------------------------------------------------------------------------------------

    def see(self, int64_t us) -> None:
        """A response head took so long."""
        self.observe(us)

    def delay(self) -> int:
        """Milliseconds after which a request is hedged; -1: not known yet."""
        return self.delay_ms()
