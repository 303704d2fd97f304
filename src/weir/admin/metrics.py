"""`/metrics`: what Prometheus and its kin scrape."""

from __future__ import annotations

import time
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from weir.admin import exposition
from weir.admin.families import collect
from weir.admin.state import AdminState

__all__ = ["routes"]

# Scrapers that come together get the same answer.
CACHED_S: Final = 1.0
# Single paths are for who asks with ?paths=N, and so many at most: each is about 30 series, of outside text.
MOST_PATHS: Final = 100


class Metrics:
    """The answers of the last second, by format and number of paths."""

    def __init__(self, state: AdminState) -> None:
        self.state = state
        self._made: dict[tuple[str, int], tuple[float, bytes]] = {}

    async def answer(self, request: Request) -> Response:
        wanted = request.query_params.get("paths", "0")
        if not (wanted.isascii() and wanted.isdigit() and len(wanted) <= 3 and int(wanted) <= MOST_PATHS):
            return PlainTextResponse(f"paths: how many of the busiest paths, 0 to {MOST_PATHS}\n", 400)
        name, media = exposition.choose(request.headers.get("accept", ""))
        return Response(self.written(name, int(wanted)), headers={"Content-Type": media, "Vary": "Accept"})

    def written(self, name: str, paths: int = 0) -> bytes:
        """All metrics in a format ("text", "openmetrics" or "protobuf"), with the `paths` busiest paths."""
        now = time.monotonic()
        made = self._made.get((name, paths))
        if made is None or now - made[0] >= CACHED_S:
            write = {
                "text": exposition.as_text,
                "openmetrics": exposition.as_openmetrics,
                "protobuf": exposition.as_protobuf,
            }[name]
            self._made = {asked: old for asked, old in self._made.items() if now - old[0] < CACHED_S}
            made = self._made[name, paths] = (now, write(collect(self.state, paths)))
        return made[1]


def routes(state: AdminState) -> list[BaseRoute]:
    """For the admin application."""
    return [Route("/metrics", Metrics(state).answer)]
