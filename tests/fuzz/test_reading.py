from __future__ import annotations

import pytest

from fuzz.reading import Chunks, dechunk, members, split_lines


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"5\r\nhello\r\n0\r\n\r\nGET", Chunks(b"hello", b"", 15, True)),
        (b"005;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n", Chunks(b"hello", b"x: y\r\n", 27, True)),
        (b"5\r\nhel", Chunks(b"hel", b"", 8, False)),
        (b"5\r\nhellox", Chunks(b"hello", b"", 8, False)),
        (b"5 \r\nhello\r\n0\r\n\r\n", Chunks(b"", b"", 0, False)),
        (b"1" + b"0" * 15 + b"\r\n", Chunks(b"", b"", 0, False)),
        (b"0" * 255 + b"\r\n\r\n", Chunks(b"", b"", 0, False)),
        (b"0\r\n" + b"a:\r\n" * 101 + b"\r\n", Chunks(b"", b"", 3, False)),
    ],
)
def test_chunks(data: bytes, expected: Chunks) -> None:
    assert dechunk(data) == expected


def test_lists_and_lines() -> None:
    assert members([b"a, B\t,,c;q=1", b"", b" d"]) == [b"a", b"b", b"c;q=1", b"d"]
    assert split_lines(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == [b"GET / HTTP/1.1", b"Host: a"]
