# A stream in memory: what a relay writes to it Python takes, and what Python gives another relay reads from it.

from libc.stdint cimport uint64_t

from weir.plane.stream cimport Stream

cdef enum:
    PIPE_MOST = 65536           # bytes that wait on either side; then the other side waits

cdef class Pipe(Stream):
    cdef bytearray arrived      # was written, and Python has not taken it
    cdef list parts             # of bytes: Python has given them
    cdef Py_ssize_t part        # the first of them that was not wholly read
    cdef Py_ssize_t at          # ... and what was read of it
    cdef readonly uint64_t waiting      # bytes of the parts that were not read
    cdef bint keeps             # parts stay when they were read: it can be rewound
    cdef bint ended             # nothing comes behind them

    # What has arrived, PIPE_MOST bytes at most; b"": nothing.
    cdef bytes take(self)
    cdef int put(self, bytes piece) except -1
    # Nothing comes behind what was put.
    cdef void finish(self) noexcept
    # All that was put is to be read again, if it `keeps`.
    cdef void rewind(self) noexcept
    cdef bint is_full(self) noexcept
