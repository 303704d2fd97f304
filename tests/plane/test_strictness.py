"""The table of strictness, row by row, through the whole plane: the row is the test."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.reasons import REASONS

Stage = Callable[..., Scene]
Row = dict[str, Any]

ROWS: list[Row] = tomllib.loads((Path(__file__).parents[2] / "spec" / "strictness.toml").read_text())["row"]
STATUS = {reason.word: reason.status for reason in REASONS}
# Sent right behind every message: it must be the next one, or never be seen.
MARKER = b"GET /marker HTTP/1.1\r\nHost: h\r\n\r\n"


def of(side: str, outcome: str) -> list[Row]:
    return [row for row in ROWS if row["side"] == side and outcome in row]


def name(row: Row) -> str:
    return f"{row['part']}: {row['name']}"


def octets(text: str) -> bytes:
    return text.replace("~", "a" * 5000).encode("latin-1")


def shape(text: str) -> re.Pattern[bytes]:
    """What is to go on; <16> and <32> stand for so many digits of weir's own."""
    return re.compile(re.sub(rb"<(16|32)>", rb"[0-9a-f]{\1}", re.escape(octets(text))))


def endpoints_saw(scene: Scene) -> bytes:
    return b"".join(stream.take_sent() for stream in scene.dialer.dialled)


@pytest.mark.parametrize("row", of("request", "refused"), ids=name)
def test_requests_that_are_refused(stage: Stage, row: Row) -> None:
    scene = stage()
    client = scene.client(octets(row["send"]) + MARKER)
    sent = client.take_sent()
    assert sent.startswith(f"HTTP/1.1 {STATUS[row['refused']]} ".encode())
    assert b"\r\nConnection: close\r\n" in sent
    assert f"\n{row['refused']}: ".encode() in sent
    assert sent.count(b"\r\nX-Request-Id: ") == 1
    assert scene.reasons() == {row["refused"]: 1}
    assert b"/marker" not in endpoints_saw(scene)
    assert all(stream.is_closed for stream in scene.dialer.dialled), "what has seen a part of it is not used again"
    scene.end(client)
    assert client.is_closed


@pytest.mark.parametrize("row", of("request", "closed"), ids=name)
def test_connections_that_are_ended(stage: Stage, row: Row) -> None:
    scene = stage(listener=row["settings"])
    client = scene.client(octets(row["send"]) + MARKER)
    assert client.was_reset
    assert client.take_sent() == b""
    assert scene.dials == 0
    assert scene.reasons() == {row["closed"]: 1}


@pytest.mark.parametrize("row", of("request", "forwarded"), ids=name)
def test_requests_that_go_on(stage: Stage, row: Row) -> None:
    settings = row.get("settings", {})
    scene = stage(listener=settings)
    old = " HTTP/1.0\r\n" in row["send"]
    client = scene.client(octets(row["send"]) + (b"" if old else MARKER))
    assert shape(row["forwarded"]).fullmatch(endpoints_saw(scene))
    scene.send(scene.endpoint(), OK)
    assert client.take_sent().startswith(b"HTTP/1.1 200 OK\r\n")
    if not old:
        seen = endpoints_saw(scene)
        assert seen.startswith(MARKER[:-2]) if settings else seen == MARKER
        scene.send(scene.endpoint(), OK)
        sent = client.take_sent()
        assert sent.startswith(OK[:-6]) if settings else sent == OK
    assert scene.reasons() == {}


@pytest.mark.parametrize("row", of("response", "refused"), ids=name)
def test_responses_that_are_refused(stage: Stage, row: Row) -> None:
    scene = stage()
    client = scene.client(octets(row["asked"]) if "asked" in row else GET)
    scene.send(scene.endpoint(), octets(row["send"]))
    sent = client.take_sent()
    final = sent[sent.index(b"HTTP/1.1 502 ") :]
    assert f"\n{row['refused']}: ".encode() in final
    assert set(sent[: -len(final)].split(b"\r\n")) <= {b"HTTP/1.1 100 Continue", b""}
    assert scene.endpoint().is_closed
    assert scene.reasons() == {row["refused"]: 1}
    scene.send(client, MARKER)
    assert endpoints_saw(scene).endswith(MARKER), "the client's connection is in order"
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


@pytest.mark.parametrize("row", of("response", "forwarded"), ids=name)
def test_responses_that_go_on(stage: Stage, row: Row) -> None:
    scene = stage()
    asked = octets(row["asked"]) if "asked" in row else GET
    client = scene.client(asked)
    scene.send(scene.endpoint(), octets(row["send"]))
    scene.wait_ms(20)
    assert client.take_sent() == octets(row["forwarded"])
    assert scene.reasons() == {}
    if b"HTTP/1.0" not in asked:
        scene.send(client, MARKER)
        assert endpoints_saw(scene).endswith(MARKER)
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK, "nothing of the message before is taken for this one's answer"


def test_every_row_has_one_outcome_and_a_sentence() -> None:
    for row in ROWS:
        assert sum(outcome in row for outcome in ("refused", "forwarded", "closed")) == 1, name(row)
        assert row["says"]
        assert row["rfc"].split()[0] in ("9110", "9112", "3875", "Trace", "PROXY")
        assert row.get("refused", row.get("closed", "none")) in STATUS
    names = [(row["part"], row["name"]) for row in ROWS]
    assert len(set(names)) == len(names)
    places: dict[str, set[str]] = {}
    for row in ROWS:
        places.setdefault(row["says"].strip(". "), set()).add(row["rfc"])
    assert [says for says, rfcs in places.items() if len(rfcs) > 1] == [], "one sentence stands in one section"
