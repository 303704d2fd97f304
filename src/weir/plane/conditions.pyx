"""What a route wants of a request beside its host and path.

A field, or a parameter of the query, that is there several times is present, and equals nothing: which of them the
endpoint takes is not known here, and a request must not choose its route with the one and be read by the other.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp

from weir.plane.filters cimport FIELD_MISSING, Asked, FieldName, Filter, filter_hex
from weir.plane.head cimport Field
from weir.plane.origin cimport Origin
from weir.plane.trust cimport Networks

_TESTS = {"present": V_PRESENT, "absent": V_ABSENT, "equal": V_EQUAL, "prefix": V_PREFIX}


cdef class Wanted:
    """`plan` is a `weir.config.plan.ValuePlan`, of a field or (with `is_parameter`) of the query."""

    def __cinit__(self, plan, bint is_parameter):
        self.test = _TESTS[plan.test]
        self.value = plan.value.encode()
        self.field = None if is_parameter else FieldName(plan.name)
        self.name = plan.name.encode()

    cdef bint field_met(self, const Asked* asked) noexcept:
        cdef int line = self.field.find(asked)
        cdef uint32_t n = <uint32_t>len(self.value)
        cdef const Field* field
        if self.test <= V_ABSENT:
            return (line == FIELD_MISSING) == (self.test == V_ABSENT)
        if line < 0:
            return False
        field = &asked.head.fields[line]
        if field.value_length < n or (self.test == V_EQUAL and field.value_length != n):
            return False
        return memcmp(asked.p + field.value, <const char*>self.value, n) == 0

    cdef bint parameter_met(self, const Asked* asked) noexcept:
        cdef const char* p = asked.p + asked.head.path_at + asked.head.path_length
        cdef uint32_t n = asked.head.query_length
        cdef uint32_t at = 1                # behind the question mark
        cdef uint32_t end, equals
        cdef uint32_t found = 0
        cdef bint met = False
        while at < n:
            end = at
            equals = 0
            while end < n and p[end] != c"&":
                if p[end] == c"=" and equals == 0:
                    equals = end
                end += 1
            if equals == 0:
                equals = end
            if conditions_reads(p + at, equals - at, self.name, <uint32_t>len(self.name), False):
                found += 1
                if self.test >= V_EQUAL:
                    equals = min(equals + 1, end)
                    met = conditions_reads(
                        p + equals, end - equals, self.value, <uint32_t>len(self.value), self.test == V_PREFIX
                    )
            at = end + 1
        if self.test <= V_ABSENT:
            return (found == 0) == (self.test == V_ABSENT)
        return met and found == 1


cdef class Conditions:
    """`plan` is a `weir.config.plan.MatchPlan`."""

    def __cinit__(self, plan):
        self.methods = Filter(plan.methods) if plan.methods else None
        self.fields = [Wanted(field, False) for field in plan.fields]
        self.query = [Wanted(parameter, True) for parameter in plan.query]
        self.clients = Networks(plan.clients) if plan.clients else None

    cdef Unmet unmet(self, const Asked* asked, const Origin* origin) noexcept:
        cdef Wanted wanted
        if self.methods is not None and not self.methods.takes(asked):
            return U_METHOD
        for wanted in self.fields:
            if not wanted.field_met(asked):
                return U_FIELD
        if self.clients is not None and not self.clients.has(origin):
            return U_CLIENT
        for wanted in self.query:
            if not wanted.parameter_met(asked):
                return U_QUERY
        return U_NONE


cdef bint conditions_reads(const char* s, uint32_t n, const char* text, uint32_t m, bint as_prefix) noexcept nogil:
    # Whether s[0:n], decoded as forms encode (a plus is a space), is text[0:m], or begins with it.
    cdef uint32_t at = 0
    cdef uint32_t i = 0
    cdef char c
    while at < n:
        if i == m:
            return as_prefix
        c = s[at]
        if c == c"+":
            c = c" "
        elif c == c"%" and at + 2 < n and filter_hex(s[at + 1]) >= 0 and filter_hex(s[at + 2]) >= 0:
            c = <char>(filter_hex(s[at + 1]) << 4 | filter_hex(s[at + 2]))
            at += 2
        if c != text[i]:
            return False
        at += 1
        i += 1
    return i == m
