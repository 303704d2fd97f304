"""Where an exchange meets Python.

What is hard here: a hook may do anything. It may raise, answer, take its time, or be awaited while the client leaves;
the exchange may end while it waits, and the coroutine may end after the exchange. So between the two stands a Call,
which either has an exchange or has not, and what a hook says is only heard while it has.

A plain function is called here and now. A coroutine becomes a task of the running loop, with all that asyncio gives
tasks (timeouts, cancellation, context), and the exchange waits: in state "held" before it is sent, in state "sent"
with its response head in head_buf. Nothing is read from either side meanwhile.
"""

import asyncio

from libc.stdint cimport int64_t

from weir.plane.answer cimport Answer
from weir.plane.bodied cimport Bodied, made_body
from weir.plane.bodies cimport Body
from weir.plane.codes cimport (
    R_BODY_TOO_LARGE, R_HOOK_FAILED, R_HOOK_TIMEOUT, R_NONE, R_RESPONSE_TOO_LARGE, Reason,
)
from weir.plane.edits cimport Edits
from weir.plane.exchange cimport Exchange, ExchangeOwner
from weir.plane.framing cimport B_NONE
from weir.plane.filters cimport Asked
from weir.plane.head cimport M_HEAD
from weir.plane.hooks cimport (
    PHASE_LOG, PHASE_REQUEST, PHASE_REQUEST_BODY, PHASE_RESPONSE, PHASE_RESPONSE_BODY, PHASE_UPSTREAM, Hook, Hooks,
    Phase,
)
from weir.plane.messages cimport Request
from weir.plane.passage cimport Passage
from weir.plane.states cimport E_HELD, E_OVER, MACHINE_EXCHANGE
from weir.plane.tally cimport HC_CALLS, MC_ASKED, MC_MET, tally_ns
from weir.plane.workspace cimport move

from weir.plane.attend import attend, let_go
from weir.plane.piecewise import BodyCut, BodyTooLarge, bound

cdef enum:
    AT_ONCE = 262144        # bytes of an answer's body that wait in one buffer; a larger one goes as it is taken


cdef class Call:
    """A coroutine of a hook, and the exchange that waits for it."""

    def cancel(self) -> None:
        """Nobody waits any more."""
        task = self.task
        if self.exchange is not None:
            self.exchange.workspace.engine.want_python()
        self.exchange = None
        self.task = None
        if task is not None:
            task.cancel()
            let_go(self.coroutine)
            self.coroutine = None

    def done(self, said, error, int64_t spent_ns) -> None:
        """The coroutine has ended: with what it says, or with an exception."""
        cdef Exchange exchange = self.exchange
        self.exchange = None
        self.task = None
        self.coroutine = None
        if exchange is None:
            return
        exchange.workspace.clock.tick()
        if self.hook.tally.spent(spent_ns, exchange.workspace.clock.now_us) and error is None:
            error = meeting_too_slow(self.hook, spent_ns)
        try:
            exchange.workspace.engine.enter()
            meeting_resume(exchange, self.hook, self.phase, said, error)
        except Exception as failure:
            exchange.workspace.engine.failed(exchange, failure)


cdef Request meeting_view(Exchange exchange):
    cdef Request view
    if exchange.view is None:
        exchange.view = Request.__new__(Request)
    view = <Request>exchange.view
    if view.exchange is None:
        view.exchange = exchange
    return view


cdef int choose_hooks(Exchange exchange) except -1:
    cdef Asked asked
    cdef ExchangeOwner owner = exchange.owner
    cdef Hooks hooks = exchange.route.hooks
    asked.p = owner.inbuf.data + exchange.head.at
    asked.head = &exchange.workspace.request_head
    asked.client = owner.client
    asked.client_length = owner.client_length
    asked.scratch = exchange.workspace.compose
    exchange.hooked = hooks.select(&asked)
    hooks.together.counts[<int>MC_ASKED] += 1
    hooks.together.counts[<int>MC_MET] += exchange.hooked != 0
    if exchange.hooked and hooks.on_met is not None:
        call = hooks.on_met
        hooks.on_met = None
        call()
    return 0


cdef int meet(Exchange exchange, Phase phase) except -1:
    cdef Request view = meeting_view(exchange)
    cdef list entries = (<Hooks>exchange.route.hooks).entries
    cdef Hook hook
    cdef int outcome
    while view.next < <unsigned int>len(entries):
        hook = <Hook>entries[view.next]
        view.next += 1
        if hook.phase != phase or not exchange.hooked >> (view.next - 1) & 1:
            continue
        outcome = meeting_call(exchange, view, hook, phase)
        if outcome != MEET_GO:
            return outcome
    view.next = 0
    return MEET_GO


