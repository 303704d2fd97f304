"""Everything at once, at random: whatever both sides do, a client never gets a wrong answer.

Each target says what its answer must be, so that a mixed-up, doubled or falsely complete one shows. Each
POST has a number of its own, so that one that is served twice shows. The seed is printed: run it again
with WEIR_CHAOS_SEED to see the same choices (the timing is the kernel's).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter

import pytest

from .conftest import MakeRig
from .peers import CLOSE, RESET, Link, Part, chunked
from .rig import Rig
from .wire import Malformed, Message, Truncated, Wire

SECONDS = 6.0
CLIENTS = 24


def body_of(target: str, size: int) -> bytes:
    word = f"<{target}>".encode()
    return (word * (size // len(word) + 1))[:size]


class Choices:
    """What the endpoint does with a request: nearly always its duty, now and then anything else."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.served: Counter[str] = Counter()

    def reply(self, request: Message) -> list[Part]:
        dice = self.random
        if request.head.method == "POST":
            self.served[request.head.target] += 1
        body = body_of(request.head.target, dice.choice((0, 3, 900, 20_000, 300_000)))
        framing = dice.choice(("length", "chunked", "close"))
        fields = f"X-Size: {len(body)}\r\n".encode()
        if framing == "length":
            whole = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)
        elif framing == "chunked":
            cut = dice.randint(0, len(body))
            pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
            whole = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (fields, chunked(*pieces))
        else:
            whole = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (fields, body)
        return self._misbehave(whole, framing)

    def _misbehave(self, whole: bytes, framing: str) -> list[Part]:
        dice, cut = self.random, self.random.randint(0, len(whole))
        what = dice.random()
        if what < 0.04:
            return [CLOSE]
        if what < 0.08:
            return [whole[:cut], RESET]
        if what < 0.12 and framing != "close":  # cut cleanly: only its length can tell
            return [whole[: min(cut, len(whole) - 1)], CLOSE]
        if what < 0.25:
            return [whole[:cut], dice.random() * 0.02, whole[cut:], *([CLOSE] if framing == "close" else [])]
        if what < 0.30:
            return [whole, CLOSE]
        return [whole, *([CLOSE] if framing == "close" else [])]


class Client:
    """One client after another, each on a connection of its own, until the time is over."""

    def __init__(self, rig: Rig, number: int, seed: int) -> None:
        self.rig = rig
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.counted = 0
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            with self.rig.proxy.connect(timeout=15) as wire:
                try:
                    self.use(wire)
                except (OSError, Truncated):
                    self.seen["cut"] += 1
                except (AssertionError, Malformed) as error:
                    self.wrong.append(str(error))

    def use(self, wire: Wire) -> None:
        dice = self.random
        for _ in range(dice.randint(1, 12)):
            batch = [self.request() for _ in range(dice.choice((1, 1, 1, 5)))]
            data = b"".join(request for _, _, request in batch)
            what = dice.random()
            if what < 0.05:
                wire.send(data[: dice.randint(1, len(data))])
                wire.reset()
                return
            at = dice.randint(0, len(data)) if what < 0.2 else len(data)
            wire.send(data[:at])
            if at < len(data):
                time.sleep(dice.random() * 0.01)
                wire.send(data[at:])
            if what > 0.95:
                wire.half_close()
            for method, target, _ in batch:
                if dice.random() < 0.02:
                    return
                if not self.check(method, target, wire.response(method)):
                    return

    def request(self) -> tuple[str, str, bytes]:
        self.counted += 1
        method = self.random.choice(("GET", "GET", "GET", "POST"))
        target = f"/c{self.number}/n{self.counted}"
        head = f"{method} {target} HTTP/1.1\r\nHost: test\r\n".encode()
        if method == "GET":
            return method, target, head + b"\r\n"
        body = body_of(target, self.random.choice((0, 10, 5000, 100_000)))
        if self.random.random() < 0.5:
            return method, target, head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        return method, target, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*([body] if body else []))

    def check(self, method: str, target: str, response: Message) -> bool:
        """Raises AssertionError when the answer is not this request's. False: the connection is over."""
        self.seen[str(response.status)] += 1
        if response.status == 200:
            size = int(response.head.get("X-Size") or -1)
            assert len(response.body) == size, f"{target}: {len(response.body)} bytes of {size}"
            assert response.body == body_of(target, size), f"{target} got {response.body[:60]!r}"
        else:
            assert response.status in (502, 503), f"{target} got {response.head.raw!r}"
        return (response.head.get("Connection") or "").lower() != "close"


@pytest.mark.timeout(60)
def test_no_wrong_answer_in_chaos(weir: MakeRig) -> None:
    seed = int(os.environ.get("WEIR_CHAOS_SEED") or random.randrange(1_000_000))
    print(f"seed {seed}")
    rig = weir(pool={"max_connections": 12, "max_idle": 6, "max_requests": 50}, queue={"size": 50, "timeout": "3s"})
    choices = Choices(seed)

    def script(link: Link) -> None:
        while (request := link.request()) is not None:
            expected = body_of(request.head.target, len(request.body))
            assert request.body == expected, f"{request.head.target} arrived as {request.body[:60]!r}"
            link.play(choices.reply(request))
            if link.sock.fileno() < 0:
                return

    rig.endpoint.handle(script)
    clients = [Client(rig, number, seed) for number in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = sum((client.seen for client in clients), Counter[str]())
    print(f"answers: {dict(seen)}; posts served: {len(choices.served)}")
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert seen["200"] > 500
    twice = [target for target, times in choices.served.items() if times > 1]
    assert twice == [], "a POST was served twice"
    reasons = Counter(str(record["reason"]) for record in rig.proxy.records())
    print(f"reasons: {dict(reasons)}")
    allowed = {"none", "client_closed", "upstream_closed", "upstream_reset", "upstream_truncated", "queue_timeout"}
    assert set(reasons) <= allowed | {"queue_full", "bad_response"}


# The address sanitizer keeps freed memory from use for a while: there it cannot be flat.
@pytest.mark.figures
@pytest.mark.timeout(60)
def test_memory_stays_flat_over_many_failures(weir: MakeRig) -> None:
    rig = weir(log={"access": "off"}, stats={"rows": 64})
    rig.endpoint.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"h" * 50_000, CLOSE)

    def fail(rounds: int) -> None:
        for n in range(rounds):
            with rig.proxy.connect() as client:
                if n % 4 == 0:
                    client.send(b"NONSENSE\r\n\r\n")
                elif n % 4 == 1:
                    client.send(b"POST /x HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"u" * 30_000)
                elif n % 4 == 2:
                    client.send(b"GET /path-%d HTTP/1.1\r\nHost: test\r\n\r\n" % n)
                    with pytest.raises(Truncated):
                        client.response()
                else:
                    client.send(b"GET /x HTTP/1.1\r\nHost: test\r\n\r\n")
                    client.reset()

    fail(600)
    before = rig.proxy.memory("Rss")
    fail(2400)
    grown = rig.proxy.memory("Rss") - before
    print(f"2400 failures: grown by {grown >> 10} KiB")
    assert grown < 512 << 10
