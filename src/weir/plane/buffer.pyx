"""Byte buffers and their pool."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from weir.plane.debug cimport disown, invariant, own


cdef class Buffer:
    """Bytes of one owner: data[start:end] of size."""

    def __dealloc__(self):
        free(self.data)


cdef class BufferPool:
    """Buffers by size class, newest first, so that the next one taken is still in the cache."""

    def __cinit__(self, spare_limit=16 << 20, generous_limit=128 << 20):
        self._free = [None] * BUFFER_CLASSES
        self.spare_limit = spare_limit
        self.generous_limit = generous_limit

    cdef Buffer take(self, uint32_t least):
        cdef int size_class = 0
        cdef uint32_t size = BUFFER_SMALL
        cdef Buffer buffer
        if self.refusals:
            self.refusals -= 1
            raise MemoryError("refused for a test")
        while size < least:
            size <<= 1
            size_class += 1
        if size_class >= BUFFER_CLASSES:
            raise MemoryError(f"no buffer holds {least} bytes")
        buffer = <Buffer>self._free[size_class]
        if buffer is not None:
            self._free[size_class] = buffer.next_free
            buffer.next_free = None
            self.spare_bytes -= size
            invariant(buffer.size == size and self.spare_bytes >= 0)
            own(buffer.data, size)
        else:
            buffer = Buffer.__new__(Buffer)
            buffer.data = <char*>malloc(size)
            if buffer.data == NULL:
                raise MemoryError(f"a buffer of {size} bytes")
            buffer.size = size
            buffer.size_class = size_class
        buffer.start = 0
        buffer.end = 0
        self.live += 1
        self.live_bytes += size
        return buffer

    cdef Buffer take_for_read(self):
        if self.live_bytes > self.generous_limit:
            return self.take(16384)
        return self.take(BUFFER_LARGE)

    cdef void give(self, Buffer buffer) noexcept:
        invariant(buffer.start <= buffer.end and buffer.end <= buffer.size)
        self.live -= 1
        self.live_bytes -= buffer.size
        invariant(self.live >= 0 and self.live_bytes >= 0)
        if self.spare_bytes + buffer.size <= self.spare_limit:
            self.spare_bytes += buffer.size
            invariant(self._free[buffer.size_class] is not buffer)
            buffer.next_free = <Buffer>self._free[buffer.size_class]
            self._free[buffer.size_class] = buffer
            disown(buffer.data, buffer.size)

    cdef Buffer regrow(self, Buffer buffer, uint32_t least):
        invariant(buffer.start <= buffer.end and buffer.end <= buffer.size)
        cdef uint32_t held = buffer.end - buffer.start
        cdef Buffer other = self.take(least if least > held else held)
        memcpy(other.data, buffer.data + buffer.start, held)
        other.end = held
        self.give(buffer)
        return other
