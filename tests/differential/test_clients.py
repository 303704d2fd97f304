"""What clients of five makes take weir's responses to mean, whatever an endpoint sends.

All of them must read the same, the same as weir did; or be told that there is no good response, by a 502 or by
one that is visibly cut. What is asked for next on the connection gets its own answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.e2e.peers import CLOSE, Endpoint, Reply, ok
from tests.e2e.proxy import Proxy
from tests.e2e.rig import Rig, tables
from tests.e2e.wire import Message

from .clients import CLIENTS, Answer
from .messages import RESPONSES
from .nasty_responses import NASTY_RESPONSES
from .readings import Outcome, Reading, read_weir

pytestmark = pytest.mark.timeout(60)

LONGEST_LINE = 8190  # of aiohttp; weir's limit is that of the whole head


class Book:
    """Weir before an endpoint that answers `/case` with the bytes it was given, and closes."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.data = b""
        rig.endpoint.respond(self._answer)

    def _answer(self, request: Message) -> Reply:
        return [self.data, CLOSE] if request.head.target == "/case" else ok(b"marker")

    def ask(self, data: bytes, method: str, without: set[str]) -> dict[str, list[Answer]]:
        """What each client makes of `data`, and of the marker behind it."""
        self.data = data
        address = self.rig.proxy.address()
        assert isinstance(address, tuple)
        return {name: ask(address, method) for name, ask in CLIENTS.items() if name not in without}


@contextlib.contextmanager
def open_book(directory: Path) -> Iterator[Book]:
    with contextlib.closing(Endpoint()) as endpoint:
        # The endpoint closes behind each case, so a request now and then meets a connection that has just closed.
        proxy = Proxy(directory, tables(directory, [endpoint.address], retry={"min_per_second": 1000}))
        rig = Rig(proxy, endpoint)
        yield Book(rig)
        rig.finish()
        proxy.check_end()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    with open_book(tmp_path_factory.mktemp("clients")) as book:
        yield book


def final(data: bytes, method: str) -> tuple[Outcome, bool]:
    """The final response as weir reads it, and whether interim ones other than 100 came before it."""
    interim = False
    while True:
        reading = read_weir(data, method.encode())
        if not isinstance(reading, Reading) or not reading.start[0].startswith(b"1"):
            return reading, interim
        interim = interim or reading.start[0] != b"100"
        data = data[reading.head_bytes :]


def incapable(data: bytes, interim: bool) -> set[str]:
    """Clients that cannot be asked about this, each for a reason of its own."""
    names = set()
    # http.client passes over 100 only, and takes any other interim response for the final one. RFC 9110 section
    # 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final response".
    if interim:
        names.add("http.client")
    # aiohttp refuses it, as RFC 9110 section 5.4 allows: "A client MAY discard or truncate received field lines".
    if max(map(len, data.partition(b"\r\n\r\n")[0].split(b"\r\n"))) > LONGEST_LINE:
        names.add("aiohttp")
    return names


def check(book: Book, data: bytes, method: str = "GET") -> None:
    """Sends it to each client, and compares."""
    reading, interim = final(data, method)
    answers = book.ask(data, method, incapable(data, interim))
    first = answers["h11"][0]
    for name, (case, marker) in answers.items():
        assert (marker.status, marker.body, marker.whole) == (200, b"marker", True), f"{name}: {marker}"
        if first.status == 502:
            # Weir's own answers have an id and a date that differ.
            assert (case.status, case.whole) == (502, True), f"{name}: {case}"
        else:
            assert case == first, f"{name}: {case}, h11: {first}"
    if isinstance(reading, Reading) and reading.end is not None:
        expected = (int(reading.start[0]), reading.body, True)
        assert (first.status, first.body, first.whole) == expected, f"{first} instead of {reading}"
    else:
        assert first.status == 502 or not first.whole, f"{first} of what weir does not read"


@pytest.mark.parametrize("name", NASTY_RESPONSES)
def test_the_catalogue(book: Book, name: str) -> None:
    check(book, NASTY_RESPONSES[name])


@pytest.mark.parametrize(
    "name", [name for name in NASTY_RESPONSES if name.startswith(("a ", "more", "until", "status"))]
)
def test_responses_to_head(book: Book, name: str) -> None:
    check(book, NASTY_RESPONSES[name], "HEAD")


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=RESPONSES)
def test_generated_responses(book: Book, data: bytes) -> None:
    check(book, data)


@pytest.mark.parametrize(
    ("name", "client", "expected"),
    [
        ("102 and 103 first", "http.client", (102, True)),
        ("long value", "aiohttp", (0, False)),
    ],
)
def test_what_clients_cannot(book: Book, name: str, client: str, expected: tuple[int, bool]) -> None:
    """The reason why a client is left out of some comparisons is still there."""
    (case, _) = book.ask(NASTY_RESPONSES[name], "GET", set(CLIENTS) - {client})[client]
    assert (case.status, case.whole) == expected
