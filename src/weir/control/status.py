"""What is said: to whoever runs weir, and to the admin process, a line of JSON when something has changed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from weir.config.plan import Plan
from weir.stats.rules import rule_name

if TYPE_CHECKING:
    from weir.control.crew import Member

__all__ = ["StatusLine", "say", "say_faults"]


class StatusLine:
    """Remembers what was said to whom, so that only news is sent."""

    def __init__(self) -> None:
        self._to: Member | None = None
        self._said = b""

    def tell(self, member: Member | None, members: Iterable[Member], **status: Any) -> None:
        """Says it to the admin process (`member`), with all workers among `members`, if it is news.

        If the admin process is behind with reading, it is said the next time.
        """
        if member is None or member.line_ended:
            return
        workers = [{"pid": one.pid, "worker": one.slot, "stage": one.stage.value} for one in members if one.slot >= 0]
        line = json.dumps({**status, "workers": workers}).encode() + b"\n"
        if member is self._to and line == self._said:
            return
        try:
            sent = member.channel.send(line)
        except OSError:
            return
        if sent != len(line):
            # The rest would be taken for a line: whoever reads so slowly hears no more.
            member.line_ended = True
        self._to, self._said = member, line


def say(line: str) -> None:
    """A message on standard error. In one piece, for other processes may be saying something, too.

    If nobody reads it any more, or the disk is full, it is lost: that is no reason to serve nobody.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"weir: {line}\n")
        sys.stderr.flush()


def say_faults(plan: Plan) -> None:
    """That faults are injected, should it be so: nobody is to look for a fault that was asked for."""
    for listener in plan.listeners:
        if listener.faults:
            names = ", ".join(rule_name(fault, place) for place, fault in enumerate(listener.faults))
            say(f"faults are injected into requests to {listener.address.text}, for tests: {names}")
