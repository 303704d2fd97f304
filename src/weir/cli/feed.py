"""What `weir top` shows, as it comes: a thread that watches, says so when it cannot, and tries again."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from weir.cli.answers import Answer, AnswerError, Status, answer_of, status_of
from weir.cli.call import Caller, CallError

__all__ = ["Asked", "Feed", "Update"]

# Between attempts to reconnect: doubled each time.
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 10.0
# A stream may be silent for an interval; so much later it is taken for lost.
GRACE_S: Final = 5.0
# What the first picture covers, before the first interval has passed.
FIRST_WINDOW_S: Final = 5.0


class Asked(NamedTuple):
    """What is to be watched: a Filter, one of the contract's SORT_..., and so on; `interval` in seconds."""

    chosen: dict[str, str]
    sort: str
    reverse: bool
    limit: int
    interval: float
    histograms: bool


class Update(NamedTuple):
    """An answer with the state of the instance, or the problem why there is none; `asked` is what it answers."""

    asked: Asked
    answer: Answer | None
    status: Status | None
    problem: str
    first: bool = False


class Feed:
    """Keeps the newest update in one place, however slowly it is taken; writes a byte to `wake_fd` for each.

    `make` gives a Caller; each stream has one of its own. close() ends the thread.
    """

    def __init__(self, make: Callable[[], Caller], wake_fd: int) -> None:
        self._make = make
        self._wake_fd = wake_fd
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closing = False
        self._asked: Asked | None = None
        self._caller: Caller | None = None
        self._newest: Update | None = None
        self._thread = threading.Thread(target=self._run, name="weir-feed", daemon=True)

    def ask(self, asked: Asked) -> None:
        """Watch this from now on."""
        with self._lock:
            if asked == self._asked:
                return
            self._asked = asked
            caller = self._caller
        self._changed.set()
        if caller is not None:
            caller.close()
        if not self._thread.is_alive():
            self._thread.start()

    def take(self) -> Update | None:
        """The newest update, once."""
        with self._lock:
            update, self._newest = self._newest, None
        return update

    def close(self) -> None:
        """Ends what is under way, and the thread within about a second."""
        with self._lock:
            self._closing = True
            caller = self._caller
        self._changed.set()
        if caller is not None:
            caller.close()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        wait = FIRST_WAIT_S
        while True:
            with self._lock:
                if self._closing or self._asked is None:
                    return
                self._changed.clear()
                asked, self._caller = self._asked, self._make()
                caller = self._caller
            try:
                for update in self._updates(caller, asked):
                    wait = FIRST_WAIT_S
                    self._put(update)
            except (CallError, AnswerError) as error:
                if self._changed.is_set():
                    continue
                problem = str(error).partition("\n")[0]
                lasting = not (isinstance(error, CallError) and error.retry)
                again = "" if lasting else f"; trying again in {wait:g} s"
                self._put(Update(asked, None, None, problem + again))
                # What time does not heal is tried again as well, but seldom: a token's file may be put right.
                self._changed.wait(LONGEST_WAIT_S if lasting else wait)
                wait = min(2 * wait, LONGEST_WAIT_S)

    def _updates(self, caller: Caller, asked: Asked) -> Iterator[Update]:
        request: dict[str, Any] = {
            "filter": asked.chosen,
            "sort": asked.sort,
            "reverse": asked.reverse,
            "limit": asked.limit,
            "histograms": asked.histograms,
        }
        window = {"window": f"{max(FIRST_WINDOW_S, asked.interval):.3f}s"}
        answer = answer_of(caller.call("GetStats", request | window))
        yield Update(asked, answer, self._status(), "", first=True)
        request["interval"] = f"{asked.interval:.3f}s"
        for message in caller.watch("WatchStats", request, 2 * asked.interval + GRACE_S):
            yield Update(asked, answer_of(message.get("stats") or {}), self._status(), "")

    def _status(self) -> Status:
        return status_of(self._make().call("GetStatus", {}))

    def _put(self, update: Update) -> None:
        with self._lock:
            self._newest = update
        # It fails when it is full, and a byte is there already, or closed, and nobody looks any more.
        with contextlib.suppress(OSError):
            os.write(self._wake_fd, b"u")
