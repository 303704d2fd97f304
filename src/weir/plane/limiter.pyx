"""The limit of exchanges in progress, and how an adaptive one is found out.

What is hard here: an endpoint does not say how much it can do at a time. Below its capacity, more exchanges at a time
mean more answers; above it they only wait inside the endpoint, and each takes longer. So response times are compared
with those of a time without a crowd (the baseline), and the limit follows their ratio, the gradient. A baseline that
is never measured anew turns false, in the worst case into the response time of overload itself; one that is measured
by letting hardly anybody through costs answers. Half of the limit is few enough, since the limit stays below twice the
capacity: see docs/decisions/0017-adaptive-limit.md.
"""

from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint32_t

from weir.plane.debug cimport invariant

cdef enum:
    FIRST_LIMIT = 40
    WINDOW_US = 100_000         # a window is not shorter, ...
    WINDOW_SAMPLES = 16         # ... and has a mean that says something
    PROBE_MOST_US = 5_000_000   # a probe is given up after so long
    PROBE_EVERY_US = 10_000_000
    PROBE_SHARE = 20            # of the time, one part at most goes into probes
    SAMPLES_MOST = 50           # ... and does not wait for more than it needs
    SETTLE_ROUNDS = 1           # until most that began in another phase have ended

cdef double TOLERANCE = 1.25    # so much longer than the baseline is no crowd yet
cdef double STEP_LEAST = 0.5    # bounds of what one window can change
cdef double STEP_MOST = 1.5
cdef double DROPPED_STEP = 0.9
cdef double DROPPED_SHARE = 0.05
cdef double GROWTH = 1.3        # of answers, when twice as many may be in progress: there was no crowd before
cdef double QUICKER = 0.8       # so much of the time before, with fewer at a time: there still was a crowd


