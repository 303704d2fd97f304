"""What the admin address answers, and what it does not."""

from __future__ import annotations

import gzip
import struct

import pytest

from tests.admin.rig import STATS, Counted, ask, curl, served
from weir._gen import stats_pb as pb

GRPC_WEB = ("-H", "Content-Type: application/grpc-web+proto", "-H", "X-Grpc-Web: 1", "--data-binary", "@-")


async def test_what_is_served() -> None:
    async with served(Counted()) as server:
        healthy = await curl(f"{server.url}/healthz")
        assert (healthy.status, healthy.body) == (200, b"ok\n")
        assert (await curl(f"{server.url}/metrics")).status == 200
        assert (await curl(f"{server.url}/nowhere")).status == 404
        assert (await ask(server, "GetNothing")).status == 404
        assert "server" not in healthy.headers


@pytest.mark.parametrize(("size", "status"), [(60 << 10, 200), (70 << 10, 429), (20 << 20, 429)])
async def test_questions_are_small(size: int, status: int) -> None:
    async with served(Counted()) as server:
        content = b'{"filter":{"prefix":"%s"}}' % (b"x" * size)
        url = f"{server.url}{STATS}GetStats"
        answer = await curl("-H", "Content-Type: application/json", "--data-binary", "@-", url, input=content)
        assert answer.status == status
        assert status == 200 or answer.json["code"] == "resource_exhausted"
        # Nor does a small question become a large one.
        packed = gzip.compress(content)
        more = ("-H", "Content-Encoding: gzip", "-H", "Content-Type: application/json")
        assert (await curl(*more, "--data-binary", "@-", url, input=packed)).status == status


async def test_protobuf_over_connect() -> None:
    counted = Counted()
    counted.count(b"/a", 5)
    question = pb.GetStatsRequest(sort=pb.Sort.P99, limit=1).to_binary()
    async with served(counted) as server:
        url = f"{server.url}{STATS}GetStats"
        answer = await curl("-H", "Content-Type: application/proto", "--data-binary", "@-", url, input=question)
    assert answer.headers["content-type"] == "application/proto"
    stats = pb.GetStatsResponse.from_binary(answer.body)
    assert [(series.path, series.requests) for series in stats.series] == [("/a", 5)]


async def test_grpc_web_byte_by_byte() -> None:
    """A frame is a byte of flags and four of length; trailers are a frame with the highest bit, in the body."""
    counted = Counted()
    counted.count(b"/a", 5)
    question = pb.GetStatsRequest(limit=1).to_binary()
    wrong = pb.GetStatsRequest(limit=99_999).to_binary()
    async with served(counted) as server:
        url = f"{server.url}{STATS}GetStats"
        good = await curl(*GRPC_WEB, url, input=struct.pack(">BI", 0, len(question)) + question)
        bad = await curl(*GRPC_WEB, url, input=struct.pack(">BI", 0, len(wrong)) + wrong)
    assert (good.status, good.headers["content-type"]) == (200, "application/grpc-web+proto")
    flags, size = struct.unpack_from(">BI", good.body)
    assert flags == 0
    stats = pb.GetStatsResponse.from_binary(good.body[5 : 5 + size])
    assert [series.requests for series in stats.series] == [5]
    trailers = good.body[5 + size :]
    assert trailers[0] == 0x80
    assert struct.unpack_from(">I", trailers, 1)[0] == len(trailers) - 5
    assert b"grpc-status:0" in trailers.replace(b" ", b"")
    assert bad.body[0] == 0x80
    assert b"grpc-status:3" in bad.body.replace(b" ", b"")
    assert b"limit" in bad.body
