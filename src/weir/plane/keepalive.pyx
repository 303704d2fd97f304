"""How long an endpoint lets a connection rest: learned, so that weir closes first.

What is hard here: every close is a hint, and none is a proof. Endpoints close what has been idle for N seconds,
at once or by a coarse sweep; but also when they restart, when a worker of theirs is replaced, at random; and behind
one address there may be several that differ. So two answers are kept, and they are wrong to different sides:

- `limit_ms`, when idle connections are retired, is lowered only by closes that agree. What it gets wrong costs a
  request that can be repeated one repetition.
- `safe_ms`, for how long a connection may have rested that carries what cannot be repeated, is lowered by any close,
  and is half of what was seen: an endpoint that sweeps at the interval of its own timeout lets connections rest for
  up to twice that. What it gets wrong upward would be a wrong 502, downward a connect.

Both grow again when longer rests end well. What lies beyond the limit is learned with probes: single connections that
rest on when their time is over, and carry nothing.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from weir.plane.head cimport F_KEEP_ALIVE, Field, Head
from weir.plane.text cimport equals_lower

cdef enum:
    # Until anything is learned. The shortest default in wide use but one is 5 s (uvicorn, Node, Apache): connections
    # are retired after 4 s. The shortest is gunicorn's, 2 s: what cannot be repeated trusts in no more than 1 s.
    ASSUMED_MS = 5000
    ASSUMED_SAFE_MS = 2000
    # The longest rest of a probe: beyond nginx's 75 s. Firewalls forget connections after minutes.
    LONGEST_MS = 90_000
    SHORTEST_PROBE_MS = 1000
    # A tick of the wheel and a turn of the engine, at both ends of a rest.
    GRAIN_MS = 16
    # No server has an idle timeout as short as this. Who closes earlier closes after each response and does not say
    # so, or was counting requests, or has crashed.
    SHORT_MS = 100
    AT_ONCE = 8                 # short rests in a row that ended in a close, after which nothing is kept
    BATCH_MS = 100              # closes within this have one cause
    AGREED = 2                  # closes in a group that retires connections
    DOUBTED = 8                 # doubts after which it does not any more
    FORGOTTEN = 64              # doubts after which it is gone
    PROOFS = 4                  # probes that come through before the known time is doubled
    BACKINGS = 8                # connections that come through before requests that cannot be repeated trust in it
    PROBE_AGAIN_MS = 60_000     # between probes when nothing is in doubt
    SAID_AGAIN = 64             # responses that say a longer time before it is believed
    SAID_MOST_S = 86_400

cdef int64_t NEVER_MS = 0x7FFFFFFFFFFFFFFF


@cython.final
cdef class IdleLearner:
    """What is known of one endpoint's idle timeout. `bound_ms`: no rest is longer than this; 0: learn it all."""

    def __cinit__(self, int64_t bound_ms=0):
        self.bound_ms = bound_ms
        self.known_ms = ASSUMED_MS
        self.backed_ms = ASSUMED_SAFE_MS
        self.probed_ms = -PROBE_AGAIN_MS
        self.calm_since_ms = NEVER_MS
        self._conclude()

    @property
    def seen(self) -> list[tuple[int, int, int]]:
        """Rest, closes and doubts of each group, for tests."""
        return [
            (self.groups[i].rest_ms, self.groups[i].closes, self.groups[i].doubts) for i in range(self.groups_used)
        ]

    # -- what is seen -------------------------------------------------------------------------------------

    cpdef void closed(self, int64_t rest_ms, int64_t now_ms, uint32_t left) noexcept:
        self.settle(now_ms)
        rest_ms = max(rest_ms, 0)
        if rest_ms < SHORT_MS:
            self.shorts = min(self.shorts + 1, <uint32_t>AT_ONCE)
            self.calm_since_ms = NEVER_MS
        if self.batch == 0:
            self.batch_first_ms = now_ms
            self.batch_shortest_ms = self.batch_longest_ms = rest_ms
        self.batch += 1
        self.batch_left = left
        self.batch_shortest_ms = min(self.batch_shortest_ms, rest_ms)
        self.batch_longest_ms = max(self.batch_longest_ms, rest_ms)
        self._conclude()

    cpdef void settle(self, int64_t now_ms) noexcept:
        cdef bint calm = self.shorts and self.shorts < AT_ONCE and now_ms - SHORT_MS > self.calm_since_ms
        if calm:
            self.shorts = 0
        if self.batch and now_ms - self.batch_first_ms > BATCH_MS:
            self._judge()
        elif not calm:
            return
        self._conclude()

    cpdef void rests(self, int64_t now_ms) noexcept:
        self.calm_since_ms = min(self.calm_since_ms, now_ms)

    cdef void _judge(self) noexcept:
        """What closes that came at once say together."""
        cdef bint alike = self.batch_longest_ms - self.batch_shortest_ms <= max(BATCH_MS, self.batch_shortest_ms // 8)
        self.batch = 0
        if alike:
            if self.batch_shortest_ms >= SHORT_MS:
                self._note(self.batch_shortest_ms)
        elif self.batch_left or self.batch_longest_ms <= 2 * self.batch_shortest_ms:
            # A sweep, at an interval up to the timeout; or one of several servers that went: then most of them have
            # rested for less than the timeout. The longest is of use in either case.
            self._note(self.batch_longest_ms)
        else:
            # All of them, however long they have rested: a restart, which teaches nothing but that whoever answers
            # now may be another.
            self.backed_ms = min(self.backed_ms, <int64_t>ASSUMED_SAFE_MS)
            self.backings = 0
            self.shorts = 0

    cdef void _note(self, int64_t rest_ms) noexcept:
        cdef CloseGroup* group
        cdef CloseGroup* worst = &self.groups[0]
        cdef uint32_t i
        self.proofs = 0
        self.backings = 0
        for i in range(self.groups_used):
            group = &self.groups[i]
            if abs(rest_ms - group.rest_ms) <= group.rest_ms // 8 + GRAIN_MS:
                # Closes that agree, but with many longer rests between them, are no timeout.
                group.closes = 1 if group.doubts >= DOUBTED else min(group.closes + 1, <uint32_t>AGREED)
                group.rest_ms = min(group.rest_ms, rest_ms)
                group.doubts = 0
                return
            if group.doubts > worst.doubts or (group.doubts == worst.doubts and group.rest_ms > worst.rest_ms):
                worst = group
        if self.groups_used < KEEPALIVE_GROUPS:
            worst = &self.groups[self.groups_used]
            self.groups_used += 1
        worst.rest_ms = rest_ms
        worst.closes = 1
        worst.doubts = 0

    cpdef void survived(self, int64_t rest_ms, int64_t now_ms, bint retired) noexcept:
        self.settle(now_ms)
        if not retired or rest_ms >= SHORT_MS:
            self.shorts = 0
        self._doubt(rest_ms)
        if retired and rest_ms + GRAIN_MS >= self.limit_ms:
            self.backings += 1
            if self.backings >= BACKINGS:
                self.backings = 0
                self.backed_ms = max(self.backed_ms, self._horizon())
        self._conclude()

    cdef void _doubt(self, int64_t rest_ms) noexcept:
        cdef CloseGroup* group
        cdef uint32_t i = 0
        while i < self.groups_used:
            group = &self.groups[i]
            if rest_ms >= group.rest_ms + group.rest_ms // 8:
                group.doubts += 1
                if group.doubts >= FORGOTTEN:
                    self.groups_used -= 1
                    group[0] = self.groups[self.groups_used]
                    continue
            i += 1

    cpdef void said(self, int64_t timeout_ms) noexcept:
        if timeout_ms <= 0:
            return
        if timeout_ms == self.said_ms:
            self.said_longer = 0
            return
        if timeout_ms < self.said_ms or self.said_ms == 0:
            self.said_ms = timeout_ms
            self.said_longer = 0
        else:
            if self.said_longer == 0 or timeout_ms < self.said_next_ms:
                self.said_next_ms = timeout_ms
            self.said_longer += 1
            if self.said_longer < SAID_AGAIN:
                return
            self.said_ms = self.said_next_ms
            self.said_longer = 0
        self._conclude()

    cpdef void connected(self, int64_t us) noexcept:
        us = min(max(us, 0), <int64_t>ASSUMED_MS * 1000)
        self.round_trip_us += (us - self.round_trip_us) // 8 if self.round_trip_us else us

    # -- probes -------------------------------------------------------------------------------------------

    cpdef int64_t begin_probe(self, int64_t now_ms) noexcept:
        cdef int64_t most = self.bound_ms if self.bound_ms else LONGEST_MS
        cdef int64_t target = min(max(2 * self._horizon(), <int64_t>SHORTEST_PROBE_MS), most)
        cdef uint32_t i
        cdef bint sure = (self._closes_at() != NEVER_MS or self.known_ms >= most) and self.shorts < AT_ONCE
        if self.shorts >= AT_ONCE:
            target = min(<int64_t>SHORTEST_PROBE_MS, most)
        if target <= self.limit_ms:
            return 0
        for i in range(self.groups_used):
            if self.groups[i].closes >= AGREED and self.groups[i].doubts:
                sure = False
        if sure and now_ms - self.probed_ms < PROBE_AGAIN_MS:
            return 0
        self.probed_ms = now_ms + target
        return target

    cpdef void probed(self, int64_t rest_ms, int64_t now_ms) noexcept:
        self.settle(now_ms)
        self.shorts = 0
        self._doubt(rest_ms)
        self.proofs += 1
        if self.proofs >= PROOFS:
            self.proofs = 0
            self.backings = 0
            self.known_ms = max(self.known_ms, min(rest_ms, <int64_t>LONGEST_MS))
        self._conclude()

    # -- what follows -------------------------------------------------------------------------------------

    cdef int64_t _closes_at(self) noexcept:
        """The shortest rest after which the endpoint closes for certain."""
        cdef int64_t least = NEVER_MS
        cdef uint32_t i
        for i in range(self.groups_used):
            if self.groups[i].closes >= AGREED and self.groups[i].doubts < DOUBTED:
                least = min(least, self.groups[i].rest_ms)
        return least

    cdef int64_t _horizon(self) noexcept:
        """Up to here a rest is expected to end well."""
        cdef int64_t closes_at = self._closes_at()
        cdef int64_t known = self.known_ms
        if self.said_ms:
            known = self.said_ms
        elif closes_at != NEVER_MS:
            # Whatever it closes after that has come through it.
            known = closes_at
        elif self.bound_ms:
            known = max(known, self.bound_ms + self.bound_ms // 4)
        if self.bound_ms == 0:
            known = min(known, <int64_t>LONGEST_MS)
        return min(known, closes_at)

    cdef void _conclude(self) noexcept:
        cdef int64_t closes_at = self._closes_at()
        cdef int64_t horizon = self._horizon()
        cdef int64_t least = NEVER_MS
        cdef int64_t margin = GRAIN_MS + self.round_trip_us // 1000
        cdef uint32_t i
        self.learned_ms = min(closes_at, self.said_ms if self.said_ms else NEVER_MS)
        if self.learned_ms == NEVER_MS:
            self.learned_ms = 0
        self.limit_ms = horizon - max(horizon // 5, margin)
        if self.bound_ms and (self.limit_ms > self.bound_ms or (closes_at == NEVER_MS and self.said_ms == 0)):
            self.limit_ms = self.bound_ms
        for i in range(self.groups_used):
            least = min(least, self.groups[i].rest_ms)
        self.watch_ms = least if least == NEVER_MS else least + least // 8
        if self.batch and self.batch_longest_ms >= SHORT_MS:
            least = min(least, max(self.batch_shortest_ms, <int64_t>SHORT_MS))
        if self.said_ms:
            least = min(least, self.said_ms)
        least = min(least, self.backed_ms)
        self.safe_ms = min(least // 2, least - margin)
        if self.shorts:
            # Until any rest ends well.
            self.safe_ms = -1
            self.watch_ms = 0
            if self.shorts >= AT_ONCE:
                self.limit_ms = -1


# What an endpoint says

cdef int64_t keep_alive_timeout_ms(const char* p, const Head* head) noexcept nogil:
    # One line, of members "name" or "name=digits" with commas between them (RFC 2068 section 19.7.1.1), and the timeout
    # once, from a second to a day. What is anything else is of no use: the endpoint is watched in any case.
    cdef const Field* field
    cdef int64_t value, found = 0
    cdef uint32_t i, end, at, name
    if head.count[<int>F_KEEP_ALIVE] != 1:
        return 0
    field = &head.fields[head.first[<int>F_KEEP_ALIVE] - 1]
    i, end = field.value, field.value + field.value_length
    while i < end:
        if p[i] == c"," or p[i] == c" " or p[i] == c"\t":
            i += 1
            continue
        at = i
        while i < end and p[i] != c"=" and p[i] != c"," and p[i] != c" " and p[i] != c"\t":
            i += 1
        name = i - at
        if i == end or p[i] != c"=":
            if name == 7 and equals_lower(p + at, b"timeout", 7):
                return 0
            continue
        i += 1
        value = keepalive_digits(p, &i, end)
        if name == 7 and equals_lower(p + at, b"timeout", 7):
            if value < 1 or found:
                return 0
            found = value
        elif value < 0:
            return 0
    return found * 1000


cdef int64_t keepalive_digits(const char* p, uint32_t* at, uint32_t end) noexcept nogil:
    # The number that ends at a comma, white space or the end; -1: it is none, or too large.
    cdef int64_t value = 0
    cdef uint32_t first = at[0]
    while at[0] < end and c"0" <= p[at[0]] <= c"9":
        value = value * 10 + (p[at[0]] - c"0")
        if value > SAID_MOST_S:
            return -1
        at[0] += 1
    if at[0] == first or (at[0] < end and p[at[0]] != c"," and p[at[0]] != c" " and p[at[0]] != c"\t"):
        return -1
    return value
