"""Bodies in hooks, in real processes: both directions at once, larger than anything that is held."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import listening, running

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
TOTAL = 24 * MIB

HOOKS = """\
import weir

@weir.hook("request_body", path="/plain")
def there(piece, request):
    return piece.swapcase()

@weir.hook("response_body", path="/plain")
def back(piece, response):
    return piece.replace(b"a", b"b")

@weir.hook("request", path="/generator")
def asked(request):
    request.transform(pieces_of)

@weir.hook("response", path="/generator")
def answered(response):
    response.transform(pieces_of)

async def pieces_of(pieces):
    async for piece in pieces:
        yield piece.swapcase()

@weir.hook("request", path="/read")
async def read(request):
    body = await request.read(limit=64 << 20)
    return weir.Answer(200, made(body))

async def made(body):
    for at in range(0, len(body), 100_000):
        yield body[at : at + 100_000]
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it is sent, as it comes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while size := int(self.rfile.readline(), 16):
            piece = self.rfile.read(size + 2)
            self.wfile.write(b"%x\r\n%s" % (size, piece))
        self.rfile.readline()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of an endpoint that answers with what it is sent."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("path", "comes"), [("/plain", b"X b"), ("/generator", b"x A"), ("/read", b"x A")])
def test_large_bodies_both_ways(tmp_path: Path, echo: int, path: str, comes: bytes) -> None:
    (tmp_path / "app.py").write_text(HOOKS)
    options = ["--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{echo}", "--hooks", str(tmp_path / "app.py")]
    with running(tmp_path, "run", *options) as weir:
        host, _, port = listening(weir).rpartition(":")
        client = http.client.HTTPConnection(host, int(port), timeout=30)
        received: list[bytes] = []

        def receive() -> None:
            response = http.client.HTTPResponse(client.sock, method="POST")
            response.begin()
            assert response.status == 200
            while piece := response.read(MIB):
                received.append(piece)

        client.putrequest("POST", path)
        client.putheader("Transfer-Encoding", "chunked")
        client.endheaders()
        reader = threading.Thread(target=receive)
        reader.start()
        sent = b"x A" * (MIB // 3)
        for _ in range(TOTAL // MIB):
            client.send(b"%x\r\n%s\r\n" % (len(sent), sent))
        client.send(b"0\r\n\r\n")
        reader.join()
        assert b"".join(received) == comes * (MIB // 3) * (TOTAL // MIB)
        client.close()
        assert weir.stop() == 0
