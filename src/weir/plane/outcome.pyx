"""What became of the attempts at one endpoint.

What is hard here: who is to blame. What this machine lacks says nothing of the endpoint, and neither does a connection
that it may just have closed; who calls suspect() knows of the latter.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from weir.plane.codes cimport (
    R_INTERNAL,
    R_NO_ENDPOINT,
    R_NONE,
    R_OUT_OF_DESCRIPTORS,
    R_OUT_OF_MEMORY,
    R_OUT_OF_PORTS,
    Reason,
)
from weir.plane.columns cimport EF_ERRORS_5XX, EF_FAILURES, EF_RESPONSE_US, EF_RESPONSES
from weir.plane.engine cimport Source
from weir.plane.peak cimport PEAK_FAILED_US, peak_note
from weir.plane.upstream cimport UpstreamHome, UpstreamUser

cdef enum:
    # weir.stats.roster: what a standing says where no reason does, with a figure above it.
    WHY_ERRORS_5XX = 130
    WHY_FIGURE = 8


cdef inline bint is_local(Reason reason) noexcept:
    """Whether a failure says something of this machine only."""
    return reason in (R_OUT_OF_PORTS, R_OUT_OF_DESCRIPTORS, R_OUT_OF_MEMORY, R_NO_ENDPOINT, R_INTERNAL)


cdef class PoolOwner(Source):
    """The cluster, as a pool sees it."""

    cdef UpstreamUser next_waiting(self, UpstreamHome home):
        return self.queue.take()

    cdef int observe(self, uint16_t status, Reason reason, int64_t us) except -1:
        return 0

    cdef int on_failing(self, Outcomes pool, uint32_t why) except -1:
        raise NotImplementedError(f"{type(self).__name__}.on_failing")


cdef class Outcomes(UpstreamHome):
    """A pool, as far as it is judged."""

    cdef int responded(self, uint16_t status, int64_t us) except -1:
        cdef uint64_t* figures = self.entry.figures
        figures[EF_RESPONSES] += 1
        figures[EF_RESPONSE_US] += <uint64_t>us
        if self.owner.observes:
            self.owner.observe(status, R_NONE, us)
        # An error is often quick: it says nothing good of the endpoint.
        if self.timed and (status < 500 or us > self.peak.us):
            peak_note(&self.peak, us, self.workspace.clock.now_us)
        self.failing = 0
        if status < 500:
            self.failing_5xx = 0
            return 0
        figures[EF_ERRORS_5XX] += 1
        self.failing_5xx += 1
        if self.eject_5xx and self.failing_5xx >= self.eject_5xx:
            return self.owner.on_failing(self, WHY_ERRORS_5XX | self.failing_5xx << WHY_FIGURE)
        return 0

    cdef int failed(self, Reason reason) except -1:
        self.entry.figures[EF_FAILURES] += 1
        if self.owner.observes and not is_local(reason):
            self.owner.observe(0, reason, 0)
        if self.timed:
            peak_note(&self.peak, PEAK_FAILED_US, self.workspace.clock.now_us)
        return 0

    cdef int suspect(self, Reason reason) except -1:
        if not self.eject_failures or self.closed or is_local(reason):
            return 0
        self.failing += 1
        if self.failing >= self.eject_failures:
            return self.owner.on_failing(self, <uint32_t>reason)
        return 0
