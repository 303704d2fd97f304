"""Taking over from a weir that runs: the side of the new one. The old one's, and what they say, is `upgrade`."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Any

from weir.config.plan import Plan
from weir.control.errors import StartError
from weir.control.sockets import PassedSocket
from weir.control.stock import Key, Stock
from weir.control.upgrade import ADMIN, FORM, READY, TAKE, VARIABLE, descriptors, receive
from weir.control.worker import name_plan
from weir.stats import layout

__all__ = ["Predecessor"]

log = logging.getLogger("weir")


class Predecessor:
    """The new one's side: what was inherited, and the line to the old one.

    `stock` are the listening sockets, `admin_address` and `admin_sockets` those of the admin address. `may_take` and
    `may_admin` are what the old one has given up, `is_gone` that it has ended. StartError from from_environment() if
    what was inherited cannot be understood.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        for fd in descriptors(told):
            os.set_inheritable(fd, False)
        self.channel = socket.socket(fileno=told["channel"])
        self.channel.setblocking(False)
        listeners: dict[Key, list[list[socket.socket]]] = {}
        known: dict[int, socket.socket] = {}
        for text, nth, copies in told["listeners"]:
            listeners[text, nth] = [[adopt(fd, passed, known) for fd, passed in copy] for copy in copies]
        self.stock = Stock.of(listeners)
        self.admin_address: str = told["admin"][0]
        self.admin_sockets = [adopt(fd, passed, known) for fd, passed in told["admin"][1]]
        self.free: list[int] = told["free"]
        self.pid_file: str = told["pid_file"]
        self._table: int = told["table"]
        self.may_take = self.may_admin = self.is_gone = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> Predecessor | None:
        """None if there is none. Takes the variable out of `environment`."""
        environment = os.environ if environment is None else environment
        text = environment.pop(VARIABLE, "")
        if not text:
            return None
        try:
            with open(int(text), "rb") as description:
                description.seek(0)
                told = json.loads(description.read())
            if told["form"] != FORM:
                raise StartError(f"this weir cannot take over from the one that runs (form {told['form']}): restart it")
            return cls(told)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StartError(f"{VARIABLE} in the environment is not from a weir that runs: {error}") from error

    def table(self, plan: Plan, workers: int) -> layout.Table | None:
        """The statistics table, if this weir and this plan can go on with it; else None, and it is said why."""
        try:
            memory = layout.attach(self._table, writable=True)
        except (layout.LayoutError, OSError) as error:
            os.close(self._table)
            log.warning("statistics begin anew: %s", error)
            return None
        header = layout.read_header(memory)
        why = ""
        if header.rows != plan.stats.rows:
            why = f"stats.rows is {plan.stats.rows} now, and was {header.rows}"
        elif header.workers < 2 * workers + 2:
            why = f"the table has no room for {workers} workers"
        else:
            try:
                name_plan(memory, plan)
            except ValueError as error:
                why = str(error)
        if why:
            memory.close()
            log.warning("statistics begin anew: %s", why)
            return None
        if len(self.free) < workers:
            raise StartError(
                "workers of earlier reloads still drain, and there is no room for new ones: try again later"
            )
        return memory

    def say_ready(self) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(READY)

    def on_readable(self) -> None:
        said = receive(self.channel)
        self.is_gone = said == b""
        self.may_take |= self.is_gone or TAKE in (said or b"")
        self.may_admin |= self.is_gone or ADMIN in (said or b"")
        if self.is_gone:
            self.channel.close()


def adopt(fd: int, passed: bool, known: dict[int, socket.socket]) -> socket.socket:
    """The listening socket behind a descriptor; the same one for the same descriptor, which may stand in many lists."""
    if fd not in known:
        known[fd] = PassedSocket(fileno=fd) if passed else socket.socket(fileno=fd)
        known[fd].setblocking(False)
    return known[fd]
