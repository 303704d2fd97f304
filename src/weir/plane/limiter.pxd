# How many exchanges of a cluster are in progress at a time: a number that stands, or one that is found out.

from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef enum Phase:
    PHASE_STEADY = 0    # the limit is what was found out
    PHASE_DRAINING = 1  # it is lower, and more than so many are still in progress
    PHASE_PROBING = 2   # it is lower: how quick are the endpoints with fewer at a time?

cdef class Limiter:
    cdef readonly uint32_t limit            # exchanges at a time, now
    cdef readonly uint32_t admitted         # exchanges in progress
    cdef bint adaptive
    cdef bint starting                      # the limit doubles until it is not reached, or there is a crowd
    cdef bint crowded                       # the last window has reached the limit
    cdef double least
    cdef double most
    cdef double estimate                    # the limit when nothing is probed
    cdef readonly double baseline_us        # the mean response time without a crowd; 0: not known
    cdef readonly uint8_t phase
    cdef int64_t phase_ends_us              # at the latest
    cdef uint32_t passed_over               # so many of the next samples: they are of another phase
    cdef int64_t began_us                   # the probe
    cdef int64_t next_probe_us
    # the window
    cdef int64_t window_since_us
    cdef double rate                        # answers a microsecond in the one before
    cdef double sum_us
    cdef uint32_t samples
    cdef uint32_t dropped                   # attempts that were refused, or had no answer in time
    cdef uint32_t peak                      # the most exchanges in progress
    cdef bint reached                       # somebody was held back

    # Takes a place; False: there is none.
    cdef bint admit(self, int64_t now_us) noexcept
    cdef void let_go(self, int64_t now_us) noexcept
    cdef bint has_room(self, int64_t now_us) noexcept
    # An attempt had its response head after `us`; `dropped`: it had none in time, or was refused as one too many.
    cdef void observe(self, int64_t us, bint dropped, int64_t now_us) noexcept

    # Somebody is about to be refused, since too many wait.
    cdef void overflows(self, int64_t now_us) noexcept

    cdef void _end_window(self, int64_t now_us) noexcept
    cdef void _adjust(self, double mean_us) noexcept
    cdef void _begin_probe(self, uint32_t peak, int64_t now_us) noexcept
    cdef void _end_probe(self, int64_t now_us) noexcept
    cdef void _enter(self, Phase phase, int64_t now_us) noexcept
    cdef void _clear(self, int64_t now_us) noexcept
