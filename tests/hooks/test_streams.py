"""Cutting pieces where the content has its joints: any cut of the network gives the same."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.hooks import Event, EventSplitter, LineSplitter, events, gunzip, lines, replace_stream


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, none of them empty."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


async def pieces_of(data: bytes, places: list[int]) -> AsyncIterator[bytes]:
    """The same, as a body."""
    for piece in cut(data, places):
        yield piece


PLACES = st.lists(st.integers(0, 400), max_size=20)
PARTS = (b"data: a", b"\n", b"\r", b"\r\n", b"\n\n", b"id: 7", b"x")
STREAM = st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join)
LETTERS = st.text(alphabet="aab", max_size=60).map(str.encode)


@given(data=LETTERS, old=st.text(alphabet="ab", min_size=1, max_size=5).map(str.encode), places=PLACES)
def test_replacing_in_pieces_is_replacing_in_the_whole(data: bytes, old: bytes, places: list[int]) -> None:
    replace = replace_stream(old, b"<>")
    done = b""
    fed = 0
    for piece in cut(data, places):
        done += replace(piece)
        fed += len(piece)
        # Nothing is held back but what may still become a match.
        assert len(data[:fed].replace(old, b"<>")) - len(done) < len(old)
    assert done + replace(b"") == data.replace(old, b"<>")


@given(data=STREAM, places=PLACES)
def test_lines_do_not_depend_on_cuts(data: bytes, places: list[int]) -> None:
    async def run() -> list[bytes]:
        return [line async for line in lines(pieces_of(data, places))]

    found = asyncio.run(run())
    assert b"".join(found) == data
    assert all(line.endswith(b"\n") for line in found[:-1])
    assert all(b"\n" not in line[:-1] for line in found)


@given(data=STREAM, places=PLACES)
def test_events_do_not_depend_on_cuts(data: bytes, places: list[int]) -> None:
    async def run(where: list[int]) -> list[Event]:
        return [event async for event in events(pieces_of(data, where))]

    found = asyncio.run(run(places))
    assert b"".join(event.raw for event in found) == data
    assert found == asyncio.run(run([]))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_what_an_event_says(end: bytes) -> None:
    said = [b"id: 7", b"event: more", b"data: one", b"data:two", b": nothing"]
    splitter = EventSplitter()
    (event, *rest) = splitter.feed(end.join([*said, b"", b"data: next"]))
    assert rest == []
    assert (event.id, event.name, event.data) == ("7", "more", "one\ntwo")
    (event,) = splitter.close()
    assert (event.id, event.name, event.data) == ("", "message", "next")
    assert splitter.close() == []


def test_an_event_goes_on_at_once() -> None:
    splitter = EventSplitter()
    assert [event.data for event in splitter.feed(b"data: a\n\n")] == ["a"]
    assert splitter.feed(b"data: b\r\n\r") == []
    assert [event.data for event in splitter.feed(b"\n")] == ["b"]


@pytest.mark.parametrize("splitter", [EventSplitter(10), LineSplitter(10)])
def test_what_has_no_joint_is_not_held_for_ever(splitter: EventSplitter | LineSplitter) -> None:
    splitter.feed(b"x" * 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        splitter.feed(b"x")


@given(data=st.binary(max_size=300), places=PLACES, form=st.sampled_from(["gzip", "deflate", "twice"]))
def test_compressed_bodies(data: bytes, places: list[int], form: str) -> None:
    packed = zlib.compress(data) if form == "deflate" else gzip.compress(data)
    if form == "twice":
        packed += packed

    async def run() -> bytes:
        return b"".join([piece async for piece in gunzip(pieces_of(packed, places))])

    assert asyncio.run(run()) == data * (2 if form == "twice" else 1)


def test_a_compressed_body_is_unpacked_a_little_at_a_time() -> None:
    async def run() -> None:
        sizes = [len(piece) async for piece in gunzip(pieces_of(gzip.compress(bytes(20_000_000)), []))]
        assert sum(sizes) == 20_000_000
        assert max(sizes) <= 65_536

    asyncio.run(run())


@pytest.mark.parametrize(("packed", "error"), [(gzip.compress(b"abc", mtime=0)[:-1], EOFError), (b"abc", zlib.error)])
def test_what_is_not_compressed_or_not_all_of_it(packed: bytes, error: type[Exception]) -> None:
    async def run() -> None:
        async for _ in gunzip(pieces_of(packed, [])):
            pass

    with pytest.raises(error):
        asyncio.run(run())


def test_nothing_cannot_be_replaced() -> None:
    with pytest.raises(ValueError, match="nothing"):
        replace_stream(b"", b"x")
