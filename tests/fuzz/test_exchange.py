"""The judge of plays notices what must not happen: plays that went well, told otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fuzz.exchange import check
from fuzz.plays import (
    CHUNKED_OK,
    CHUNKED_POST,
    CLOSE_OK,
    GET,
    OK,
    POST,
    SWITCHED,
    TO_ENDPOINT,
    UPGRADE,
    Part,
    written,
)
from fuzz.script import Play, Say, play


@pytest.fixture
def plays() -> Iterator[list[Play]]:
    """Plays that were begun; their planes are closed at the end."""
    begun: list[Play] = []
    yield begun
    for it in begun:
        it.scene.close()


def played(plays: list[Play], parts: list[Part], setting: int = 0) -> Play:
    it = play(written(setting, parts))
    plays.append(it)
    it.quiet = False  # what is altered below would be seen as held back first
    return it


def told(it: Play, number: int, old: bytes, new: bytes) -> None:
    """A client was told something else."""
    heard = it.clients[number].heard
    assert old in heard
    it.clients[number].heard = heard.replace(old, new)


TWO_CLIENTS: list[Part] = [*GET, Say.CLIENT_1, *GET, *TO_ENDPOINT, *OK, Say.ENDPOINT_0, *OK]


def test_a_play_that_goes_well(plays: list[Play]) -> None:
    it = played(plays, TWO_CLIENTS)
    check(it)
    assert b"X-T: ~1~" in it.clients[0].heard
    assert b"X-T: ~2~" in it.clients[1].heard


def test_the_answer_of_another_client(plays: list[Play]) -> None:
    it = played(plays, TWO_CLIENTS)
    it.clients[0].heard, it.clients[1].heard = it.clients[1].heard, it.clients[0].heard
    with pytest.raises(AssertionError, match="came to"):
        check(it)


def test_answers_in_another_order(plays: list[Play]) -> None:
    it = played(plays, [*GET, *GET, *TO_ENDPOINT, *OK, Say.SETTLE, *OK])
    heard = bytes(it.clients[0].heard)
    half = len(heard) // 2
    it.clients[0].heard = bytearray(heard[half:] + heard[:half])
    with pytest.raises(AssertionError, match="came to"):
        check(it)


@pytest.mark.parametrize(
    ("parts", "old", "new"),
    [
        ([*GET, *TO_ENDPOINT, *OK], b"hello", b"hallo"),
        ([*GET, *TO_ENDPOINT, *CHUNKED_OK], b"5\r\nhello\r\n", b"5\r\nhallo\r\n"),
        ([*GET, *TO_ENDPOINT, *CHUNKED_OK], b"5\r\nhello\r\n", b""),
        ([*GET, *TO_ENDPOINT, *OK], b"200", b"201"),
        # The end of a response whose sender was cut off.
        ([*GET, *TO_ENDPOINT, *CLOSE_OK, Say.RESET], b"d\r\nuntil the end\r\n", b"d\r\nuntil the end\r\n0\r\n\r\n"),
    ],
)
def test_another_response(plays: list[Play], parts: list[Part], old: bytes, new: bytes) -> None:
    it = played(plays, parts)
    told(it, 0, old, new)
    with pytest.raises(AssertionError, match="but endpoints said"):
        check(it)


def test_a_response_too_many(plays: list[Play]) -> None:
    it = played(plays, [*GET, *TO_ENDPOINT, *OK])
    it.clients[0].heard *= 3
    with pytest.raises(AssertionError, match="more responses"):
        check(it)


def test_what_is_no_response(plays: list[Play]) -> None:
    it = played(plays, [*GET, *TO_ENDPOINT, *OK])
    told(it, 0, b"HTTP/1.1 200", b"HTTP/1.1  200")
    with pytest.raises(AssertionError, match="no response"):
        check(it)


@pytest.mark.parametrize(
    ("parts", "old", "new", "complaint"),
    [
        ([*POST], b"hello", b"hallo", "no client said"),
        ([*POST], b"Length: 5", b"Length: 4", "no client said|no request"),
        ([*CHUNKED_POST], b"hello", b"hallo", "no client said"),
        ([*GET], b"~1~", b"~2~", "no client said"),
        ([*GET], b"GET", b"PUT", "no client said"),
        ([*GET], b"\r\nHost", b"\r\nHost: x\r\nHost", "no request"),
    ],
)
def test_another_request(plays: list[Play], parts: list[Part], old: bytes, new: bytes, complaint: str) -> None:
    it = played(plays, parts)
    heard = it.endpoints[0].heard
    assert old in heard
    it.endpoints[0].heard = heard.replace(old, new)
    with pytest.raises(AssertionError, match=complaint):
        check(it)


def test_a_post_twice(plays: list[Play]) -> None:
    it = played(plays, [*POST])
    it.endpoints[0].heard *= 2
    with pytest.raises(AssertionError, match="sent twice"):
        check(it)


def test_a_clean_end_for_a_client_that_reads_until_the_end(plays: list[Play]) -> None:
    old_client: list[Part] = [b"GET /a", Say.TAG, b" HTTP/1.0\r\n\r\n"]
    it = played(plays, [*old_client, *TO_ENDPOINT, *CLOSE_OK, Say.RESET])
    assert it.clients[0].stream.was_reset
    check(it)
    it = played(plays, [*old_client, *TO_ENDPOINT, *CLOSE_OK, Say.SETTLE, Say.END])
    assert not it.clients[0].stream.was_reset
    check(it)
    it.endpoints[0].ended = False
    with pytest.raises(AssertionError, match="but endpoints said"):
        check(it)


HALF: list[Part] = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"]


@pytest.mark.parametrize(
    ("parts", "party", "lost"),
    [
        ([*GET], "endpoint", b"GET"),
        ([*GET, *GET, *TO_ENDPOINT, *OK], "endpoint", b"GET /a~2~"),
        ([*POST], "endpoint", b"llo"),
        ([*GET, *TO_ENDPOINT, *OK], "client", b"HTTP"),
        ([*GET, *TO_ENDPOINT, *OK], "client", b"lo"),
        (
            [*GET, *TO_ENDPOINT, *CHUNKED_OK[:-1], b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"],
            "client",
            b"ello",
        ),
        ([*UPGRADE, *TO_ENDPOINT, *SWITCHED, b"hi", Say.CLIENT_0, b"ho"], "client", b"hi"),
        ([*UPGRADE, *TO_ENDPOINT, *SWITCHED, b"hi", Say.CLIENT_0, b"ho"], "endpoint", b"ho"),
    ],
)
def test_what_is_held_back(plays: list[Play], parts: list[Part], party: str, lost: bytes) -> None:
    it = play(written(0, parts))
    plays.append(it)
    assert it.is_quiet
    heard = (it.clients[0] if party == "client" else it.endpoints[-1]).heard
    assert lost in heard
    del heard[heard.rindex(lost) :]
    with pytest.raises(AssertionError, match=r"held back|went on"):
        check(it)


def test_who_does_not_read_has_a_reason_to_wait(plays: list[Play]) -> None:
    shut: list[Part] = [Say.NARROW_WINDOW, *GET, *TO_ENDPOINT, *OK]
    it = play(written(0, shut))
    plays.append(it)
    assert not it.is_quiet
    assert len(it.clients[0].heard) == 20
    check(it)
    it = play(written(0, [*shut, Say.CLIENT_0, Say.OPEN_WINDOW]))
    plays.append(it)
    assert it.is_quiet
    check(it)
    assert it.clients[0].heard.endswith(b"hello")
