"""The admin application: RPC, and whatever else the admin address answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from connectrpc.codec import proto_binary_codec
from connectrpc_grpcreflect import (
    ServerReflectionAlphaASGIApplication,
    ServerReflectionAlphaService,
    ServerReflectionASGIApplication,
    ServerReflectionService,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from weir._gen import endpoints_pb, health_pb, stats_pb
from weir._gen.endpoints_connect import EndpointsASGIApplication
from weir._gen.health_connect import HealthASGIApplication
from weir._gen.stats_connect import StatsASGIApplication
from weir.admin import metrics, page
from weir.admin.codec import StrictJSON
from weir.admin.endpoints import EndpointsService
from weir.admin.health import HealthService
from weir.admin.rpc import StatsService
from weir.admin.state import AdminState

__all__ = ["make_app"]

# Of a request: all of them are small.
MOST_REQUEST_BYTES = 64 << 10


def make_app(state: AdminState) -> Starlette:
    """All that the admin address answers, without the question who may ask (`weir.admin.auth`)."""
    fixed = [*rpc_routes(state), *metrics.routes(state), *page.routes(state.live), Route("/healthz", healthz)]
    return Starlette(routes=fixed)


def rpc_routes(state: AdminState) -> Iterable[BaseRoute]:
    """weir.v1.Stats, weir.v1.Endpoints, the standard health service and reflection, each under the path of its name."""
    described = (stats_pb.desc(), endpoints_pb.desc(), health_pb.desc())
    limit = MOST_REQUEST_BYTES
    codecs = (proto_binary_codec(), StrictJSON())
    applications = (
        StatsASGIApplication(StatsService(state), read_max_bytes=limit, codecs=codecs),
        EndpointsASGIApplication(EndpointsService(state), read_max_bytes=limit, codecs=codecs),
        HealthASGIApplication(HealthService(state), read_max_bytes=limit, codecs=codecs),
        ServerReflectionASGIApplication(ServerReflectionService(*described), read_max_bytes=limit),
        ServerReflectionAlphaASGIApplication(ServerReflectionAlphaService(*described), read_max_bytes=limit),
    )
    return [Mount(application.path, cast(ASGIApp, application)) for application in applications]


async def healthz(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