cdef int meet_attempt(Exchange exchange) except -1:
    cdef Request view = meeting_view(exchange)
    if view.attempted:
        exchange.request_edits = None if view.unattempted is None else view.unattempted.copy()
    else:
        view.attempted = True
        view.unattempted = None if exchange.request_edits is None else exchange.request_edits.copy()
    return meet(exchange, PHASE_UPSTREAM)


cdef int meeting_call(Exchange exchange, Request view, Hook hook, Phase phase) except -1:
    cdef Bodied message
    cdef int64_t begun, spent
    if hook.tally.rests(exchange.workspace.clock.now_us):
        return MEET_GO
    hook.tally.counts[<int>HC_CALLS] += 1
    message = view.response_view() if phase == PHASE_RESPONSE else view
    message.calls = hook
    begun = tally_ns()
    try:
        said = hook.function(message)
    except BaseException as error:      # SystemExit, too: nobody is there to whom it could be told
        hook.tally.spent(tally_ns() - begun, exchange.workspace.clock.now_us)
        return meeting_failed(exchange, hook, error)
    spent = tally_ns() - begun
    # What is awaited is measured when it is done; most plain functions say nothing, and need not be looked at.
    if (said is None or not asyncio.iscoroutine(said)) and hook.tally.spent(spent, exchange.workspace.clock.now_us):
        return meeting_failed(exchange, hook, meeting_too_slow(hook, spent))
    if said is None:
        return MEET_GO
    return meeting_heard(exchange, view, hook, phase, said)


