"""The program under test: `weir run` as a process of its own, watched from outside.

`Proxy` starts it on a configuration, waits until it says that it listens, and at the end asks it to stop
and checks what it leaves behind. Everything known about it is read from /proc, its log and its sockets.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .peers import dial
from .wire import PATIENCE, Wire, eventually

__all__ = ["Proxy", "configuration", "descriptors_of", "free_port"]

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
READY = "weir: listening on "

Table = Mapping[str, Any]


def free_port() -> int:
    """A port that nothing listens on, below the range that the kernel gives to outgoing connections."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def configuration(tables: Table) -> str:
    """Nested tables as TOML: values first, then tables, and lists of tables as arrays of tables."""
    return "\n".join(_toml_lines(tables, ())) + "\n"


def _toml_lines(table: Table, path: tuple[str, ...]) -> list[str]:
    lines, below = [], []
    for key, value in table.items():
        here = (*path, key)
        name = ".".join(here)
        if isinstance(value, Mapping):
            below += [f"[{name}]", *_toml_lines(value, here)]
        elif isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            for item in value:
                below += [f"[[{name}]]", *_toml_lines(item, here)]
        else:
            shown = key if re.fullmatch("[A-Za-z0-9_-]+", key) else json.dumps(key)
            lines.append(f"{shown} = {json.dumps(value)}")
    return lines + below


def python_path() -> dict[str, str]:
    """The environment in which `python -m weir` is the weir that these tests would import."""
    spec = importlib.util.find_spec("weir")
    assert spec is not None, "weir cannot be imported"
    assert spec.origin is not None
    source = str(Path(spec.origin).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}


