"""One direction of bytes, with perhaps one fault in it at one position.

A fault is on the client's or the endpoint's side, in the direction to or from weir, behind `at` bytes that passed
there. A run has one; the pipe that meets it says so by `met`, and whoever moves the bytes does what the kind says:

- `cut`, `reset`: the connection ends in both directions, with FIN or with RST;
- `half`: this direction ends with FIN, the other goes on;
- `stall`: nothing passes in this direction any more;
- `split`: the rest comes a moment later;
- `delay`: the rest comes when the other direction has said all that it will.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CALM", "KINDS", "SIDES", "WAYS", "Fault", "Pipe"]

SIDES = ("client", "endpoint")
WAYS = ("to", "from")
KINDS = ("cut", "reset", "half", "stall", "split", "delay")
CALM = {"split", "delay"}  # nothing is lost: everything must come out as if there were no fault


@dataclass(frozen=True)
class Fault:
    side: str
    way: str
    kind: str
    at: int

    def __str__(self) -> str:
        return f"{self.kind} behind byte {self.at} {self.way} weir on the {self.side}'s side"


class Pipe:
    """All bytes of a run in one direction on one side, over as many connections as it takes.

    `passed` counts them. `push` gives what passes at once; the rest is in `held` when the fault is met.
    """

    def __init__(self, fault: Fault | None) -> None:
        self.fault = fault
        self.passed = 0
        self.met = False
        self.held = b""

    @property
    def room(self) -> int:
        """How many bytes pass before the fault; -1: any number."""
        return -1 if self.fault is None or self.met else self.fault.at - self.passed

    def push(self, data: bytes) -> bytes:
        if self.fault is None or self.met or self.passed + len(data) < self.fault.at:
            self.passed += len(data)
            return data
        now = data[: self.fault.at - self.passed]
        self.held = data[len(now) :]
        self.passed += len(now)
        self.met = True
        return now

    def take_held(self) -> bytes:
        data, self.held = self.held, b""
        self.passed += len(data)
        return data