cdef class Limiter:
    """At most `most` exchanges at a time; with `least` of more than 0 the limit adapts between the two."""

    def __cinit__(self, uint32_t most, uint32_t least=0):
        self.adaptive = least > 0
        self.starting = self.adaptive
        self.most = most
        self.least = least
        self.limit = most
        if self.adaptive:
            self.estimate = min(self.most, max(self.least, <double>FIRST_LIMIT))
            self.limit = <uint32_t>self.estimate

    cdef bint has_room(self, int64_t now_us) noexcept:
        if self.phase != PHASE_STEADY and now_us >= self.phase_ends_us:
            self._end_probe(now_us)
        return self.admitted < self.limit

    cdef bint admit(self, int64_t now_us) noexcept:
        if not self.has_room(now_us):
            self.reached = True
            return False
        self.admitted += 1
        self.peak = max(self.peak, self.admitted)
        return True

    cdef void let_go(self, int64_t now_us) noexcept:
        invariant(self.admitted > 0)
        self.admitted -= 1
        if self.phase == PHASE_DRAINING and self.admitted <= self.limit:
            self._enter(PHASE_PROBING, now_us)

    cdef void overflows(self, int64_t now_us) noexcept:
        # It held nobody back before the probe: nobody is refused for one.
        if self.phase != PHASE_STEADY and not self.crowded:
            self._end_probe(now_us)

    cdef void observe(self, int64_t us, bint dropped, int64_t now_us) noexcept:
        # Those that began in another phase tell of another limit; to leave them out by their age would leave the
        # quick ones alone. So all are left out until they have ended.
        if not self.adaptive or self.phase == PHASE_DRAINING:
            return
        if self.passed_over:
            self.passed_over -= 1
            return
        self.samples += 1
        if dropped:
            self.dropped += 1
        else:
            self.sum_us += us
        if self.samples < max(<uint32_t>WINDOW_SAMPLES, min(min(self.limit, self.peak), <uint32_t>SAMPLES_MOST)):
            return
        if self.phase == PHASE_PROBING:
            self._end_probe(now_us)
        elif self.starting or now_us - self.window_since_us >= WINDOW_US:
            self._end_window(now_us)

    cdef void _end_window(self, int64_t now_us) noexcept:
        cdef uint32_t answered = self.samples - self.dropped
        cdef double mean_us = self.sum_us / answered if answered else 0
        cdef uint32_t peak = self.peak
        cdef double rate = self.samples / <double>max(now_us - self.window_since_us, <int64_t>1)
        cdef bint brings_more = rate > GROWTH * self.rate
        self.rate = rate
        self.crowded = self.reached
        if self.dropped > DROPPED_SHARE * self.samples:
            self.estimate *= DROPPED_STEP
            self.starting = False
        elif self.baseline_us == 0:
            self.baseline_us = mean_us
        elif not self.starting:
            self._adjust(mean_us)
        elif self.reached and brings_more and mean_us <= TOLERANCE * self.baseline_us:
            self.estimate *= 2
        else:
            # If that is a crowd's time, the probe that follows finds it out.
            self.baseline_us = max(self.baseline_us, mean_us)
            self.starting = False
        self.estimate = min(self.most, max(self.least, self.estimate))
        self.limit = <uint32_t>self.estimate
        self._clear(now_us)
        if not self.starting and now_us >= self.next_probe_us:
            self._begin_probe(peak, now_us)

    cdef void _adjust(self, double mean_us) noexcept:
        cdef double gradient = TOLERANCE * self.baseline_us / max(mean_us, <double>1)
        cdef double step = min(STEP_MOST, max(STEP_LEAST, gradient))
        cdef double target = self.estimate * step + max(<double>1, sqrt(self.estimate) / 2)
        # Nobody knows what a limit would do that was never reached.
        if self.reached or (target < self.estimate and self.peak > self.limit // 2):
            self.estimate += (target - self.estimate) / 2

    cdef void _begin_probe(self, uint32_t peak, int64_t now_us) noexcept:
        cdef uint32_t fewer = self.limit // 2 if self.crowded else min(self.limit, peak) * 3 // 4
        fewer = max(<uint32_t>self.least, fewer)
        self.next_probe_us = now_us + PROBE_EVERY_US
        if fewer >= min(self.limit, peak):
            return
        self.limit = fewer
        self.began_us = now_us
        self.phase_ends_us = now_us + PROBE_MOST_US
        self._enter(PHASE_DRAINING if self.admitted > self.limit else PHASE_PROBING, now_us)

    cdef void _end_probe(self, int64_t now_us) noexcept:
        cdef uint32_t answered = self.samples - self.dropped
        cdef double before = self.baseline_us
        cdef double mean_us = 0
        if self.phase == PHASE_PROBING and answered >= WINDOW_SAMPLES // 2:
            mean_us = self.sum_us / answered
            self.baseline_us = (before + mean_us) / 2
            self.next_probe_us = now_us + max(<int64_t>PROBE_EVERY_US, (now_us - self.began_us) * PROBE_SHARE)
            if mean_us < QUICKER * before:
                # What it was compared with was a crowd's time. Perhaps this is one's, too.
                self.baseline_us = mean_us
                self.estimate = min(self.estimate, self.limit * TOLERANCE)
                self.next_probe_us = now_us
        self.limit = <uint32_t>self.estimate
        self._enter(PHASE_STEADY, now_us)

    cdef void _enter(self, Phase phase, int64_t now_us) noexcept:
        self.phase = phase
        self.passed_over = SETTLE_ROUNDS * self.admitted
        self._clear(now_us)

    cdef void _clear(self, int64_t now_us) noexcept:
        self.window_since_us = now_us
        self.sum_us = 0
        self.samples = 0
        self.dropped = 0
        self.peak = self.admitted
        self.reached = False

    # -- for tests ----------------------------------------------------------------------------------------

    def take(self, int64_t now_us):
        """As admit()."""
        return self.admit(now_us)

    def give(self, int64_t now_us, int64_t us, bint dropped=False):
        """An exchange is over whose response head came after `us`, or never: `dropped`."""
        self.observe(us, dropped, now_us)
        self.let_go(now_us)
