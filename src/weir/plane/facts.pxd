# What is known of an exchange, for the texts of its route; and its route's edits, where hooks see them.

from libc.stdint cimport uint32_t

from weir.plane.action cimport Lines
from weir.plane.exchange cimport Exchange
from weir.plane.fields cimport RequestPolicy
from weir.plane.phrase cimport Facts

# The facts of an exchange; False: the request's head was wanted, and is gone.
cdef bint gather(Exchange exchange, Facts* facts, bint wants_head) noexcept
# What the route says of Host and target, in the policy of a request that is composed: its head is parsed, and a path is
# written at the end of the workspace's compose buffer. How many bytes more the head may have for all edits; the same
# number, at least, is left free in front of that path.
cdef uint32_t apply_target(Exchange exchange, RequestPolicy* policy) noexcept
# The same of a request whose route says nothing of its path, where routes or hooks were chosen by it: what goes on has
# no dot segments and begins with one slash. Endpoints resolve `..` in their own ways, or not at all, and to many
# `//name` is a host: one that read another path than routes have would be reached past them.
cdef uint32_t settle_target(Exchange exchange, RequestPolicy* policy) noexcept
# Adds lines to the head compose[0:n]; its new length, 0: there is no room for them.
cdef uint32_t append_lines(Exchange exchange, Lines lines, uint32_t n) noexcept
# Hooks will see the request: what the route does with its head becomes its edits. 1: there is no room for them.
cdef int fill_edits(Exchange exchange) except -1
# What the route says of the response's head holds, whatever hooks said.
cdef int overrule(Exchange exchange) except -1
