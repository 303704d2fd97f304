"""Pictures of the live page for the documents, and the traffic that they (and tests) show.

    python tools/live_page.py      write docs/images/live-page-*.png, with Debian's chromium (make pictures)

Nothing of it is measured: the figures are made up, by a fixed rule, and counted in a real table that the real admin
server reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from weir.admin.live import Live
from weir.admin.server import serve
from weir.config.plan import AddressPlan, FaultPlan, ListenerPlan, Plan, RateLimitPlan
from weir.plane.counters import Counters
from weir.reasons import Reason
from weir.stats import layout
from weir.stats.columns import COUNTERS, REASONS_AT
from weir.stats.frame import take
from weir.stats.names import TableNames
from weir.stats.publish import publish, write_decisions
from weir.stats.rules import HEADER_BYTES, RuleBook

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CHROMIUM: Final = "/usr/bin/chromium"
# As root it will not run in its sandbox; what it loads is our own page.
CHROMIUM_OPTIONS: Final = ("--no-sandbox", "--disable-dev-shm-usage")

_PLACES: Final = {counter.name: place for place, counter in enumerate(COUNTERS)}
ENDPOINTS: Final = (("api", "10.0.3.11:8000"), ("api", "10.0.3.12:8000"), ("files", "10.0.3.20:80"))
RULES: Final = Plan(
    (
        ListenerPlan(
            AddressPlan(":443", "", 443),
            0,
            rate_limits=(RateLimitPlan("client", (50, 1000)),),
            faults=(FaultPlan("slow checkout", delay_ms=(100, 300), prefix="/api/checkout"),),
        ),
    ),
    (),
    (),
)
# As `weir.stats.rules` has them.
LIMIT_STORY: Final = (182_400, 310, 87, 0, 0)
FAULT_STORY: Final = (1_204, 12, 0, 0)
CLUSTER_STORY: Final = {
    "retries": 64,
    "retries_denied": 2,
    "sticky_bound": 5150,
    "sticky_lost": 18,
    "unsent": 9,
    "reset": 41,
    "timeout": 14,
    "budget": 2,
    "not_idempotent": 5,
}

# path: (route, requests per second, median in ms, spread, bytes, share of failures)
STORY: Final[Mapping[bytes, tuple[int, float, float, float, int, float]]] = {
    b"/api/orders": (0, 92, 14, 0.5, 5_200, 0.0005),
    b"/api/orders/{id}": (0, 210, 6, 0.5, 2_100, 0),
    b"/api/search": (0, 44, 85, 0.9, 18_000, 0.001),
    b"/api/users/{id}": (0, 160, 4, 0.4, 900, 0),
    b"/api/users/{id}/cart": (0, 66, 9, 0.6, 1_700, 0.002),
    b"/api/checkout": (0, 7, 240, 0.8, 1_100, 0.06),
    b"/api/reports/monthly": (0, 0.9, 1900, 0.5, 880_000, 0),
    b"/api/login": (0, 12, 55, 0.3, 700, 0.004),
    b"/api/recommendations": (0, 38, 32, 1.1, 9_000, 0.0),
    b"/api/export.csv": (0, 0.6, 3200, 0.7, 4_200_000, 0.02),
    b"/static/app.js": (1, 120, 0.9, 0.4, 148_000, 0),
    b"/static/site.css": (1, 120, 0.7, 0.4, 31_000, 0),
    b"/images/hero.webp": (1, 71, 1.6, 0.5, 264_000, 0),
    b"/favicon.ico": (1, 22, 0.4, 0.3, 4_300, 0),
    b"/healthz": (0, 4, 0.3, 0.2, 2, 0),
}


class Traffic:
    """A table with a worker that counts made-up exchanges, from a fixed seed.

    `paths` more paths than those of the story, which count now and then.
    """

    def __init__(self, paths: int = 0, rows: int = 4096, seed: int = 7) -> None:
        clusters = ["api", "files"]
        self.table = layout.create(rows, ["api", "files"], workers=1, endpoints=ENDPOINTS, clusters=clusters)
        self.rules = RuleBook(RULES, workers=1)
        self._count_rules()
        self.counters = Counters(self.table, 0)
        self.random = random.Random(seed)
        self.story = dict(STORY)
        for number in range(paths):
            rare = 0.02 + 3 / (number + 1)
            self.story[b"/pages/%d/%x" % (number, number * 2654435761 % 2**32)] = (
                1,
                rare,
                2 + number % 40,
                0.6,
                3_000,
                0,
            )
        self.time = 0.0
        self.accepted = 0

    def count(
        self, route: int, path: bytes, us: int, *, size: int = 100, status: int = 200, reason: int = 0, times: int = 1
    ) -> None:
        """Exchanges that took `us` microseconds each."""
        add, places = self.counters.add, _PLACES
        row = self.counters.find_row(route, path)
        connect, head = us // 50, us // 200
        response = (us - connect - head) * 7 // 10
        parts = (head, us // 40, connect, response - us // 40, us - head - connect - response)
        sums = {
            "requests": 1,
            "response_body_bytes": size,
            f"status_{status // 100}xx": 1,
            "errors": int(reason > 0),
            "total_us": us,
            "first_byte_us": us * 4 // 5,
            "first_bytes": 1,
        }
        for name, n in sums.items():
            add(row, places[name], n * times)
        for part, name in enumerate(("request_head_us", "queue_us", "connect_us", "response_head_us", "data_us")):
            add(row, places[name], parts[part] * times)
            self.counters.observe_part_us(route, part, parts[part])
        if reason:
            add(row, REASONS_AT + reason, times)
        self.counters.observe_us(row, 0, us, repeat=times)
        self.counters.observe_us(row, 1, us * 4 // 5, repeat=times)

    def _count_rules(self) -> None:
        """What clusters and rules have counted: it stays as it is."""
        write_decisions(self.table, 0, 0, **CLUSTER_STORY)
        for memory, counts in ((self.rules.limits[0][0], LIMIT_STORY), (self.rules.faults[0][0], FAULT_STORY)):
            struct.pack_into(f"{len(counts)}Q", memory, HEADER_BYTES, *counts)

    def live(self) -> Live:
        """What samples it for the page."""
        return Live(self.table, lambda: take(self.table), TableNames(self.table), rules=self.rules)

    def pass_time(self, seconds: float) -> None:
        """Counts what comes in such a time."""
        self.time += seconds
        wave = 1 + 0.25 * math.sin(self.time / 9)
        for path, (route, per_second, median_ms, spread, size, failing) in self.story.items():
            wanted = per_second * wave * seconds
            n = int(wanted) + (self.random.random() < wanted % 1)
            for _ in range(min(n, 60)):
                us = max(1, int(1000 * median_ms * self.random.lognormvariate(0, spread)))
                failed = self.random.random() < failing
                reason = Reason.RESPONSE_TIMEOUT if failed and self.random.random() < 0.4 else 0
                status = (504 if reason else 500) if failed else 404 if self.random.random() < 0.01 else 200
                self.count(
                    route, path, us, size=int(size * self.random.uniform(0.7, 1.3)), status=status, reason=reason
                )
        self.publish()

    def publish(self) -> None:
        """A heartbeat, with connections."""
        self.accepted += 3
        open_now = 14 + int(6 * math.sin(self.time / 9))
        gauges = {
            "pid": 4711,
            "started_us": time.time_ns() // 1000 - 5_400_000_000,
            "downstreams": 180 + open_now,
            "exchanges": open_now,
            "upstreams": 3 * open_now,
            "buffers": open_now,
            "buffer_bytes": open_now << 14,
            "accepted": self.accepted,
        }
        pools = [
            (number, {"open": open_now, "idle": open_now - 3, "dials": 40 + number, "reuses": 9000 * (number + 1)})
            for number in range(len(ENDPOINTS))
        ]
        busy = [(0, {"in_progress": 31, "limit": 64}), (1, {"in_progress": open_now})]
        publish(self.table, 0, gauges=gauges, endpoints=pools, clusters=busy)


class Site:
    """The admin server in a thread with a loop of its own, on a free port of 127.0.0.1 (or the one given)."""

    def __init__(
        self, memory: Any, *, token: str = "", port: int = 0, history: str = "", rules: RuleBook | None = None
    ) -> None:
        self.memory, self.token, self.rules = memory, token, rules
        self.plan = Plan((), (), (), history=type(Plan((), (), ()).history)(path=history))
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(64)
        self.port: int = self.socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self._started = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="admin")

    def __enter__(self) -> Site:
        self._thread.start()
        self._started.wait(10)
        if self._problem is not None:
            raise self._problem
        return self

    def __exit__(self, *_exception: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self.socket.close()
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as problem:
            self._problem = problem
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with serve(self.plan, self.memory, [self.socket], token=self.token, rules=self.rules):
            self._started.set()
            await self._end.wait()


@contextmanager
def flowing(traffic: Traffic, step_s: float = 0.2) -> Iterator[Traffic]:
    """Lets traffic pass in a thread for as long as the context lasts."""
    end = threading.Event()

    def flow() -> None:
        while not end.wait(step_s):
            traffic.pass_time(step_s)

    thread = threading.Thread(target=flow, name="traffic")
    thread.start()
    try:
        yield traffic
    finally:
        end.set()
        thread.join()


def take_pictures(folder: Path, seconds: float) -> None:
    """The overview and one path's panel, in light and dark, after so long a time of traffic."""
    from playwright.sync_api import sync_playwright

    traffic = Traffic(paths=300)
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        site = stack.enter_context(Site(traffic.table, history=f"{home}/history.db", rules=traffic.rules))
        stack.enter_context(flowing(traffic))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_OPTIONS))
        time.sleep(seconds)
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": 1440, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
            )
            page = context.new_page()
            page.goto(f"{site.address}#sort=time")
            page.locator("#rows tr").first.wait_for()
            time.sleep(3)
            page.screenshot(path=folder / f"live-page-{scheme}.png")
            page.goto(f"{site.address}#sort=time&route=api&path=%2Fapi%2Fcheckout")
            page.get_by_role("dialog").wait_for()
            time.sleep(2)
            page.screenshot(path=folder / f"live-page-path-{scheme}.png")
            context.close()
        browser.close()


def shrink(folder: Path) -> None:
    """Fewer colours: a picture of a page needs no more than 128."""
    from PIL import Image

    for path in folder.glob("live-page-*.png"):
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def main(arguments: Sequence[str]) -> int:
    seconds = float(arguments[0]) if arguments else 90
    IMAGES.mkdir(exist_ok=True)
    take_pictures(IMAGES, seconds)
    shrink(IMAGES)
    for path in sorted(IMAGES.glob("live-page-*.png")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size >> 10} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
