"""Telling systemd how it stands (sd_notify(3)): datagrams to the socket in NOTIFY_SOCKET, if there is one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

__all__ = ["Notifier"]


class Notifier:
    """The service manager's ear; without one, nothing happens. It takes the variables out of `environment`.

    No message is ever waited for: a manager that does not read misses some.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.pop("NOTIFY_SOCKET", "")
        self._environment = {"NOTIFY_SOCKET": address} if address else {}
        usec, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        self._socket: socket.socket | None = None
        # Seconds between two signs of life: half of what the manager allows; 0: it wants none.
        self.watchdog_s = 0.0
        self._next = 0.0
        if address.startswith(("/", "@")):
            self._address = "\0" + address[1:] if address.startswith("@") else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            if usec.isdigit() and int(usec) > 0 and pid in ("", str(os.getpid())):
                self.watchdog_s = int(usec) / 2e6
                self._environment["WATCHDOG_USEC"] = usec

    def send(self, *assignments: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto("\n".join(assignments).encode(), self._address)

    def ready(self, status: str) -> None:
        """It serves, for the first time or with what was reloaded."""
        self.send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins; it ends with ready(), whatever comes of it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def handed_over(self, pid: int) -> None:
        """The main process of the service is another one from now on; that one tells the rest."""
        self.send(f"MAINPID={pid}")
        self.close()

    def environment(self) -> dict[str, str]:
        """The variables that were taken out, for a process that is to speak for the service later."""
        return dict(self._environment)

    def stopping(self) -> None:
        self.send("STOPPING=1", "STATUS=finishing what is in flight")

    def alive(self, now: float) -> None:
        """Called more often than needed: gives a sign of life when one is due."""
        if self.watchdog_s and now >= self._next:
            self._next = now + self.watchdog_s
            self.send("WATCHDOG=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
