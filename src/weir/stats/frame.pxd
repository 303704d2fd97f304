# Figures of many series at a moment. Row i's numbers are numbers[i * WIDTH : (i + 1) * WIDTH] (see frame.pyx).

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef class Frame:
    cdef readonly int64_t taken_us
    cdef readonly int64_t since_us
    cdef readonly tuple table
    cdef uint32_t count
    cdef uint64_t* keys_at              # [0:count], ascending
    cdef uint64_t* numbers              # [0:count * WIDTH]

    cdef uint64_t* _series(self, index) except NULL
    cdef uint64_t _histogram(self, which) except? 77
    cdef int _check_same(self, Frame other) except -1
