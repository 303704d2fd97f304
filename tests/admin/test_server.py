"""Serving in somebody else's loop: what is refused, how it ends, and gRPC by a client that knows nothing of weir."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.admin.rig import PLAN, STATS, Counted, ask, curl, next_message, served, watching
from weir.admin import server as module
from weir.admin.server import AdminRefusedError, serve


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
async def test_an_address_for_others_needs_a_token(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listening:
        with pytest.raises(AdminRefusedError, match="can be reached from other machines"):
            async with serve(PLAN, Counted().table, [listening]):
                pytest.fail("it serves")
        async with serve(PLAN, Counted().table, [listening], token="t" * 32):
            answer = await curl(f"http://localhost:{listening.getsockname()[1]}/healthz")
            assert answer.status == 200


async def test_streams_do_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Those who read are told that it ends, at once; those that do not are cut off.

    It takes half a second; the bound is for machines that others keep busy, and each would have gone on for an hour.
    """
    took = await end_with_open_streams()
    print(f"the end took {took:.2f} s")
    assert took < 10
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def end_with_open_streams() -> float:
    """How many seconds it took to leave the server's context."""
    counted = Counted(rows=4096)
    for number in range(4000):
        counted.count(b"/%d" % number)
    question = {"interval": "0.2s", "limit": 2000, "histograms": True}
    async with contextlib.AsyncExitStack() as clients:
        async with served(counted) as running:
            reader, _ = await clients.enter_async_context(watching(running, {"interval": "3600s"}))
            for _ in range(3):
                await clients.enter_async_context(watching(running, question, receive_bytes=4096))
            for _ in range(4):
                await asyncio.sleep(0.2)
                for number in range(4000):
                    counted.count(b"/%d" % number, 2)
            started = time.monotonic()
        took = time.monotonic() - started
        assert await asyncio.wait_for(next_message(reader), 2) == (2, {})
    return took


@pytest.mark.parametrize("http", ["zttp", "h11"])
async def test_who_sends_no_whole_request_is_cut_off(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a thousand of them would be all that the address serves."""
    monkeypatch.setattr(module, "protocol", lambda: {"http": http, "http2": True} if http == "zttp" else {"http": http})
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    head = b"POST /weir.v1.Stats/GetStats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    stalled = (b"GET /metrics HTTP/1.1\r\nHost: local", head + b"Content-Length: 10\r\n\r\n{", b"")
    async with served(Counted()) as running:
        async with watching(running, {"interval": "0.2s"}) as (stream, _):
            pairs = [await asyncio.open_connection(running.host, running.port) for _ in stalled]
            for (_, writer), begun in zip(pairs, stalled, strict=True):
                writer.write(begun)
            for reader, writer in pairs:
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(reader.read(), 10) == b""
                writer.close()
            for _ in range(5):  # who is served is not
                assert (await next_message(stream))[0] == 0


async def test_the_sockets_stay_the_callers() -> None:
    counted = Counted()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        open_now = []
        for _ in range(4):
            async with serve(PLAN, counted.table, [listening]):
                assert (await curl(f"http://127.0.0.1:{listening.getsockname()[1]}/healthz")).status == 200
            await asyncio.sleep(0.05)
            gc.collect()
            open_now.append(len(os.listdir("/proc/self/fd")))
        assert listening.fileno() >= 0
    assert len(set(open_now[1:])) == 1, open_now


async def test_signals_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with served(Counted()):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_without_the_extra_a_grpc_client_is_told_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "protocol", lambda: {"http": "h11"})
    counted = Counted()
    counted.count(b"/a", 3)
    async with served(counted) as running:
        assert (await ask(running, "GetStats")).json["total"]["requests"] == "3"
        code = await asyncio.to_thread(grpc_code, f"{running.host}:{running.port}")
        async with watching(running, {"interval": "0.2s"}) as (reader, _):
            assert (await next_message(reader))[0] == 0
    assert code is not grpc.StatusCode.OK


def grpc_code(target: str) -> Any:
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(STATS + "GetStats", request_serializer=bytes, response_deserializer=bytes)
        try:
            call(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


class Generic:
    """A gRPC client that learns by reflection what there is."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.database)

    def call(self, service: str, method: str, question: dict[str, Any], metadata: Any = ()) -> list[dict[str, Any]]:
        """The first two answers."""
        found = self.pool.FindServiceByName(service).FindMethodByName(method)
        request = json_format.ParseDict(question, GetMessageClass(found.input_type)())
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        call = kind(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        answer = call(request, timeout=20, metadata=metadata)
        if not found.server_streaming:
            return [json_format.MessageToDict(answer)]
        messages = [json_format.MessageToDict(next(answer)) for _ in range(2)]
        answer.cancel()
        return messages


async def test_a_generic_grpc_client_by_reflection() -> None:
    counted = Counted()
    counted.count(b"/a", 5)
    counted.count(b"/b\xff", 9)

    def talk(target: str) -> None:
        with grpc.insecure_channel(target) as channel:
            generic = Generic(channel)
            assert {"weir.v1.Stats", "grpc.health.v1.Health"} <= set(generic.database.get_services())
            (stats,) = generic.call("weir.v1.Stats", "GetStats", {"sort": "SORT_REQUESTS", "limit": 1})
            assert (stats["series"][0]["path"], stats["series"][0]["requests"]) == ("/b\\xFF", "9")
            assert generic.call("grpc.health.v1.Health", "Check", {}) == [{"status": "SERVING"}]
            first, second = generic.call("weir.v1.Stats", "WatchStats", {"interval": "0.2s"})
            assert second["stats"]["since"] == first["stats"]["taken"]
            with pytest.raises(grpc.RpcError) as caught:
                generic.call("weir.v1.Stats", "GetStats", {"limit": 50_000})
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "limit: 50000 is more than 10000" in caught.value.details()

    async with served(counted) as running:
        await asyncio.to_thread(talk, f"{running.host}:{running.port}")


async def test_grpc_with_a_token() -> None:
    async with served(Counted(), token="t" * 32) as running:
        target = f"{running.host}:{running.port}"
        assert await asyncio.to_thread(grpc_code, target) is grpc.StatusCode.UNAUTHENTICATED
