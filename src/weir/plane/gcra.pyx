"""A rate limit over keys, exact over all workers: one moment for each key, moved on by compare-and-swap.

GCRA, the "virtual scheduling" form of ITU-T I.371: a key has a theoretical arrival time (TAT), the moment from which on
it owes nothing. A request moves it one interval on, if by then it is not further ahead of the clock than the burst
allows. That is a token bucket without a tick: refused requests cost nothing, and the time until the next one passes is
known exactly. A key whose TAT lies in the past is as one never seen, so its place is free.

What is hard is a place that passes from one key to another while other workers look at it.

- A key stands in its bucket once. Who puts one in holds the bucket's lock, looks once more, takes the place with the
  least TAT, and sets TAT to CLAIMED, the mark to the new key, and TAT to FRESH, in this order.
- Who charges a key reads its TAT, sees that the mark is still the key's, and swaps that TAT for the next. A place that
  was given away in between has another TAT: the swap fails. Who charges never waits for anybody but one who is putting
  a key into the same bucket, a dozen instructions.
- Nobody waits long: after GCRA_TRIES the request passes, counted as crowded. A lock whose holder was killed is taken
  over after GCRA_DEAD_MS. A holder that was stopped for so long and goes on then may spoil one key's record; no more.
- A bucket is full when all its keys have their TAT in the future. Then the key nearest to the present is forgotten, and
  that is counted. A flood of new keys pushes out keys of its own kind, which owe next to nothing, rather than the busy
  ones; and a client that is forgotten gains no more than a burst.

Times are CLOCK_MONOTONIC, which all processes of the machine share. A worker's idea of now may be a turn of its loop
old; an older now never lets more through than the rate, for it is a moment at which the request could have come.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weir.plane.keyed cimport weir_hash
from weir.plane.rule cimport Rule, RuleBucket, weir_pause, weir_peek, weir_put, weir_swap

cdef uint64_t CLAIMED = 1       # TATs of places between two keys
cdef uint64_t FRESH = 2


cdef class RateLimit(Rule):
    """`plan` (`weir.config.plan.RateLimitPlan`) over the memory that `weir.stats.rules.create()` has made for it."""

    def __cinit__(self, memory, uint32_t worker, plan):
        count, per_ms = plan.rate
        if self.header.buckets == 0:
            raise ValueError("memory without places for keys")
        # Rounded up: never more than the rate.
        self.interval_ns = -(-per_ms * 1_000_000 // count)
        self.burst_ns = ((plan.burst or count) - 1) * self.interval_ns
        self.delay_ns = plan.delay * self.interval_ns

    cdef uint64_t fingerprint(self, uint32_t salt, const char* p, uint32_t n) noexcept nogil:
        return weir_hash(self.header.seed_0, self.header.seed_1, salt, p, n) or 1

    cdef int64_t take(self, uint64_t mark, uint64_t now_ns, Charge* charge) noexcept nogil:
        cdef uint64_t number = (mark >> 32) * self.header.buckets >> 32
        cdef RuleBucket* bucket = &self.buckets[number]
        cdef uint64_t tat, ahead
        cdef int _try, place
        charge.bucket = number
        charge.mark = mark
        for _try in range(GCRA_TRIES):
            place = gcra_find(bucket, mark)
            if place >= 0:
                tat = weir_peek(&bucket.tats[place])
                if weir_peek(&bucket.marks[place]) != mark:
                    continue
            if place < 0 or tat == CLAIMED:
                if self._claim(number, mark, now_ns) < 0:
                    weir_pause()
                continue
            ahead = tat - now_ns if tat > now_ns else 0
            if ahead > self.burst_ns + self.delay_ns:
                charge.place = -1
                return -<int64_t>(ahead - self.burst_ns - self.delay_ns)
            if weir_swap(&bucket.tats[place], tat, now_ns + ahead + self.interval_ns):
                charge.place = place
                return <int64_t>(ahead - self.burst_ns) if ahead > self.burst_ns else 0
        self.counts[<int>LC_CROWDED] += 1
        charge.place = -1
        return 0

    cdef int _claim(self, uint64_t number, uint64_t mark, uint64_t now_ns) noexcept nogil:
        """Makes a place for a key; -1: somebody else is at the bucket."""
        cdef RuleBucket* bucket = &self.buckets[number]
        cdef uint64_t held = weir_peek(&bucket.lock)
        cdef uint64_t tat, least, old
        cdef int place, i
        if held and (held > now_ns or now_ns - held < <uint64_t>GCRA_DEAD_MS * 1_000_000):
            return -1
        if not weir_swap(&bucket.lock, held, now_ns):
            return -1
        place = gcra_find(bucket, mark)
        if place >= 0:
            # Perhaps left by somebody who was killed here: nobody else can be at it now.
            if weir_peek(&bucket.tats[place]) == CLAIMED:
                weir_swap(&bucket.tats[place], CLAIMED, FRESH)
        else:
            place = 0
            least = weir_peek(&bucket.tats[0])
            for i in range(1, GCRA_KEYS):
                tat = weir_peek(&bucket.tats[i])
                if tat < least:
                    place = i
                    least = tat
            old = bucket.marks[place]
            if weir_swap(&bucket.tats[place], least, CLAIMED):
                if least > now_ns:
                    self.counts[<int>LC_EVICTED] += 1
                if weir_swap(&bucket.marks[place], old, mark):
                    weir_swap(&bucket.tats[place], CLAIMED, FRESH)
        weir_swap(&bucket.lock, now_ns, 0)
        return 0

    cdef void give_back(self, const Charge* charge, uint64_t now_ns) noexcept nogil:
        cdef RuleBucket* bucket
        cdef uint64_t tat
        cdef int _try
        if charge.place < 0:
            return
        bucket = &self.buckets[charge.bucket]
        for _try in range(GCRA_TRIES):
            tat = weir_peek(&bucket.tats[charge.place])
            # Forgotten meanwhile, or past: then there is nothing to give back.
            if weir_peek(&bucket.marks[charge.place]) != charge.mark or tat <= now_ns:
                return
            if weir_swap(&bucket.tats[charge.place], tat, tat - self.interval_ns):
                return

    # -- for tests and measurements -----------------------------------------------------------------------

    def ask(self, key: bytes, now_ns: int, repeat: int = 1, salt: int = 0) -> int:
        """Charges `repeat` requests at one moment to a key; the last one's answer, as of take()."""
        cdef const char* p = key
        cdef uint32_t n = <uint32_t>len(key)
        cdef uint32_t kind = salt
        cdef uint64_t moment = now_ns
        cdef int64_t turns = repeat
        cdef int64_t answer = 0
        cdef int64_t _i
        cdef Charge charge
        with nogil:
            for _i in range(turns):
                answer = self.take(self.fingerprint(kind, p, n), moment, &charge)
        return answer

    def spend(self, keys: list[bytes], now_ns: int) -> None:
        """Charges a request to each key, one after the other, at one moment; counts those that pass, as weir does."""
        cdef bytes key
        cdef Charge charge
        for key in keys:
            if self.take(self.fingerprint(0, <const char*>key, <uint32_t>len(key)), now_ns, &charge) >= 0:
                self.counts[<int>LC_PASSED] += 1

    def ask_and_give_back(self, key: bytes, now_ns: int) -> int:
        """Charges a request to a key, and takes it back; its answer, as of take()."""
        cdef Charge charge
        cdef const char* p = key
        cdef int64_t answer = self.take(self.fingerprint(0, p, <uint32_t>len(key)), now_ns, &charge)
        self.give_back(&charge, now_ns)
        return answer

    def hold(self, key: bytes, since_ns: int, claim: bool = False) -> None:
        """Leaves a key's bucket as one does who is killed while he puts a key in; with `claim`, this very key."""
        cdef const char* p = key
        cdef uint64_t mark = self.fingerprint(0, p, <uint32_t>len(key))
        cdef RuleBucket* bucket = &self.buckets[(mark >> 32) * self.header.buckets >> 32]
        cdef int place = gcra_find(bucket, mark)
        weir_put(&bucket.lock, since_ns)
        if claim and place >= 0:
            weir_put(&bucket.tats[place], CLAIMED)


cdef inline int gcra_find(const RuleBucket* bucket, uint64_t mark) noexcept nogil:
    cdef int i
    for i in range(GCRA_KEYS):
        if weir_peek(&bucket.marks[i]) == mark:
            return i
    return -1
