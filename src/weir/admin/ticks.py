"""What watchers share: the frame of a tick, the difference to the one before, and the answer to the same question.

A watcher has counted up to some frame, which somebody has to keep until its next step. Those who keep up all stand at
the same frame; each that is slow may stand at one of its own. So frames that are not the newest are kept packed (some
180 kB in place of 17 MB, with 4096 series), all of them in a bounded number of bytes. Whoever stands at the oldest when
they are too many has lost its place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from weir.stats.frame import Frame, unpack

__all__ = ["LostError", "Ticks", "Watcher"]

# Of packed frames at which watchers stand.
HELD_BYTES: Final = 32 << 20
# Answers of the newest tick that are kept for other watchers with the same question.
MOST_ANSWERS: Final = 64
# Differences to the newest frame: one for each frame at which watchers stand that keep up, by their intervals.
MOST_DELTAS: Final = 4

Answer = TypeVar("Answer")
Key = TypeVar("Key")


class LostError(Exception):
    """A watcher was slow for so long that the frame from which it was to go on is gone."""


@dataclass(slots=True)
class Place:
    """A frame at which watchers stand: how many, and the frame, packed once it is not the newest any more."""

    watchers: int
    frame: Frame | None
    packed: bytes = b""


class Ticks(Generic[Answer]):
    """One for all watchers of a service. `take()` makes a frame, the same for all who ask in the same moment.

    `held_bytes` bounds what slow watchers may cost, all of them together.
    """

    def __init__(self, take: Callable[[], Frame], held_bytes: int = HELD_BYTES) -> None:
        self._take = take
        self._most_bytes = held_bytes
        self._places: OrderedDict[int, Place] = OrderedDict()
        self._held_bytes = 0
        # The newest frame, the differences to frames at which watchers stood, and what was made of them.
        self._newest: Frame | None = None
        self._deltas: dict[int, Frame] = {}
        self._answers: dict[tuple[int, object], Answer] = {}

    @property
    def held_bytes(self) -> int:
        """Of packed frames at which watchers stand."""
        return self._held_bytes

    def begin(self) -> Watcher[Answer]:
        """A watcher that counts from now on. It has to be left with Watcher.close()."""
        watcher = Watcher(self)
        watcher.at = self._stand(self._take())
        return watcher

    def step(
        self, watcher: Watcher[Answer], question: object, answer: Callable[[Frame], Answer], fresh_us: int | None = None
    ) -> Answer:
        """What `answer` makes of all that was counted since the watcher's last step.

        It is called once for all watchers that stand at the same frame and have the same `question`. A frame that was
        taken at `fresh_us` (microseconds since 1970) or later will do for another watcher, too. None: one is taken.
        """
        at, place = watcher.at, self._places.get(watcher.at)
        if place is None:
            raise LostError
        now = self._newest
        if now is None or fresh_us is None or now.taken_us < max(fresh_us, at + 1):
            now = self._take()
        if self._newest is None or now.taken_us != self._newest.taken_us:
            self._forget_answers()
            self._newest = now
        key = (at, question)
        if key not in self._answers:
            if at not in self._deltas:
                before = place.frame if place.frame is not None else unpack(place.packed)
                make_room(self._deltas, MOST_DELTAS)[at] = now.minus(before)
            make_room(self._answers, MOST_ANSWERS)[key] = answer(self._deltas[at])
        made = self._answers[key]
        self._leave(at)
        watcher.at = self._stand(now)
        return made

    def close(self, watcher: Watcher[Answer]) -> None:
        self._leave(watcher.at)
        watcher.at = -1
        if not self._places:
            self._forget_answers()
            self._newest = None

    def _stand(self, frame: Frame) -> int:
        place = self._places.get(frame.taken_us)
        if place is not None:
            place.watchers += 1
            return frame.taken_us
        for older in self._places.values():
            if older.frame is not None:
                older.packed, older.frame = older.frame.pack(), None
                self._held_bytes += len(older.packed)
        while self._held_bytes > self._most_bytes:
            self._forget(next(iter(self._places)))
        self._places[frame.taken_us] = Place(1, frame)
        return frame.taken_us

    def _leave(self, at: int) -> None:
        place = self._places.get(at)
        if place is not None:
            place.watchers -= 1
            if not place.watchers:
                self._forget(at)

    def _forget_answers(self) -> None:
        self._deltas.clear()
        self._answers.clear()

    def _forget(self, at: int) -> None:
        self._held_bytes -= len(self._places.pop(at).packed)


class Watcher(Generic[Answer]):
    """Up to which frame (`taken_us`) somebody has counted."""

    __slots__ = ("at", "ticks")

    def __init__(self, ticks: Ticks[Answer]) -> None:
        self.ticks = ticks
        self.at = -1

    def step(self, question: object, answer: Callable[[Frame], Answer], fresh_us: int | None = None) -> Answer:
        """As Ticks.step(). LostError when the watcher has no place any more."""
        return self.ticks.step(self, question, answer, fresh_us)

    def close(self) -> None:
        self.ticks.close(self)


def make_room(kept: dict[Key, Answer], most: int) -> dict[Key, Answer]:
    """The same dictionary, with room for one more: the first that came leaves."""
    if len(kept) >= most:
        del kept[next(iter(kept))]
    return kept
