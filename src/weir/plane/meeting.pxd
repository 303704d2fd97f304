# Where an exchange meets Python: its hooks, phase by phase.

from weir.plane.exchange cimport Exchange
from weir.plane.hooks cimport Hook, Phase

cdef enum:
    MEET_GO = 0             # go on
    MEET_WAITS = 1          # a coroutine is awaited: exchange.go_on(phase) is called when it is done
    MEET_OVER = 2           # it was answered, or has failed: the exchange is over

# Which hooks the request meets, at any phase. Right after its head was parsed.
cdef int choose_hooks(Exchange exchange) except -1
# Calls the hooks of a phase that are left.
cdef int meet(Exchange exchange, Phase phase) except -1
# The same of phase "upstream", for an attempt: its request's fields are again as they were before the first one.
cdef int meet_attempt(Exchange exchange) except -1
# Hooks of the phases of bodies are put in their way: before the request is sent, before the response goes on.
cdef int meet_request_body(Exchange exchange) except -1
# ... MEET_GO or MEET_OVER.
cdef int meet_response_body(Exchange exchange) except -1
# The coroutine that is awaited has taken too long.
cdef int hook_overdue(Exchange exchange) except -1
# Phase "log": nothing that a hook does there matters to the exchange.
cdef int meet_log(Exchange exchange) except -1

cdef class Call:
    cdef Exchange exchange              # None: nobody waits any more
    cdef Hook hook
    cdef Phase phase
    cdef object coroutine
    cdef object task
