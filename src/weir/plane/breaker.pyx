"""A cluster's circuit breaker: closed, open, half open.

What is hard here: what failed before says little of now. So failures are a part of all attempts in a window that
moves on in steps, below a number of attempts nothing is concluded, and what is heard while the circuit is open
(attempts that had begun before) is about the past.
"""

from libc.stdint cimport int64_t, uint32_t

from weir.plane.states cimport CB_CLOSED, CB_HALF_OPEN, CB_OPEN, MACHINE_BREAKER
from weir.plane.upstream cimport UpstreamUser
from weir.plane.workspace cimport Workspace, move


cdef class Breaker:
    """The breaker of a `weir.config.plan.BreakerPlan`, for one worker."""

    def __cinit__(self, Workspace workspace not None, plan):
        self.workspace = workspace
        self.state = CB_CLOSED
        self.percent = plan.failures_percent
        self.volume = plan.volume
        self.part_us = plan.window_ms * 1000 // BREAKER_PARTS
        self.open_for_us = plan.open_for_ms * 1000
        self.part = workspace.clock.now_us // self.part_us

    cdef bint admit(self, UpstreamUser user) noexcept:
        if self.state == CB_CLOSED:
            return True
        if self.state == CB_OPEN:
            if self.workspace.clock.now_us < self.opened_us + self.open_for_us:
                return False
            self.state = move(self.workspace, MACHINE_BREAKER, self.state, CB_HALF_OPEN)
            self.went_well = 0
        if user.tries:
            return True         # asked once more, it is the one that it was
        if self.trying >= BREAKER_TRIES:
            return False
        self.trying += 1
        user.tries = True
        return True

    cdef void let_go(self) noexcept:
        self.trying -= 1

    cdef bint observe(self, bint failed) noexcept:
        cdef uint32_t attempts = 0
        cdef uint32_t failures = 0
        cdef int place
        if self.state == CB_OPEN:
            return False
        if self.state == CB_HALF_OPEN:
            if failed:
                self._open()
                return True
            self.went_well += 1
            if self.went_well >= BREAKER_TRIES:
                self.state = move(self.workspace, MACHINE_BREAKER, self.state, CB_CLOSED)
                self.part -= BREAKER_PARTS      # what made it open is over
                self._forget()
            return False
        self._forget()
        place = self.part % BREAKER_PARTS
        self.attempts[place] += 1
        if not failed:
            return False
        self.failures[place] += 1
        for place in range(BREAKER_PARTS):
            attempts += self.attempts[place]
            failures += self.failures[place]
        # A rate among fewer attempts than `volume` is chance.
        if attempts < self.volume or <int64_t>failures * 100 < <int64_t>self.percent * attempts:
            return False
        self._open()
        return True

    cdef void _open(self) noexcept:
        self.state = move(self.workspace, MACHINE_BREAKER, self.state, CB_OPEN)
        self.opened_us = self.workspace.clock.now_us

    cdef void _forget(self) noexcept:
        # The parts between the newest one and now are as old as the window: they begin anew.
        cdef int64_t part = self.workspace.clock.now_us // self.part_us
        cdef int64_t old = max(self.part, part - BREAKER_PARTS)
        while old < part:
            old += 1
            self.attempts[(old + BREAKER_PARTS) % BREAKER_PARTS] = 0
            self.failures[(old + BREAKER_PARTS) % BREAKER_PARTS] = 0
        self.part = part

    cdef int64_t retry_after_s(self) noexcept:
        cdef int64_t left_us = self.opened_us + self.open_for_us - self.workspace.clock.now_us
        return left_us // 1_000_000 + 1 if left_us > 0 else 1
