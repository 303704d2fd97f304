# The fields of a message as Python functions see them.

from weir.plane.bodied cimport Bodied

cdef class Headers:
    cdef Bodied message
    cdef list _lines(self)
    cdef tuple _checked(self, str name)
