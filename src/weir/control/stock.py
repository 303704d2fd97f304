"""The listening sockets that the supervisor holds for its workers, over all their lives.

A stock belongs to a plan. The stock of the next plan takes over the very sockets of addresses that stay, so that
nobody who is connecting notices; then one of the two is given up, and what only it has is closed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from weir.config.plan import ListenerPlan, Plan
from weir.control.passed import Passed
from weir.control.sockets import bind_copies, bound_text, more_copies, settle, unbind

__all__ = ["Stock"]

# The text of an address, and how many listeners before it have the same one (several may have port 0).
Key = tuple[str, int]


class Stock:
    """A plan's sockets: for each listener, in `copies` lists of sockets, one for each worker.

    There may be more lists than workers, where an earlier plan had more workers: all are served, for in each somebody
    may be waiting. `passed` are sockets to be taken rather than bound. Raises StartError, with nothing left bound that
    was not before.
    """

    def __init__(self, plan: Plan, workers: int, before: Stock | None = None, passed: Passed | None = None) -> None:
        self.workers = workers
        self.listeners: dict[Key, list[list[socket.socket]]] = {}
        try:
            for key, listener in keyed(plan):
                known = before.listeners.get(key) if before is not None else None
                if known is None:
                    known = (passed or Passed()).take(listener.address)
                if known:
                    self.listeners[key] = list(known)
                    more_copies(listener, self.listeners[key], workers)
                else:
                    self.listeners[key] = bind_copies(listener, workers)
        except BaseException:
            self.close(keep=before)
            raise

    @classmethod
    def of(cls, listeners: dict[Key, list[list[socket.socket]]]) -> Stock:
        """Sockets that another process has had: to be taken over from."""
        stock = cls(Plan((), (), ()), 0)
        stock.listeners = listeners
        return stock

    def settle(self, plan: Plan) -> None:
        """The plan is in use: what it says of sockets that it took over holds for them now."""
        for (_key, listener), copies in zip(keyed(plan), self.listeners.values(), strict=True):
            for sock in {sock for copy in copies for sock in copy}:
                settle(sock, listener)

    def release(self) -> None:
        """Closes all sockets, and leaves files where they are: they are another process's now."""
        for sock in self.sockets():
            sock.close()
        self.listeners = {}

    def sockets(self) -> set[socket.socket]:
        return {sock for copies in self.listeners.values() for copy in copies for sock in copy}

    def share(self, worker: int) -> list[tuple[int, socket.socket]]:
        """What worker number `worker` serves: sockets with the number of their listener in the plan."""
        bound = []
        for number, copies in enumerate(self.listeners.values()):
            mine = [sock for copy in copies[worker :: self.workers] for sock in copy]
            bound += [(number, sock) for sock in dict.fromkeys(mine)]
        return bound

    def texts(self) -> list[str]:
        """Where it listens, as a person writes it."""
        return [bound_text(sock) for copies in self.listeners.values() for sock in copies[0]]

    def close(self, keep: Stock | None = None) -> None:
        """Closes all sockets but those that `keep` has, too, and is empty. The files of Unix sockets go with them."""
        for sock in self.sockets() - (keep.sockets() if keep is not None else set()):
            unbind(sock)
        self.listeners = {}


def keyed(plan: Plan) -> Iterator[tuple[Key, ListenerPlan]]:
    seen: dict[str, int] = {}
    for listener in plan.listeners:
        text = listener.address.text
        yield (text, seen.get(text, 0)), listener
        seen[text] = seen.get(text, 0) + 1
