# An exchange before it is sent: let in, made to wait, or refused, as its listener's rules say.

from weir.plane.exchange cimport Exchange

# Asks the rules, which the listener has. True: it goes on now. Else it waits, or is over already.
cdef bint let_in(Exchange exchange) except -1
# It has waited. True: it goes on now. Else it is over.
cdef bint let_go(Exchange exchange) except -1
