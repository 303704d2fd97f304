"""The standard health service, grpc.health.v1.Health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from weir._gen.health_connect import Health
from weir._gen.health_pb import HealthCheckRequest, HealthCheckResponse
from weir.admin.state import AdminState

__all__ = ["HealthService"]

SERVICES: Final = ("", "weir.v1.Stats")


class HealthService(Health):
    """SERVING for the server ("") and for weir.v1.Stats while it runs."""

    def __init__(self, state: AdminState) -> None:
        self.state = state

    async def check(self, request: HealthCheckRequest, ctx: Any) -> HealthCheckResponse:
        if request.service not in SERVICES:
            raise ConnectError(Code.NOT_FOUND, f"no service {request.service!r} here")
        return HealthCheckResponse(status=HealthCheckResponse.ServingStatus.SERVING)

    async def watch(self, request: HealthCheckRequest, ctx: Any) -> AsyncIterator[HealthCheckResponse]:
        status = HealthCheckResponse.ServingStatus
        known = request.service in SERVICES
        yield HealthCheckResponse(status=status.SERVING if known else status.SERVICE_UNKNOWN)
        await self.state.stopping.wait()
        if known:
            yield HealthCheckResponse(status=status.NOT_SERVING)
