"""Nanoseconds of CPU per head of the compiled parsers: python bench/parsers.py [repeats]."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from weir.plane.fields import ForwardedPolicy
from weir.plane.parsers import check, forward_request, forward_response, parse_request, parse_response

REQUEST = (
    b"GET /static/app.js?v=3 HTTP/1.1\r\nHost: example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: */*\r\nAccept-Encoding: gzip, br\r\nConnection: keep-alive\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 04:51:51 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 1024\r\nLast-Modified: Tue, 24 Nov 2026 04:00:00 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "65b0-400"\r\nAccept-Ranges: bytes\r\n\r\n'
)
ROUNDS = 5


def nanoseconds(call: Callable[..., object], data: bytes, repeat: int, **options: Any) -> float:
    """The best of some rounds; what a call from Python costs is spread over `repeat`."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        call(data, repeat=repeat, **options)
        best = min(best, time.process_time() - start)
    return best / repeat * 1e9


def main() -> None:
    """Prints one line per parser."""
    repeat = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rows: list[tuple[str, Callable[..., object], bytes, dict[str, Any]]] = [
        ("scan_request", parse_request, REQUEST, {}),
        ("scan_response", parse_response, RESPONSE, {}),
        ("frame_request + check_request", check, REQUEST, {}),
        ("write_request_head, X-Forwarded-* and Via", forward_request, REQUEST, {}),
        (
            "write_request_head, as it came",
            forward_request,
            REQUEST,
            {"forwarded": ForwardedPolicy.FWD_KEEP, "via": False},
        ),
        ("write_response_head, Via and X-Bytes", forward_response, RESPONSE, {"counter_value": 123_456}),
    ]
    for name, call, data, options in rows:
        print(f"{name:42} {len(data):4} bytes {nanoseconds(call, data, repeat, **options):7.1f} ns")


if __name__ == "__main__":
    main()
