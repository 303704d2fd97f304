"""Something fun to the resulting web page: all pictures upside down, and a line on top that says why.

    weir run --listen :8080 --to 127.0.0.1:8081 --hooks rewrite_html.py

Pages are rewritten piece by piece as they pass: a large one takes no more memory, and the browser waits for nothing.
"""

from __future__ import annotations

import re

import weir

INSERTED = {
    b"head": b"<style>img { transform: rotate(180deg) }</style>",
    b"body": b"<p>You see this page through weir.</p>",
}
# Neither < nor > inside: a page of nothing but "<head " would be looked through to its end again and again.
TAG = re.compile(rb"<(head|body)(?:\s[^<>]*)?>", re.IGNORECASE)
LONGEST_TAG = 4096


@weir.hook("request")
def ask_for_whole_plain_pages(request: weir.Request) -> None:
    if "text/html" in request.headers.get("Accept", ""):
        request.headers["Accept-Encoding"] = "identity"
        request.headers.remove("Range")


@weir.hook("response")
def rewrite(response: weir.Response) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and response.status == 200 and "Content-Encoding" not in response.headers:
        response.transform(Page())


class Page:
    """Called with each piece of a page, and with b"" at its end; returns what goes on instead."""

    def __init__(self) -> None:
        self.missing = dict(INSERTED)
        self.held = b""

    def __call__(self, piece: bytes) -> bytes:
        if not self.missing:
            return piece
        page = TAG.sub(self.insert, self.held + piece)
        self.held = b""
        # A tag may be cut in two: what could be its first half waits for the other.
        cut = page.rfind(b"<")
        if piece and self.missing and cut >= 0 and b">" not in page[cut:] and len(page) - cut < LONGEST_TAG:
            page, self.held = page[:cut], page[cut:]
        return page

    def insert(self, tag: re.Match[bytes]) -> bytes:
        return tag[0] + self.missing.pop(tag[1].lower(), b"")
