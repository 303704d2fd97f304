"""The admin address of a real table in which the test counts itself: what the commands ask."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from weir.admin.server import serve
from weir.admin.state import FRESH_S
from weir.config.plan import AddressPlan, ClusterPlan, ListenerPlan, Plan, RoutePlan
from weir.plane.counters import Counters
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.columns import COUNTERS, REASONS_AT

__all__ = ["Instance", "instance"]

PLACES = {counter.name: place for place, counter in enumerate(COUNTERS)}
ROUTES = ("main", "api")
# Shares of the total time that the ledger's parts get, in percent.
PARTS = {"request_head_us": 1, "queue_us": 4, "connect_us": 5, "response_head_us": 60, "data_us": 30}


class Instance:
    """A table with one worker, and the address that tells of it."""

    def __init__(self, rows: int = 256) -> None:
        self.table = layout.create(rows, ROUTES, workers=1)
        self.counters = Counters(self.table, 0)
        self.address = ""
        self.stop: Callable[[], None] = lambda: None  # ends the serving before the context does

    @staticmethod
    def settle() -> None:
        """What was counted is in every answer from now on: a question may be answered with what is 0.1 s old."""
        time.sleep(FRESH_S + 0.01)

    def count(
        self,
        path: str | bytes,
        times_us: Sequence[int],
        *,
        size: int = 1000,
        errors: int = 0,
        server_errors: int = 0,
        route: int = 0,
        repeat: int = 1,
    ) -> None:
        """Exchanges with these total times, half of it to the first byte, each `repeat` times."""
        name = path.encode() if isinstance(path, str) else path
        row, n = self.counters.find_row(route, name), len(times_us) * repeat
        whole = sum(times_us) * repeat
        parts = {part: whole * percent // 100 for part, percent in PARTS.items()}
        parts["data_us"] = whole - sum(parts.values()) + parts["data_us"]
        for counter, number in {
            "requests": n,
            "response_body_bytes": size * n,
            "status_2xx": n - server_errors,
            "status_5xx": server_errors,
            "errors": errors,
            "total_us": whole,
            "first_byte_us": whole // 2,
            "first_bytes": n,
            **parts,
        }.items():
            self.counters.add(row, PLACES[counter], number)
        self.counters.add(row, REASONS_AT + Reason.UPSTREAM_RESET, errors)
        for us in times_us:
            self.counters.observe_us(row, 0, us, repeat=repeat)
            self.counters.observe_us(row, 1, us // 2, repeat=repeat)


def _plan() -> Plan:
    return Plan(
        (ListenerPlan(AddressPlan("127.0.0.1:0", "127.0.0.1"), route=0),),
        tuple(RoutePlan(name, cluster=0) for name in ROUTES),
        (ClusterPlan("main", (AddressPlan("127.0.0.1:9", "127.0.0.1", 9),)),),
    )


@contextlib.contextmanager
def instance(
    *, rows: int = 256, token: str = "", unix: Path | None = None, address: str = "127.0.0.1:0"
) -> Iterator[Instance]:
    """Serves in a thread of its own while the context lasts."""
    made = Instance(rows)
    bound: socket.socket
    if unix is not None:
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(unix))
        bound.listen()
        made.address = f"unix:{unix}"
    else:
        host, _, port = address.rpartition(":")
        bound = socket.create_server((host, int(port)))
        made.address = f"{host}:{bound.getsockname()[1]}"
    ready, failed = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(_plan(), made.table, [bound], token=token):
            ready.set()
            await stop.wait()

    def thread() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()
            loop.close()

    running = threading.Thread(target=thread)

    def end() -> None:
        if running.is_alive() and not failed:
            # The loop may end by itself just now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
        running.join(15)
        bound.close()
        assert not running.is_alive()

    made.stop = end
    running.start()
    try:
        assert ready.wait(15)
        assert not failed, failed
        yield made
    finally:
        end()
