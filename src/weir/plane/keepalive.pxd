# How long an endpoint lets a connection rest, learned from what is seen of it; pure logic, no sockets, no clock.
#
# A rest is the time in which a connection lies idle, in milliseconds; `now_ms` is the plane's clock.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.head cimport Head

cdef enum:
    KEEPALIVE_GROUPS = 8
    # A response that came over a longer time may have been written long before its end was read here: the endpoint's
    # idle timeout may have begun with its first byte. That rest says nothing of how long the timeout is.
    TEACHES_MS = 100
    # One that was dialled early and has carried nothing is under the endpoint's timeout for a first request, of which
    # nothing is learned: there are few of them. gunicorn's is 7 s, others' 10 s and more.
    UNUSED_LIMIT_MS = 4000
    UNUSED_SAFE_MS = 2500

# Closes after rests of about the same length.
cdef struct CloseGroup:
    int64_t rest_ms         # the shortest of them
    uint32_t closes
    uint32_t doubts         # longer rests that ended well, since the last of them

cdef class IdleLearner:
    cdef readonly int64_t limit_ms      # an idle connection is retired after this; below 0: none is kept
    cdef readonly int64_t safe_ms       # a request that cannot be repeated takes none that has rested for longer
    cdef readonly int64_t learned_ms    # the endpoint's own timeout: as it closes, or as it says; 0: not known
    cdef readonly int64_t watch_ms      # a rest that ended well is news if it was as long as this
    cdef int64_t bound_ms               # no rest is longer; 0: LONGEST_MS
    cdef int64_t known_ms               # probes have come through rests of this length (or it is assumed)
    cdef int64_t backed_ms              # ... and connections in use, too
    cdef uint32_t proofs                # probes in a row that came through
    cdef uint32_t backings              # connections in a row that were retired alive
    cdef int64_t probed_ms              # when the last probe is over
    cdef uint32_t shorts                # rests in a row that a close ended as good as at once
    cdef int64_t calm_since_ms          # when the first rest began after the last of those
    cdef int64_t said_ms                # Keep-Alive: timeout; 0: never said
    cdef int64_t said_next_ms           # the least of the longer ones said since
    cdef uint32_t said_longer           # how many those are
    cdef int64_t round_trip_us          # of connects, smoothed
    cdef uint32_t groups_used
    cdef CloseGroup groups[KEEPALIVE_GROUPS]
    # Closes that came at once, not judged yet.
    cdef uint32_t batch
    cdef uint32_t batch_left
    cdef int64_t batch_first_ms
    cdef int64_t batch_shortest_ms
    cdef int64_t batch_longest_ms

    # The endpoint has closed a connection after this rest, or broken it before a byte of a response; so many are left.
    cpdef void closed(self, int64_t rest_ms, int64_t now_ms, uint32_t left) noexcept
    # A rest begins; to be told while there are shorts.
    cpdef void rests(self, int64_t now_ms) noexcept
    # A connection was still open after this rest. `retired`: it is closed now because its time is over.
    cpdef void survived(self, int64_t rest_ms, int64_t now_ms, bint retired) noexcept
    # A response said Keep-Alive: timeout, in milliseconds; 0: nothing that can be understood.
    cpdef void said(self, int64_t timeout_ms) noexcept
    # A connect took so long.
    cpdef void connected(self, int64_t us) noexcept
    # Whether a connection whose time is over should rest on as a probe, and for how long in all; 0: no.
    cpdef int64_t begin_probe(self, int64_t now_ms) noexcept
    # The probe was still open after this rest.
    cpdef void probed(self, int64_t rest_ms, int64_t now_ms) noexcept
    # Judges closes that came at once, when no more of them can come. To be called before limit_ms and safe_ms are read.
    cpdef void settle(self, int64_t now_ms) noexcept

    cdef void _judge(self) noexcept
    cdef void _note(self, int64_t rest_ms) noexcept
    cdef void _doubt(self, int64_t rest_ms) noexcept
    cdef int64_t _closes_at(self) noexcept
    cdef int64_t _horizon(self) noexcept
    cdef void _conclude(self) noexcept

# The timeout that the Keep-Alive field of a response names, in milliseconds; 0: none, or nothing to rely on.
cdef int64_t keep_alive_timeout_ms(const char* p, const Head* head) noexcept nogil
