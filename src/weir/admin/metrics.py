"""`/metrics`: what Prometheus and its kin scrape."""

from __future__ import annotations

import time
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from weir.admin import exposition
from weir.admin.families import collect
from weir.admin.state import AdminState

__all__ = ["routes"]

# Scrapers that come together get the same answer.
CACHED_S: Final = 1.0


class Metrics:
    """The answers of the last second, by format."""

    def __init__(self, state: AdminState) -> None:
        self.state = state
        self._made: dict[str, tuple[float, bytes]] = {}

    async def answer(self, request: Request) -> Response:
        name, media = exposition.choose(request.headers.get("accept", ""))
        return Response(self.written(name), headers={"Content-Type": media, "Vary": "Accept"})

    def written(self, name: str) -> bytes:
        """All metrics in a format: "text", "openmetrics" or "protobuf"."""
        now = time.monotonic()
        made = self._made.get(name)
        if made is None or now - made[0] >= CACHED_S:
            write = {
                "text": exposition.as_text,
                "openmetrics": exposition.as_openmetrics,
                "protobuf": exposition.as_protobuf,
            }[name]
            made = self._made[name] = (now, write(collect(self.state)))
        return made[1]


def routes(state: AdminState) -> list[BaseRoute]:
    """For the admin application."""
    return [Route("/metrics", Metrics(state).answer)]
