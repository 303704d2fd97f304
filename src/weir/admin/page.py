"""The live page: its files, and the stream of what they show.

`/` and `/assets/` are the same for everybody and hold no figures; `/events` and `/snapshot` hold all of them. The
streams are server-sent events, read with fetch() and not with EventSource, which cannot send a token. A viewer who
reads slowly gets fewer of them: the next answer is only made once the one before was taken.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from weir.admin.live import Live
from weir.admin.viewing import Question, QuestionError, answer

__all__ = ["Asset", "load_assets", "routes"]

# A browser opens six connections to a host: so many streams leave it two, for its other tabs to ask one by one.
STREAMS_PER_BROWSER: Final = 4
STREAMS: Final = 64
_BROWSER_CHARACTERS: Final = 40

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FIGURES: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, as it is sent."""

    body: bytes
    zipped: bytes
    media_type: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """The files of the page by their path below `static/`; only those of a known type."""
    found: dict[str, Asset] = {}
    _collect(files("weir.admin") / "static", "", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, Asset]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", found)
        elif media_type := _TYPES.get(entry.name.rpartition(".")[2]):
            body = entry.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found[prefix + entry.name] = Asset(body, gzip.compress(body, 9, mtime=0), media_type, etag)


def routes(live: Live) -> list[BaseRoute]:
    """`/`, `/assets/...`, `/events` and `/snapshot`."""
    page = _Page(live, load_assets())
    return [
        Route("/", page.index),
        Route("/assets/{name:path}", page.asset),
        Route("/events", page.events),
        Route("/snapshot", page.snapshot),
    ]


class _Page:
    def __init__(self, live: Live, assets: Mapping[str, Asset]) -> None:
        self.live = live
        self.assets = assets
        # Streams by browser.
        self.streams: Counter[str] = Counter()

    async def index(self, request: Request) -> Response:
        return self._send(request, "index.html")

    async def asset(self, request: Request) -> Response:
        return self._send(request, request.path_params["name"])

    def _send(self, request: Request, name: str) -> Response:
        asset = self.assets.get(name)
        if asset is None:
            return PlainTextResponse("there is no such file\n", 404, _HEADERS)
        # Asked for again each time, and mostly not sent: after an upgrade nobody has half of the old page.
        headers = {**_HEADERS, "ETag": asset.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        body = asset.body
        if "gzip" in request.headers.get("accept-encoding", ""):
            body = asset.zipped
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type=asset.media_type, headers=headers)

    async def snapshot(self, request: Request) -> Response:
        """One answer, for a viewer who gets no stream. It counts as one who looks for as long as it takes."""
        live = self.live
        try:
            question, after = parse(request)
        except QuestionError as error:
            return PlainTextResponse(f"{error}\n", 400)
        with live.watching():
            body = await answer(live, question, after)
        return Response(body, media_type="application/json", headers=_FIGURES)

    async def events(self, request: Request) -> Response:
        try:
            question, after = parse(request)
        except QuestionError as error:
            return PlainTextResponse(f"{error}\n", 400)
        browser = request.query_params.get("browser", "")[:_BROWSER_CHARACTERS]
        if self.streams.total() >= STREAMS or (browser and self.streams[browser] >= STREAMS_PER_BROWSER):
            return PlainTextResponse("no more streams: ask /snapshot\n", 503, {"Retry-After": "15"})
        return _Stream(self.live, question, after, self.streams, browser)


def parse(request: Request) -> tuple[Question, float]:
    """The question of a request, and the moment after which it wants points of charts. QuestionError."""
    after = request.query_params.get("after", "0")
    if not (after.isascii() and after.replace(".", "", 1).isdigit() and len(after) < 20):
        raise QuestionError("after: seconds since 1970")
    return Question.parse(request.query_params), float(after)


class _Stream(Response):
    """An answer each tick, until the viewer leaves or the admin side stops."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, question: Question, after: float, streams: Counter[str], browser: str) -> None:
        self.live = live
        self.question = question
        self.after = after
        self.streams = streams
        self.browser = browser
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers(_FIGURES)
        # There is no length: init_headers() takes the empty body for all of it.
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self.streams[self.browser] += 1
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            self.streams[self.browser] -= 1
            if not self.streams[self.browser]:
                del self.streams[self.browser]

    async def _send_all(self, send: Send) -> None:
        live, after, tick = self.live, self.after, -1
        with live.watching():
            while not live.stopping.is_set():
                if live.ticks == tick:
                    await live.next_tick()
                    continue
                tick = live.ticks
                body = await answer(live, self.question, after)
                if live.chart:
                    after = live.chart[-1].at_s
                await send({"type": "http.response.body", "body": b"data: " + body + b"\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"event: end\ndata: {}\n\n", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
