# What a route wants of a request beside its host and path: method, fields, query, client.

from libc.stdint cimport uint32_t

from weir.plane.filters cimport Asked, FieldName, Filter
from weir.plane.origin cimport Origin
from weir.plane.trust cimport Networks

cdef enum Unmet:
    U_NONE = 0                  # all is as it has to be
    U_METHOD = 1
    U_FIELD = 2
    U_QUERY = 3
    U_CLIENT = 4

cdef enum ValueTest:
    V_PRESENT = 0
    V_ABSENT = 1
    V_EQUAL = 2
    V_PREFIX = 3

# A field or a parameter of the query, and what its value has to be.
cdef class Wanted:
    cdef ValueTest test
    cdef bytes value                    # of V_EQUAL and V_PREFIX
    cdef FieldName field                # None: a parameter of the query
    cdef bytes name                     # of the parameter
    cdef bint field_met(self, const Asked* asked) noexcept
    cdef bint parameter_met(self, const Asked* asked) noexcept

cdef class Conditions:
    cdef Filter methods                 # None: any
    cdef list fields                    # of Wanted
    cdef list query
    cdef Networks clients               # None: any
    # The first that the request does not meet.
    cdef Unmet unmet(self, const Asked* asked, const Origin* origin) noexcept
