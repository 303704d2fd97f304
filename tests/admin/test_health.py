"""The standard health service."""

from __future__ import annotations

import asyncio

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from tests.admin.rig import PLAN, Counted, curl, served
from weir._gen.health_pb import HealthCheckRequest, HealthCheckResponse
from weir.admin.health import HealthService
from weir.admin.state import AdminState

Status = HealthCheckResponse.ServingStatus


async def check(url: str, service: str) -> tuple[int, object]:
    content = '{"service":"%s"}' % service  # noqa: UP031 - braces
    answer = await curl("-H", "Content-Type: application/json", "-d", content, f"{url}/grpc.health.v1.Health/Check")
    return answer.status, answer.json


async def test_check() -> None:
    async with served(Counted()) as server:
        assert await check(server.url, "") == (200, {"status": "SERVING"})
        assert await check(server.url, "weir.v1.Stats") == (200, {"status": "SERVING"})
        status, error = await check(server.url, "other")
    assert status == 404
    assert error == {"code": "not_found", "message": "no service 'other' here"}


async def test_watch_says_when_it_stops() -> None:
    state = AdminState(PLAN, Counted().table)
    service = HealthService(state)
    unknown = service.watch(HealthCheckRequest(service="other"), None)
    assert (await anext(unknown)).status is Status.SERVICE_UNKNOWN
    stream = service.watch(HealthCheckRequest(), None)
    assert (await anext(stream)).status is Status.SERVING
    coming = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.01)
    assert not coming.done()
    state.stopping.set()
    assert (await coming).status is Status.NOT_SERVING
    assert [each async for each in stream] == []
    assert [each async for each in unknown] == []


async def test_an_unknown_service_is_not_found() -> None:
    with pytest.raises(ConnectError) as caught:
        await HealthService(AdminState(PLAN, Counted().table)).check(HealthCheckRequest(service="x\n"), None)
    assert caught.value.code is Code.NOT_FOUND
    assert "\n" not in caught.value.message