def descriptors_of(pid: int) -> dict[int, str]:
    """What a process has open, by number; one that is closed between the listing and the look is not there."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[int(entry.name)] = os.readlink(entry)
    return found


class Proxy:
    """A running `weir run -c FILE`. `addresses` are those that it says it listens on.

    `options` are given instead of the file; `descriptor_limit` is the hard limit that it runs under; `prefix` is the
    command that it is started by; `pass_fds` are descriptors that it inherits, `environment` are further variables.
    """

    def __init__(
        self,
        directory: Path,
        tables: Table,
        options: Sequence[str] | None = None,
        descriptor_limit: int = 0,
        prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log_path = directory / "access.log"
        self.config_path = directory / "weir.toml"
        self.config_path.write_text(configuration(tables))
        arguments = ["-c", str(self.config_path)] if options is None else list(options)
        if descriptor_limit:
            prefix = ["prlimit", f"--nofile={descriptor_limit}:{descriptor_limit}", *prefix]
        self.stdout_path = directory / "stdout"
        started = time.monotonic()
        with self.stdout_path.open("wb") as stdout:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "weir", "run", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env={**python_path(), **(environment or {})},
                pass_fds=pass_fds,
                text=True,
                # In an orphaned group, as many a CI has it, the kernel sends HUP to all when one ends while another one
                # is stopped, and some tests stop processes. A group of its own is none: its parent is in another one.
                process_group=0,
            )
        self.pid = self.process.pid
        self.stderr: list[str] = []
        # How lines begin that are no complaint to this test.
        self.expected_lines: tuple[str, ...] = ()
        self.expected_status = 0
        self.reader = threading.Thread(target=self._read_stderr, daemon=True)
        self.reader.start()
        self.expected = max(1, len(tables.get("listener", ())))
        eventually(self._is_ready, 60.0, "ready")
        self.ready_after = time.monotonic() - started
        self.resident_at_start = self.memory("Rss")
        self.idle_descriptors = self.descriptors()

    # -- where it is

    @property
    def addresses(self) -> list[str]:
        return [line.removeprefix(READY).strip() for line in self.stderr if line.startswith(READY)]

    def address(self, listener: int = 0) -> tuple[str, int] | str:
        text = self.addresses[listener]
        if text.startswith("unix:"):
            return text.removeprefix("unix:")
        host, _, port = text.removeprefix("http://").rpartition(":")
        return (host.strip("[]") or "127.0.0.1", int(port))

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self._host_and_port(0)[1]

    def url(self, path: str = "/", listener: int = 0) -> str:
        host, port = self._host_and_port(listener)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"

    def _host_and_port(self, listener: int) -> tuple[str, int]:
        address = self.address(listener)
        assert not isinstance(address, str), "a Unix socket has no port"
        return address

    def connect(self, listener: int = 0, timeout: float = 8.0, receive_buffer: int = 0) -> Wire:
        return dial(self.address(listener), timeout, receive_buffer)

    # -- what it uses

    def descriptors(self) -> list[str]:
        """What its descriptors are, sorted: `socket`, `pipe`, or the path of a file."""
        return sorted(what.split(":[")[0] for what in descriptors_of(self.pid).values())

    def memory(self, kind: str = "Pss") -> int:
        """Its `Pss` or `Rss` in bytes. Pages shared with other processes count by share in Pss."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(kind)

    def peak_memory(self) -> int:
        """The most it had resident since the start, or since `forget_peak`; bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def table_file(self) -> Path:
        """Its statistics table, to be opened by another process."""
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            # A descriptor may be closed between the listing and the look.
            with contextlib.suppress(FileNotFoundError):
                if "weir-statistics" in os.readlink(entry):
                    return entry
        raise AssertionError("no statistics table among its descriptors")

    def table(self) -> SimpleNamespace:
        """What its workers say in the shared table, as another process reads it: `series`, `workers`, and how many
        connections to endpoints are `open`."""
        from weir.stats import layout, reader

        with layout.attach(os.open(self.table_file(), os.O_RDONLY)) as table:
            taken = reader.snapshot(table, histograms=False)
            connections = sum(state.open for state in reader.endpoints(table))
            return SimpleNamespace(series=taken.series, workers=taken.workers, open=connections)

    def table_requests(self) -> int:
        """How many requests all its workers have counted."""
        return sum(series.counters.requests for series in self.table().series)

    # -- what it says

    def records(self) -> list[dict[str, Any]]:
        """The lines of its JSON access log so far."""
        if not self.log_path.exists():
            return []
        whole = self.log_path.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def logged(self, n: int = 1, timeout: float = 3.0, **wanted: object) -> list[dict[str, Any]]:
        """Waits until at least `n` lines of the log have these values, and returns those that do."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [r for r in self.records() if all(r.get(key) == value for key, value in wanted.items())]
            return len(found) >= n

        try:
            eventually(look, timeout)
        except AssertionError:
            tail = self.records()[-5:]
            raise AssertionError(f"{len(found)} of {n} log lines with {wanted}; the last ones: {tail}") from None
        return found

    # -- its end

    def alive(self) -> bool:
        return self.process.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def check_ledger(self, slack: int = 0, resident_limit: int = 64 << 20) -> None:
        """Back to the descriptors of its idle self, and not grown beyond reason."""
        assert self.alive(), f"weir has died with {self.process.returncode}: {self.stderr}"
        try:
            eventually(lambda: len(self.descriptors()) <= len(self.idle_descriptors) + slack, 5.0)
        except AssertionError:
            raise AssertionError(f"descriptors: {self.idle_descriptors} became {self.descriptors()}") from None
        grown = self.memory("Rss") - self.resident_at_start
        assert grown < resident_limit, f"grown by {grown >> 10} KiB"

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 10.0) -> int:
        """Asks it to stop and returns its exit status."""
        if self.alive():
            self.send_signal(number)
        return self.wait(timeout)

    def wait(self, timeout: float = 10.0) -> int:
        try:
            status = self.process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"weir had not stopped after {timeout} s; stderr: {self.stderr}") from None
        finally:
            self.reader.join(2)
            if self.process.stderr is not None:
                self.process.stderr.close()
        return status

    def check_end(self) -> None:
        """Stops it if it still runs; it must leave with 0 and have complained about nothing."""
        status = self.stop()
        # What becomes of endpoints is told as it happens, and is no complaint: tests/e2e/test_health.py reads it.
        # The second is the search for leaks itself, which breaks down when it meets a thread that is just ending.
        told = re.compile(
            r"cluster \S+: endpoint \S+ is \w+|Tracer caught signal|==\d+==(LeakSanitizer has encountered|HINT)"
        )
        expected = (READY, *self.expected_lines)
        complaints = [line for line in self.stderr if not line.startswith(expected) and not told.match(line)]
        assert status == self.expected_status, f"exit status {status}; stderr: {self.stderr}"
        assert not complaints, f"on stderr: {complaints}"

    # -- threads

    def _is_ready(self) -> bool:
        assert self.alive(), f"weir left with {self.process.returncode}: {self.stderr}"
        return len(self.addresses) >= self.expected

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line.rstrip("\n"))
