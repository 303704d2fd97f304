"""Whether and when a request is let in.

A request has to pass all limits of its listener and of its route that take it; one that is refused by some is charged
to none, so that a client that keeps to the strict one is not held to have used up the generous one. Faults are injected
into what was let in: delays add up, the first abort counts, the least bandwidth counts.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from weir.plane.answers cimport ErrorPages
from weir.plane.codes cimport DONE, R_FAULT_INJECTED, R_RATE_LIMITED
from weir.plane.fault cimport Fault, Injected
from weir.plane.filters cimport FIELD_MISSING, FIELD_SEVERAL, Asked, FieldName, Filter
from weir.plane.gcra cimport LC_DELAYED, LC_LIMITED, LC_PASSED, Charge, RateLimit
from weir.plane.head cimport HEAD_MAX_FIELDS, Head, HeadLimits, scan_request
from weir.plane.series cimport SeriesNames
from weir.plane.syscalls cimport AF_INET6, inet_pton
from weir.plane.templates cimport TEMPLATE_BYTES

from weir.config.plan import RESET

cdef enum:
    # What is hashed with a key, so that keys of different kinds are different keys.
    SALT_KEY = 0
    SALT_SEVERAL = 1
    SALT_ROW = 2

_BY = {"client": BY_CLIENT, "path": BY_PATH, "all": BY_ALL}


cdef class Limit:
    """`plan` is `weir.config.plan.RateLimitPlan`, `memory` its memory; refusals look as in `pages`."""

    def __cinit__(self, memory, uint32_t worker, plan, ErrorPages pages not None):
        self.gcra = RateLimit(memory, worker, plan)
        self.filter = Filter(plan.methods, plan.prefix)
        kind, _, name = plan.by.partition(":")
        self.by = BY_FIELD if kind == "field" else _BY[kind]
        self.field = FieldName(name) if kind == "field" else None
        self.dry_run = plan.dry_run
        self.variant = pages.variant(R_RATE_LIMITED, plan.status)

    cdef uint64_t key(self, const Asked* asked, SeriesNames series, uint32_t row, uint32_t other) noexcept:
        cdef char out[CLIENT_KEY]
        cdef char name[TEMPLATE_BYTES]
        cdef const char* text
        cdef uint32_t n
        cdef int line
        if self.by == BY_CLIENT:
            n = client_key(asked, out)
            return self.gcra.fingerprint(SALT_KEY, out, n)
        if self.by == BY_PATH:
            if row != other:
                return self.gcra.fingerprint(SALT_ROW, <const char*>&row, sizeof(row))
            # The paths that have no row share their counters, not their limit.
            n = series.name_of(asked.p + asked.head.path_at, asked.head.path_length, name, &text)
            return self.gcra.fingerprint(SALT_KEY, text, n)
        if self.by == BY_FIELD:
            line = self.field.find(asked)
            if line == FIELD_MISSING:
                return 0
            if line == FIELD_SEVERAL:
                # Which one the endpoint takes is not known here: whoever sends several shares a key with all who do.
                return self.gcra.fingerprint(SALT_SEVERAL, b"", 0)
            return self.gcra.fingerprint(
                SALT_KEY, asked.p + asked.head.fields[line].value, asked.head.fields[line].value_length
            )
        return self.gcra.fingerprint(SALT_KEY, b"", 0)


cdef class Admission:
    """The rules of a listener (`weir.config.plan.ListenerPlan`); `limits` and `faults` are their memories, in order.

    `routes` are those of its routes that have limits of their own: number, RateLimitPlans, and their memories.
    """

    def __cinit__(self, plan, limits, faults, uint32_t worker, ErrorPages pages not None, routes=()):
        cdef Fault fault
        self.limits = admission_limits(plan.rate_limits, limits, worker, pages)
        self.of_routes = [None] * (1 + max([number for number, *_ in routes], default=-1))
        for number, rules, memories in routes:
            self.of_routes[number] = self.limits + admission_limits(rules, memories, worker, pages)
        self.faults = []
        for rule, memory in zip(plan.faults, faults, strict=True):
            fault = Fault(memory, worker, rule)
            if rule.abort and rule.abort != RESET:
                fault.variant = pages.variant(R_FAULT_INJECTED, rule.abort)
            self.faults.append(fault)

    cdef void decide(self, const Asked* asked, SeriesNames series, uint32_t row, uint32_t other, int64_t now_us,
                     Verdict* verdict) noexcept:
        cdef Fault fault
        cdef Injected injected
        cdef list limits = self.asked_of(other)
        memset(verdict, 0, sizeof(Verdict))
        if limits:
            self._limit(limits, asked, series, row, other, now_us, verdict)
            if verdict.outcome == O_REFUSE:
                return
        for fault in self.faults:
            if not fault.decide(asked, &injected):
                continue
            verdict.wait_ms += injected.delay_ms
            if injected.aborts and verdict.outcome == O_GO:
                verdict.outcome = O_RESET if fault.reset else O_ABORT
                verdict.variant = fault.variant
            if injected.bytes_per_s and (verdict.bytes_per_s == 0 or injected.bytes_per_s < verdict.bytes_per_s):
                verdict.bytes_per_s = injected.bytes_per_s
            if injected.delay_ms or injected.aborts or injected.bytes_per_s:
                verdict.injected = True

    cdef list asked_of(self, uint32_t route):
        cdef list own = None
        if route < <uint32_t>len(self.of_routes):
            own = <list>self.of_routes[route]
        return self.limits if own is None else own

    def ask(self, request: bytes, client: bytes, now_us: int, repeat: int = 1) -> tuple[int, int, int]:
        """What becomes of a request that is asked about `repeat` times: outcome, wait in ms, Retry-After in s.

        For measurements. ValueError for what is no request.
        """
        cdef HeadLimits limits = [1 << 20, 1 << 20, HEAD_MAX_FIELDS]
        cdef SeriesNames series = SeriesNames(False, ())
        cdef bytearray scratch = bytearray(len(request) + 1)
        cdef Head head
        cdef Asked asked
        cdef Verdict verdict
        cdef int64_t moment = now_us
        cdef int64_t _i
        head.scanned = 0
        if scan_request(request, <uint32_t>len(request), &limits, &head) != DONE:
            raise ValueError("no request")
        asked.p = request
        asked.head = &head
        asked.client = client
        asked.client_length = <uint32_t>len(client)
        asked.scratch = scratch
        for _i in range(<int64_t>repeat):
            self.decide(&asked, series, 1, 0, moment, &verdict)
        return verdict.outcome, verdict.wait_ms, verdict.retry_after_s

    cdef void _limit(self, list limits, const Asked* asked, SeriesNames series, uint32_t row, uint32_t other,
                     int64_t now_us, Verdict* verdict) noexcept:
        cdef Charge charges[MOST_ASKED]
        cdef int64_t answers[MOST_ASKED]        # of RateLimit.take; -1 also for a limit that was not asked
        cdef uint64_t now_ns = <uint64_t>now_us * 1000
        cdef int64_t after_ns = 0
        cdef int64_t wait_ns = 0
        cdef uint64_t mark
        cdef int i = 0
        cdef Limit limit
        for limit in limits:
            charges[i].place = -1
            answers[i] = -1
            mark = limit.key(asked, series, row, other) if limit.filter.takes(asked) else 0
            if mark:
                answers[i] = limit.gcra.take(mark, now_ns, &charges[i])
                if answers[i] < 0:
                    limit.gcra.counts[<int>LC_LIMITED] += 1
                if -answers[i] > after_ns and not limit.dry_run:
                    after_ns = -answers[i]
                    verdict.variant = limit.variant
                elif not limit.dry_run:
                    wait_ns = max(wait_ns, answers[i])
            i += 1
        i = 0
        for limit in limits:
            if after_ns:
                limit.gcra.give_back(&charges[i], now_ns)
            elif answers[i] >= 0:
                limit.gcra.counts[<int>LC_PASSED] += 1
                limit.gcra.counts[<int>LC_DELAYED] += answers[i] > 0
            i += 1
        if after_ns:
            verdict.outcome = O_REFUSE
            verdict.retry_after_s = (after_ns + 999_999_999) // 1_000_000_000
        else:
            verdict.wait_ms = <uint32_t>((wait_ns + 999_999) // 1_000_000)


def admission_limits(rules, memories, worker, pages):
    """Limits, ready for use."""
    if len(rules) > MOST_LIMITS:
        raise ValueError(f"at most {MOST_LIMITS} rate limits, not {len(rules)}")
    return [Limit(memory, worker, rule, pages) for rule, memory in zip(rules, memories, strict=True)]


def key_of_client(client: bytes) -> bytes:
    """What a client with this address, as text, is known by; for tests."""
    cdef char out[CLIENT_KEY]
    cdef Asked asked
    asked.client = client
    asked.client_length = <uint32_t>len(client)
    return out[:client_key(&asked, out)]


cdef uint32_t client_key(const Asked* asked, char* out) noexcept nogil:
    # An IPv4 address is known by its text, which has one spelling here. Of an IPv6 address it is the first 64 bits:
    # what is behind them a client makes up by itself.
    cdef uint32_t n = min(asked.client_length, <uint32_t>(CLIENT_KEY - 1))
    cdef char address[16]
    cdef char* scope
    memcpy(out, asked.client, n)
    out[n] = 0
    if memchr(out, c":", n) == NULL:
        return n
    scope = <char*>memchr(out, c"%", n)
    if scope != NULL:
        scope[0] = 0
    if inet_pton(AF_INET6, out, address) == 1:
        memcpy(out, address, 8)
        return 8
    return n