cdef int meeting_heard(Exchange exchange, Request view, Hook hook, Phase phase, object said) except -1:
    """What a hook has returned that is not None."""
    cdef Call call
    cdef int64_t patience_ms = hook.timeout_ms
    if isinstance(said, Answer) and phase in (PHASE_REQUEST, PHASE_RESPONSE):
        return meeting_answer(exchange, <Answer>said)
    if not asyncio.iscoroutine(said):
        return meeting_failed(exchange, hook, TypeError(
            f"a hook of phase {('request', 'upstream', 'response', 'log')[<int>phase]} returned {type(said).__name__}"
        ))
    if phase == PHASE_UPSTREAM:
        said.close()
        return meeting_failed(exchange, hook, TypeError(
            "a hook of phase upstream cannot be awaited: it is a plain function"
        ))
    call = Call.__new__(Call)
    call.exchange = exchange
    call.hook = hook
    call.phase = phase
    call.coroutine = said
    call.task = asyncio.get_running_loop().create_task(attend(call, said))
    view.call = call
    exchange.calling = True
    if phase == PHASE_REQUEST:
        meeting_hold(exchange)
    if exchange.gives_up_ms > 0 and not exchange.head_held:
        # No longer than the client waits.
        patience_ms = min(patience_ms, max(exchange.gives_up_ms - exchange.workspace.clock.now_us // 1000, <int64_t>0))
    exchange.workspace.wheel.arm(exchange, patience_ms)
    exchange.workspace.engine.want_python()
    return MEET_WAITS


cdef int meeting_hold(Exchange exchange) except -1:
    if exchange.state == E_OVER:
        exchange.state = move(exchange.workspace, MACHINE_EXCHANGE, exchange.state, E_HELD)
    return 0


cdef int meeting_resume(Exchange exchange, Hook hook, Phase phase, object said, object error) except -1:
    cdef Request view = <Request>exchange.view
    cdef int outcome = MEET_GO
    view.call = None
    exchange.calling = False
    exchange.workspace.wheel.disarm(exchange)
    if error is not None:
        outcome = meeting_failed(exchange, hook, error)
    elif said is not None:
        outcome = meeting_heard(exchange, view, hook, phase, said)
    if outcome == MEET_GO:
        outcome = meet(exchange, phase)
    if outcome == MEET_GO:
        return exchange.go_on(phase)
    return 0


cdef object meeting_too_slow(Hook hook, int64_t spent_ns):
    return TimeoutError(f"it took {spent_ns / 1e6:.3f} ms; its budget is {hook.tally.budget_ns / 1e6:.3f} ms")


cdef int meeting_failed(Exchange exchange, Hook hook, object error) except -1:
    cdef Reason reason = meeting_reason(exchange, error)
    if reason == R_HOOK_FAILED:
        hook.complain(error, exchange.workspace.clock.now_us)
    if hook.skips:
        return MEET_GO
    meeting_hold(exchange)
    exchange.fail(reason)
    return MEET_OVER


cdef Reason meeting_reason(Exchange exchange, object error):
    """What has failed: the hook, or the body that it was reading."""
    cdef Passage passage
    cdef bint answers = exchange.response_passage is not None
    if isinstance(error, BodyTooLarge):
        return R_RESPONSE_TOO_LARGE if answers else R_BODY_TOO_LARGE
    if isinstance(error, BodyCut):
        passage = exchange.response_passage if answers else exchange.request_passage
        if passage is not None and (<Body>passage).cut != R_NONE:
            return (<Body>passage).cut
    return R_HOOK_FAILED


cdef int meeting_answer(Exchange exchange, Answer answer) except -1:
    cdef bint keep
    meeting_hold(exchange)
    if (answer.pieces is not None or len(answer.body) > AT_ONCE) and exchange.method != M_HEAD:
        exchange.meets_response = False
        made_body(exchange, meeting_view(exchange), answer.body if answer.pieces is None else answer.pieces)
        exchange.owner.answer_pieces(exchange, answer)
        return MEET_OVER
    keep = exchange.may_keep()
    exchange.status = exchange.owner.answer_own(exchange, answer, keep)
    exchange.finish(False, keep and exchange.status != 0)
    return MEET_OVER


cdef int meet_request_body(Exchange exchange) except -1:
    # With no body, of length 0, comes a request for another protocol.
    if exchange.framing.kind != B_NONE and not exchange.upgrade:
        meeting_hold(exchange)          # there may be no memory for it
        try:
            meeting_add(exchange, meeting_view(exchange), PHASE_REQUEST_BODY)
        except ValueError as error:
            return meeting_failed(exchange, meeting_view(exchange).calls, error)
    if exchange.hooked & (<Hooks>exchange.route.hooks).masks[<int>PHASE_RESPONSE_BODY]:
        # A hook of bodies is for whole ones: who asks for a part is sent all of it.
        if exchange.request_edits is None:
            exchange.request_edits = Edits.__new__(Edits)
        exchange.request_edits.remove_field(b"range")
        exchange.request_edits.remove_field(b"if-range")
    return 0


cdef int meet_response_body(Exchange exchange) except -1:
    exchange.meets_response = True
    exchange.workspace.response_owner = exchange
    try:
        meeting_add(exchange, meeting_view(exchange).response_view(), PHASE_RESPONSE_BODY)
    except ValueError as error:
        return meeting_failed(exchange, meeting_view(exchange).answered.calls, error)
    return MEET_GO


cdef int meeting_add(Exchange exchange, Bodied message, Phase phase) except -1:
    cdef Hook hook
    for number, entry in enumerate((<Hooks>exchange.route.hooks).entries):
        hook = <Hook>entry
        if hook.phase == phase and exchange.hooked >> <int>number & 1:
            hook.tally.counts[<int>HC_CALLS] += 1
            message.calls = hook
            message.transform(bound(hook.function, message))
    return 0


cdef int hook_overdue(Exchange exchange) except -1:
    cdef Request view = <Request>exchange.view
    cdef Call call = view.call
    view.call = None
    exchange.calling = False
    call.hook.overdue(exchange.workspace.clock.now_us)
    skips = call.hook.skips
    phase = call.phase
    call.cancel()
    if skips:
        return exchange.go_on(phase) if meet(exchange, phase) == MEET_GO else 0
    return exchange.fail(R_HOOK_TIMEOUT)


cdef int meet_log(Exchange exchange) except -1:
    cdef Request view = meeting_view(exchange)
    cdef Hook hook
    cdef int64_t begun
    for number, entry in enumerate((<Hooks>exchange.route.hooks).entries):
        hook = <Hook>entry
        if hook.phase != PHASE_LOG or not exchange.hooked >> <int>number & 1:
            continue
        if hook.tally.rests(exchange.workspace.clock.now_us):
            continue
        hook.tally.counts[<int>HC_CALLS] += 1
        begun = tally_ns()
        try:
            said = hook.function(view)
            if asyncio.iscoroutine(said):
                said.close()
                raise TypeError("a hook of phase log cannot be awaited: it is a plain function")
        except BaseException as error:
            hook.complain(error, exchange.workspace.clock.now_us)
        hook.tally.spent(tally_ns() - begun, exchange.workspace.clock.now_us)
    return 0
