# Buffers: plain bytes from a pool, in sizes of powers of two.
#
# In every Buffer:  0 <= start <= end <= size.   data[start:end] is what it holds.
# A buffer has one owner; take_ and give_ move ownership. An idle connection owns none.

from libc.stdint cimport int64_t, uint32_t

cdef enum:
    BUFFER_SMALL = 4096             # a request head of a browser fits
    BUFFER_LARGE = 262144           # one read of a bulk body (decision 0004: the size of a read decides)
    BUFFER_CLASSES = 9              # 4 KiB ... 1 MiB

cdef class Buffer:
    cdef char* data
    cdef uint32_t size
    cdef uint32_t start
    cdef uint32_t end
    cdef int size_class
    cdef Buffer next_free

cdef class BufferPool:
    cdef readonly int64_t live_bytes        # in the hands of owners
    cdef readonly int64_t live              # buffers in the hands of owners
    cdef readonly int64_t spare_bytes       # on the free lists
    cdef readonly int64_t spare_limit
    cdef readonly int64_t generous_limit    # with more than this alive, take() gives small ones only
    cdef int refusals                       # for tests: so many takes fail as if there were no memory
    cdef list _free                         # by size class: the newest spare Buffer, linked by next_free

    # An empty buffer of at least `least` bytes. MemoryError if there is no memory.
    cdef Buffer take(self, uint32_t least)
    # An empty buffer of BUFFER_LARGE, or of 16 KiB when much is out already: for reads of bodies.
    cdef Buffer take_for_read(self)
    cdef void give(self, Buffer buffer) noexcept
    # A buffer of at least `least` bytes that holds what `buffer` held (which is given back, unless MemoryError).
    cdef Buffer regrow(self, Buffer buffer, uint32_t least)
