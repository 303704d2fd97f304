"""A stream in memory, between two relays, with Python in the middle."""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from weir.plane.stream cimport IO_BLOCKED, IO_FAILED, STREAM_AGAIN, Stream, StreamOwner
from weir.plane.syscalls cimport ENOMEM, ssize_t

cdef enum:
    READ_PARTS = 64         # parts that were read are let go so many at a time


cdef class Pipe(Stream):
    """What is written to it waits for Python; what is read from it is what Python has given."""

    def __cinit__(self):
        self.arrived = bytearray()
        self.parts = []
        self.may_write = True

    # -- Python's side ------------------------------------------------------------------------------------

    cdef bytes take(self):
        cdef bytes piece
        if len(self.arrived) <= PIPE_MOST:
            piece = bytes(self.arrived)
            self.arrived.clear()
        else:
            piece = bytes(self.arrived[:PIPE_MOST])
            del self.arrived[:PIPE_MOST]
        self.may_write = len(self.arrived) < PIPE_MOST
        return piece

    cdef int put(self, bytes piece) except -1:
        if piece:
            self.parts.append(piece)
            self.waiting += <size_t>len(piece)
            self.may_read = True
        return 0

    cdef void finish(self) noexcept:
        self.ended = True
        self.may_read = True

    cdef void rewind(self) noexcept:
        cdef bytes piece
        self.part = 0
        self.at = 0
        self.waiting = 0
        for piece in self.parts:
            self.waiting += <size_t>len(piece)
        self.may_read = True

    cdef bint is_full(self) noexcept:
        return self.waiting >= PIPE_MOST

    # -- the relays' side ---------------------------------------------------------------------------------

    cdef int on_ready(self, uint32_t events) except -1:
        cdef StreamOwner owner = self.owner
        if owner is not None:
            owner.on_stream(self, STREAM_AGAIN)
        return 0

    cdef ssize_t read_some(self, char* buf, size_t n) noexcept:
        cdef size_t got = 0
        cdef size_t share
        cdef bytes piece
        while got < n and self.part < len(self.parts):
            piece = <bytes>self.parts[self.part]
            share = min(<size_t>(len(piece) - self.at), n - got)
            memcpy(buf + got, <const char*>piece + self.at, share)
            got += share
            self.at += share
            if self.at == len(piece):
                self.at = 0
                self.part += 1
        self.waiting -= got
        if not self.keeps and self.part and (self.part == len(self.parts) or self.part >= READ_PARTS):
            del self.parts[:self.part]
            self.part = 0
        if got:
            # What comes behind, an end too, is told by the next read.
            self.may_read = self.waiting > 0 or self.ended
            return <ssize_t>got
        self.may_read = False
        return 0 if self.ended else IO_BLOCKED

    cdef ssize_t write_some(self, const char* buf, size_t n) noexcept:
        cdef Py_ssize_t room = PIPE_MOST - len(self.arrived)
        if room <= 0:
            self.may_write = False
            return IO_BLOCKED
        if n > <size_t>room:
            n = <size_t>room
            self.may_write = False
        try:
            self.arrived += buf[:n]
        except MemoryError:
            self.error = ENOMEM
            return IO_FAILED
        return <ssize_t>n

    cdef void close(self) noexcept:
        self.owner = None
        self.closed = True
        self.arrived = bytearray()
        self.parts = []
