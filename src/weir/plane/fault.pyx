"""A fault that is injected: what it does to which request.

Requests that match are numbered, over all workers; what happens to number n follows from the seed and n alone, so that
a test that is run again meets the same faults in the same order.
"""

from libc.stdint cimport uint32_t, uint64_t

from weir.plane.filters cimport Filter
from weir.plane.rule cimport Rule, weir_next

from weir.config.plan import RESET


cdef class Fault(Rule):
    """`plan` is `weir.config.plan.FaultPlan`; `memory` that of `weir.stats.rules.create()`, without keys."""

    def __cinit__(self, memory, uint32_t worker, plan):
        self.filter = Filter(plan.methods, plan.prefix, plan.field)
        self.delay_from_ms, self.delay_to_ms = plan.delay_ms
        self.delay_percent = plan.delay_percent
        self.abort_percent = plan.abort_percent if plan.abort else 0
        self.reset = plan.abort == RESET
        self.bytes_per_s = plan.bandwidth_bytes
        self.bandwidth_percent = plan.bandwidth_percent
        self.seed = plan.seed or self.header.seed_0

    cdef bint decide(self, const Asked* asked, Injected* injected) noexcept:
        if not self.filter.takes(asked):
            return False
        fault_roll(self, weir_next(&self.header.sequence), injected)
        self.counts[<int>FC_MATCHED] += 1
        self.counts[<int>FC_DELAYED] += injected.delay_ms > 0
        self.counts[<int>FC_ABORTED] += injected.aborts
        self.counts[<int>FC_PACED] += injected.bytes_per_s > 0 and not injected.aborts
        return True

    def plays(self, count: int) -> list[tuple[int, bool, int]]:
        """What happens to the first `count` requests: delay in ms, whether it is aborted, bytes a second; for tests."""
        cdef Injected injected
        played = []
        for number in range(count):
            fault_roll(self, number, &injected)
            played.append((injected.delay_ms, bool(injected.aborts), injected.bytes_per_s))
        return played


cdef inline uint64_t fault_dice(uint64_t seed, uint64_t number) noexcept nogil:
    # SplitMix64 (Steele and others, 2014).
    cdef uint64_t z = seed + number * <uint64_t>0x9E3779B97F4A7C15
    z = (z ^ z >> 30) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) * <uint64_t>0x94D049BB133111EB
    return z ^ z >> 31


cdef void fault_roll(Fault fault, uint64_t number, Injected* injected) noexcept:
    cdef uint64_t at = 4 * number
    cdef uint32_t span = fault.delay_to_ms - fault.delay_from_ms + 1
    injected.delay_ms = 0
    injected.bytes_per_s = 0
    if fault.delay_to_ms and fault_dice(fault.seed, at) % 100 < fault.delay_percent:
        injected.delay_ms = fault.delay_from_ms + <uint32_t>(fault_dice(fault.seed, at + 1) % span)
    injected.aborts = fault_dice(fault.seed, at + 2) % 100 < fault.abort_percent
    if fault.bytes_per_s and fault_dice(fault.seed, at + 3) % 100 < fault.bandwidth_percent:
        injected.bytes_per_s = fault.bytes_per_s
