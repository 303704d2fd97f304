"""A body that meets Python, as its exchange sees it: what bodies fills in."""

from weir.plane.codes cimport Step
from weir.plane.framing cimport Framing
from weir.plane.relay cimport Relay
from weir.plane.stream cimport StreamOwner


cdef class Passage(StreamOwner):
    """A body that meets Python, as the exchange sees it."""

    cdef int depart(self, Framing* framing) except -1:
        raise NotImplementedError(f"{type(self).__name__}.depart")

    cdef Step begin(self, Relay relay) except *:
        raise NotImplementedError(f"{type(self).__name__}.begin")

    cdef Step pump(self, Relay relay) except *:
        raise NotImplementedError(f"{type(self).__name__}.pump")

    cdef int drain(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.drain")

    cdef int read_on(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.read_on")

    cdef bint is_pondering(self) noexcept:
        return False

    cdef int end(self) except -1:
        raise NotImplementedError(f"{type(self).__name__}.end")
