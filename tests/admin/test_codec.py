"""What a question in JSON is told when it is none."""

from __future__ import annotations

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from weir._gen import stats_pb as pb
from weir.admin.codec import StrictJSON


def test_what_is_right_comes_back() -> None:
    question = pb.GetStatsRequest(limit=3, sort=pb.Sort.P99, filter=pb.Filter(prefix="/\x00é"))
    codec = StrictJSON()
    assert codec.name() == "json"
    assert codec.decode(codec.encode(question), pb.GetStatsRequest) == question


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"limits": 3}', "there are filter, histograms, limit, reverse, since, sort, window"),
        (b'{"filter": {"name": "x"}}', "there are contains, path, prefix, route"),
        (b'{"sort": "P99"}', "one of SORT_REQUESTS, SORT_RESPONSE_BYTES"),
        (b'{"window": "1h"}', 'write "60s"'),
        (b'{"since": "now"}', 'write "2026-01-31T12:00:00Z"'),
        (b'{"limit": "x"}', "GetStatsRequest: "),
        (b"[]", "GetStatsRequest: "),
        (b"\xff", "GetStatsRequest: "),
        (b'{"sort": "\\u001b[2J\\n"}', "JSON: \\u001b[2J\\n; one of"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_do(content: bytes, says: str) -> None:
    with pytest.raises(ConnectError) as caught:
        StrictJSON().decode(content, pb.GetStatsRequest)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert says in caught.value.message
    assert caught.value.message.isprintable()


def test_an_error_is_short() -> None:
    with pytest.raises(ConnectError) as caught:
        StrictJSON().decode(b'{"sort": "%s"}' % (b"x" * 10_000), pb.GetStatsRequest)
    assert len(caught.value.message) < 1200
