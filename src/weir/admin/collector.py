"""One POST to a collector: HTTP/1.1 over asyncio's streams, read by h11, bounded in time and in what is read.

No thread but for the look-up of the name, which nobody waits for: a thread cannot be called off, so a collector that
sends a byte now and then would hold up the end of the process. Here the timeout is for all of it, from the look-up of
the name to the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import functools
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

import h11

import weir
from weir.config.plan import OtlpPlan
from weir.names import look_up

__all__ = ["ExportError", "retry_after_s", "send"]

# OTLP: these may be tried again; anything else would be refused again.
RETRIED: Final = (429, 502, 503, 504)
# Of an answer: its head, what is read of its body, and what of it is said in an error.
HEAD_BYTES: Final = 16 << 10
BODY_BYTES: Final = 64 << 10
SAID_BYTES: Final = 200
READ_BYTES: Final = 4 << 10


class ExportError(Exception):
    """The collector did not take it. `wait_s`: it may be tried again, after so long a pause; None: it may not."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


async def send(plan: OtlpPlan, body: bytes) -> None:
    """Sends a body of gzipped JSON. ExportError if it was not taken within the plan's timeout."""
    try:
        async with asyncio.timeout(plan.timeout_ms / 1000):
            status, retry_after, said = await post(plan, body)
    except TimeoutError:
        raise ExportError(f"no answer within {plan.timeout_ms / 1000:g} s", 0.0) from None
    # ValueError: the look-up of a name that is none.
    except (OSError, EOFError, ValueError, h11.RemoteProtocolError) as error:
        raise ExportError(f"{type(error).__name__}: {error}", 0.0) from error
    except h11.LocalProtocolError:
        # Its message shows the field, which may be a secret.
        raise ExportError("the path of [otlp] endpoint, or one of its headers, cannot be sent") from None
    if status in RETRIED:
        raise ExportError(f"it answered {status}", retry_after_s(retry_after, time.time()))
    if not 200 <= status < 300:
        raise ExportError(f"it answered {status}: {said.decode(errors='replace').strip()!r}")


async def post(plan: OtlpPlan, body: bytes) -> tuple[int, str, bytes]:
    """The status, the Retry-After and the beginning of the body of the answer."""
    url = urlsplit(plan.endpoint)
    secure = url.scheme == "https"
    reader, writer = await connect(url.hostname or "", url.port or (443 if secure else 80), secure)
    try:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        request = h11.Request(
            method="POST",
            target=url.path if url.path not in ("", "/") else "/v1/metrics",
            headers=[
                ("Host", url.netloc),
                ("User-Agent", f"weir/{weir.__version__}"),
                ("Content-Type", "application/json"),
                ("Content-Encoding", "gzip"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
                *plan.headers,
            ],
        )
        for event in (request, h11.Data(body), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
        # A collector that refuses may do so, and close, before it has read all.
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return await answer(http, reader)
    finally:
        writer.transport.abort()


async def connect(host: str, port: int, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Tries the addresses of a host, one after the other."""
    failed = OSError("it has no address")
    for _family, _type, _protocol, _name, place in await look_up(host, port):
        try:
            return await asyncio.open_connection(
                place[0], port, ssl=trust() if secure else None, server_hostname=host if secure else None
            )
        except OSError as error:
            failed = error
    raise failed


async def answer(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    status, retry_after, said, read = 0, "", b"", 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            # At the end b"", which h11 takes for the end: of a body without length, or an error.
            http.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
            fields = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            retry_after = fields.get("retry-after", "")
        elif isinstance(event, h11.Data):
            # Read to its end, if that is near: who is cut off in the middle of an answer logs that.
            said, read = (said + event.data)[:SAID_BYTES], read + len(event.data)
            if read >= BODY_BYTES:
                return status, retry_after, said
        elif isinstance(event, h11.EndOfMessage):
            return status, retry_after, said
        elif not isinstance(event, h11.InformationalResponse):
            raise EOFError("it closed the connection without an answer")


def retry_after_s(value: str, now_s: float) -> float:
    """Seconds of a Retry-After, a number or a date (RFC 9110 section 10.2.3); 0 if it is neither."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - now_s, 0.0)
    except (ValueError, OverflowError):
        return 0.0


@functools.cache
def trust() -> ssl.SSLContext:
    """The authorities that the system trusts: reading them takes a while, so they are read once."""
    return ssl.create_default_context()
