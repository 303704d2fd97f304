"""What the supervisor says of itself to the admin process: a line of JSON when something has changed."""

from __future__ import annotations

import json
from typing import Any

from weir.control.crew import Member

__all__ = ["StatusLine"]


class StatusLine:
    """Remembers what was said to whom, so that only news is sent."""

    def __init__(self) -> None:
        self._to: Member | None = None
        self._said = b""

    def tell(self, member: Member, status: dict[str, Any]) -> None:
        """Says it to the admin process, if it is news; if that is behind with reading, the next time."""
        if member.line_ended:
            return
        line = json.dumps(status).encode() + b"\n"
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
