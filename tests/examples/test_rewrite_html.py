"""Pages are rewritten as they pass, however they come in pieces; all else is left alone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.examples.parts import example
from weir import testing

PAGE = b'<!doctype html><HEAD lang="en"><title>a < b</title></head><body\nclass="x"><header>Hi</header></body></html>'
BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def site(pieces: Sequence[bytes] = (PAGE,), status: int = 200, *fields: tuple[bytes, bytes]) -> Any:
    """An application that sends these pieces, and refuses to send them without being asked for them as they are."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        asked = dict(scope["headers"])
        if b"text/html" in asked.get(b"accept", b""):
            assert asked[b"accept-encoding"] == b"identity"
            assert b"range" not in asked
        await send({"type": "http.response.start", "status": status, "headers": list(fields) or [HTML]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


HTML = (b"content-type", b"Text/HTML; charset=utf-8")


def rewritten(page: bytes) -> bytes:
    with example("rewrite_html") as module:
        style, line = module.INSERTED[b"head"], module.INSERTED[b"body"]
    return page.replace(b'<HEAD lang="en">', b'<HEAD lang="en">' + style).replace(
        b'<body\nclass="x">', b'<body\nclass="x">' + line
    )


@pytest.mark.parametrize("pieces", [[PAGE], [bytes([byte]) for byte in PAGE], [PAGE[:30], PAGE[30:]]])
def test_a_page_is_upside_down(pieces: list[bytes]) -> None:
    with example("rewrite_html") as module, testing.proxy(site(pieces), hooks=module) as proxy:
        response = requests.get(proxy.url, headers={**BROWSER, "Range": "bytes=0-9"}, timeout=10)
        assert response.content == rewritten(PAGE)
        assert requests.head(proxy.url, headers=BROWSER, timeout=10).content == b""
        proxy.assert_passed(status=200, reason="none", times=2)


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (404, [HTML]),
        (200, [(b"content-type", b"application/json")]),
        (200, [(b"x-no-type", b"1")]),
        (200, [HTML, (b"content-encoding", b"gzip")]),
    ],
)
def test_what_is_no_page_is_left_alone(status: int, fields: list[tuple[bytes, bytes]]) -> None:
    with example("rewrite_html") as module, testing.proxy(site([PAGE], status, *fields), hooks=module) as proxy:
        response = requests.get(proxy.url, stream=True, timeout=10)
        assert response.raw.read(decode_content=False) == PAGE


@given(
    cuts=st.lists(st.integers(0, len(PAGE)), max_size=8), page=st.sampled_from([PAGE, b"", b"<", b"<head", b"<body>x"])
)
def test_pieces_make_no_difference(cuts: list[int], page: bytes) -> None:
    with example("rewrite_html") as module:
        places = [0, *sorted(cuts), len(page)]
        pieces = [page[a:b] for a, b in itertools.pairwise(places) if page[a:b]]
        whole, cut = module.Page(), module.Page()
        assert b"".join([*map(cut, pieces), cut(b"")]) == whole(page) + (whole(b"") if page else b"")


def test_a_page_of_beginnings_holds_nobody_up() -> None:
    """One piece of them took seconds, in which the worker served nobody."""
    with example("rewrite_html") as module:
        page = b"<head " * 10_000
        rewriter = module.Page()
        began = time.process_time()
        assert rewriter(page) + rewriter(b"") == page
        assert time.process_time() - began < 1


def test_what_looks_like_a_tag_is_not_held_for_ever() -> None:
    with example("rewrite_html") as module:
        page = module.Page()
        assert page(b"<" + b"x" * 5000) == b"<" + b"x" * 5000
        assert page(b"<body>").startswith(b"<body><p>")
