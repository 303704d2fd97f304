"""Part 5: asks for the statistics over RPC, and prints them. It asks weir as well: the call is the same."""

from __future__ import annotations

import http.client
import json
import sys

from http1 import addresses

METHOD = "/weir.v1.Stats/GetStats"


def get_stats(host: str, port: int) -> list[tuple[str, int]]:
    """Paths with their bytes. Raises OSError, HTTPException or ValueError without an answer, else RuntimeError."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("POST", METHOD, "{}", {"Content-Type": "application/json"})
        response = connection.getresponse()
        reply = json.load(response)
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{reply.get('code')}: {reply.get('message')}")
    # Protobuf's JSON leaves out what is 0, and so a series without bytes has no such key.
    return [(series["path"], int(series.get("responseBodyBytes", 0))) for series in reply.get("series", [])]


def main() -> None:
    [(host, port)] = addresses(rpc="127.0.0.1:8079")
    try:
        stats = get_stats(host, port)
    except (OSError, http.client.HTTPException, ValueError, RuntimeError) as error:
        sys.exit(f"GetStats of {host}:{port} failed: {error}")
    for path, n in stats:
        # Strangers choose the paths: what would move the cursor is not printed.
        print(f"{n:12} {''.join(c if c.isprintable() else '?' for c in path)}")


if __name__ == "__main__":
    main()
