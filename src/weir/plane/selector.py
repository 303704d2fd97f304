"""asyncio's face of the engine: a `selectors.BaseSelector` that serves the plane inside select().

The interpreter looks descriptors up by get_key() (to 3.12) or get_map().get (from 3.13); both are here.
"""

from __future__ import annotations

import math
import selectors
from collections.abc import Mapping
from typing import Any

from weir.plane.engine import Engine

__all__ = ["EngineSelector"]

_IN = 0x001
_OUT = 0x004


def _descriptor(fileobj: Any) -> int:
    fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    if not isinstance(fd, int) or fd < 0:
        raise ValueError(f"invalid file descriptor: {fileobj!r}")
    return fd


class EngineSelector(selectors.BaseSelector):
    """Registers asyncio's descriptors in the engine's epoll set, beside the plane's sockets.

    select() turns the engine: it returns when one of asyncio's own descriptors is ready, when the timeout
    is due, or when the plane has called into Python; the plane's sockets are served all the while.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watches fileobj. KeyError if it is registered already, ValueError for a bad descriptor or mask."""
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"invalid events: {events!r}")
        fd = _descriptor(fileobj)
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        self.engine.add_foreign(fd, self._mask(events))
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Stops watching fileobj. KeyError if it is not registered."""
        fd = self._find(fileobj)
        key = self._keys.pop(fd)
        self.engine.remove_foreign(fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Changes mask and data of a registered fileobj. KeyError if it is not registered."""
        fd = self._find(fileobj)
        key = self._keys[fd]
        if events != key.events:
            self.engine.change_foreign(fd, self._mask(events))
        key = self._keys[fd] = key._replace(events=events, data=data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Serves the plane until asyncio is wanted; timeout in seconds, None: no limit, <= 0: one batch."""
        timeout_ms = -1 if timeout is None else 0 if timeout <= 0 else math.ceil(timeout * 1e3)
        ready = []
        for fd, events in self.engine.turn(timeout_ms):
            key = self._keys.get(fd)
            if key is None:
                continue
            # Errors and hang-ups count as both, so that whoever waits finds out by trying.
            mask = (events & ~_IN and selectors.EVENT_WRITE) | (events & ~_OUT and selectors.EVENT_READ)
            if mask & key.events:
                ready.append((key, mask & key.events))
        return ready

    def close(self) -> None:
        """Forgets asyncio's descriptors and closes the epoll set."""
        self._keys.clear()
        self.engine.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """The key of fileobj. KeyError if it is not registered."""
        return self._keys[self._find(fileobj)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Descriptor to key."""
        return self._keys

    def _find(self, fileobj: Any) -> int:
        try:
            fd = _descriptor(fileobj)
        except ValueError:
            # A closed file has no number any more: look for the object itself.
            for key in self._keys.values():
                if key.fileobj is fileobj:
                    return key.fd
            raise KeyError(f"{fileobj!r} is not registered") from None
        if fd not in self._keys:
            raise KeyError(f"{fileobj!r} is not registered")
        return fd

    @staticmethod
    def _mask(events: int) -> int:
        return (_IN if events & selectors.EVENT_READ else 0) | (_OUT if events & selectors.EVENT_WRITE else 0)
