# Streams without a world, for transcripts: a test says what the peer sends and how much it takes.

from libc.stdint cimport int64_t, uint32_t

from weir.plane.stream cimport Dialer, Stream

cdef class FakeStream(Stream):
    cdef bytearray incoming         # what the peer sent and nobody has read
    cdef bytearray outgoing         # what was written and take_sent() has not fetched
    cdef bint incoming_end
    cdef bint broken
    cdef public bint hides_its_end      # is_spoiled() says no: the kernel has not heard of it yet
    cdef readonly bint write_closed
    cdef readonly bint was_reset
    cdef readonly object peer       # the Address that was dialled, or of a client; None: an accepted one without any
    cdef public object local        # the Address of our own end; None: it has none
    cdef public int64_t untaken     # bytes of what was written that the peer has not acknowledged
    cdef Py_ssize_t _room           # bytes the "kernel" takes; -1: any number
    cdef uint32_t pending           # events to be told
    cdef bint watching
    cdef public bint unwatched      # the kernel watches no more descriptors

    cdef int _tell(self, uint32_t events) except -1

cdef class FakeDialer(Dialer):
    cdef readonly list dialled      # of FakeStream, all that were ever made
    cdef public object mode         # "connect", "wait" (until FakeStream.connect), or an errno
