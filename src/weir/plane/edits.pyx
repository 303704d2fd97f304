"""Edits of a head, by hooks and by rules of the configuration.

A head is never copied to be changed: lines are marked as left out where they stand, and others are added to what was
composed. So an edit costs what it changes, and a head without edits costs nothing.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from weir.plane.head cimport Field, Head
from weir.plane.text cimport lower


cdef inline char edits_plain(char c) noexcept nogil:
    return c"-" if c == c"_" else lower(c)


cdef void mark_named(const char* p, Head* head, const char* name, uint32_t n) noexcept nogil:
    # CGI and its heirs (WSGI, PHP) spell X-Client and X_Client alike: what is said by weir, or kept from who gets the
    # head, cannot be said under the other spelling.
    cdef uint32_t i, k
    cdef Field* field
    for i in range(head.field_count):
        field = &head.fields[i]
        if field.name_length == n:
            k = 0
            while k < n and edits_plain(p[field.name + k]) == edits_plain(name[k]):
                k += 1
            if k == n:
                field.drop = 1


@cython.freelist(16)
@cython.no_gc       # bytes and numbers
cdef class Edits:
    """What is changed in one head. Names and values are bytes that were checked before."""

    def __cinit__(self):
        self.drops = ()
        self.lines = PyByteArray_FromStringAndSize(NULL, 0)

    cdef Edits copy(self):
        cdef Edits other = Edits.__new__(Edits)
        other.drops = self.drops
        other.lines = bytearray(self.lines)
        other.target = self.target
        other.host = self.host
        other.status_line = self.status_line
        other.status = self.status
        return other

    cdef void mark(self, const char* p, Head* head) noexcept:
        cdef bytes name
        for name in self.drops:
            mark_named(p, head, <const char*>name, <uint32_t>len(name))

    cdef uint32_t put(self, char* out, uint32_t n) noexcept:
        cdef uint32_t length = <uint32_t>len(self.lines)
        cdef const char* lines
        if length:
            lines = self.lines
            memcpy(out + n - 2, lines, length)
            n += length
            out[n - 2] = c"\r"
            out[n - 1] = c"\n"
        return n

    cdef uint32_t bound(self) noexcept:
        cdef uint32_t more = <uint32_t>len(self.lines)
        if self.target is not None:
            more += <uint32_t>len(self.target)
        if self.status_line is not None:
            more += <uint32_t>len(self.status_line)
        return more

    cdef bint drops_name(self, bytes name):
        return name in self.drops

    cdef int set_field(self, bytes name, bytes lowered, bytes value) except -1:
        self.remove_field(lowered)
        return self.add_field(name, value)

    cdef int add_field(self, bytes name, bytes value) except -1:
        cdef Py_ssize_t before = len(self.lines)
        cdef Py_ssize_t named = len(name)
        cdef Py_ssize_t said = len(value)
        cdef char* out
        if before + named + said + 4 > EDITS_MOST:
            raise ValueError(f"more than {EDITS_MOST} bytes of fields are added to one head")
        PyByteArray_Resize(self.lines, before + named + said + 4)
        out = PyByteArray_AS_STRING(self.lines) + before
        memcpy(out, <const char*>name, named)
        memcpy(out + named, b": ", 2)
        memcpy(out + named + 2, <const char*>value, said)
        memcpy(out + named + 2 + said, b"\r\n", 2)
        return 0

    cdef int remove_field(self, bytes lowered) except -1:
        cdef bytes line
        if not self.drops:
            self.drops = (lowered,)
        elif lowered not in self.drops:
            self.drops += (lowered,)
        if self.lines:
            prefix = lowered + b":"
            self.lines = bytearray(
                b"".join([line for line in bytes(self.lines).splitlines(True) if not line.lower().startswith(prefix)])
            )
        return 0
