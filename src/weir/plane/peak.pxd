# How long an endpoint takes: its peak, which fades (the "peak EWMA" of Finagle and linkerd).
#
# A response that took longer than what is remembered is believed at once, a shorter one only by and by, and what is
# remembered fades while nothing is heard: an endpoint that was slow is tried again.

from libc.stdint cimport int64_t

cdef enum:
    PEAK_WINDOW_US = 10000000       # after so long a measured time counts for about a third
    # What an attempt without a response counts as. One that refuses is quick, and must not look as if it were good.
    PEAK_FAILED_US = 1000000

cdef struct Peak:
    double us
    int64_t at_us                   # when that was right; 0: nothing was measured

# About exp(-age / window), from the first terms of its series: no function is called, and it never grows.
cdef inline double peak_fading(int64_t age_us) noexcept nogil:
    cdef double x = <double>age_us / PEAK_WINDOW_US
    return 1 / (1 + x + x * x / 2 + x * x * x / 6)

cdef inline double peak_now(const Peak* peak, int64_t now_us) noexcept nogil:
    return peak.us * peak_fading(now_us - peak.at_us)

cdef inline void peak_note(Peak* peak, int64_t us, int64_t now_us) noexcept nogil:
    cdef double part
    if us >= peak.us or peak.at_us == 0:
        peak.us = <double>us
    else:
        part = peak_fading(now_us - peak.at_us)
        peak.us = peak.us * part + <double>us * (1 - part)
    peak.at_us = now_us
