"""The PROXY protocol: what is read, what is refused, and what that does to a connection."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.config.network_kinds import networks
from weir.plane.parsers import make_proxy_header, read_proxy_header

Stage = Callable[..., Scene]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 443\r\n"
CRC32C_TABLE = [0] * 256
for _n in range(256):
    _c = _n
    for _ in range(8):
        _c = _c >> 1 ^ (0x82F63B78 if _c & 1 else 0)
    CRC32C_TABLE[_n] = _c


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def v2(block: bytes = b"", *, command: int = 0x21, protocol: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, protocol]) + struct.pack("!H", len(block)) + block


def ipv4(source: str = "192.0.2.7", destination: str = "192.0.2.8", ports: tuple[int, int] = (56324, 443)) -> bytes:
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", *ports)


def ipv6(source: str, destination: str, ports: tuple[int, int]) -> bytes:
    pack = socket.inet_pton
    return pack(socket.AF_INET6, source) + pack(socket.AF_INET6, destination) + struct.pack("!HH", *ports)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def with_checksum(block: bytes, by: int = 0) -> bytes:
    """A header that ends with its checksum, which is wrong `by` so much."""
    head = v2(block + tlv(3, b"\0\0\0\0"))
    return head[:-4] + struct.pack("!I", crc32c(head) ^ by)


FOUR = (("192.0.2.7", 56324), ("192.0.2.8", 443))
SSL = tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3"))

GOOD: dict[str, tuple[bytes, bool, Any]] = {
    "v1 IPv4": (V1, False, FOUR),
    "v1 IPv6": (b"PROXY TCP6 2001:DB8::1 ::1 0 65535\r\n", False, (("2001:db8::1", 0), ("::1", 65535))),
    "v1 IPv6 in full": (
        b"PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0001 ::ffff:192.0.2.8 1 2\r\n",
        False,
        (("2001:db8::1", 1), ("192.0.2.8", 2)),
    ),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", False, None),
    "v1 unknown with more": (b"PROXY UNKNOWN " + b"\xff" * 91 + b"\r\n", False, None),
    "v2 IPv4": (v2(ipv4()), False, FOUR),
    "v2 IPv6": (
        v2(ipv6("2001:db8::1", "::2", (1, 2)), protocol=0x21),
        False,
        (("2001:db8::1", 1), ("::2", 2)),
    ),
    "v2 IPv4 in IPv6": (
        v2(ipv6("::ffff:192.0.2.7", "::2", (1, 2)), protocol=0x21),
        False,
        (("192.0.2.7", 1), ("::2", 2)),
    ),
    "v2 Unix": (v2(bytes(216), protocol=0x31), False, (("unix:", 0), ("unix:", 0))),
    "v2 UDP": (v2(ipv4(), protocol=0x12), False, None),
    "v2 local": (v2(command=0x20, protocol=0), False, None),
    "v2 local with addresses": (v2(ipv4(), command=0x20), False, None),
    "v2 local of a family that is none": (v2(b"abc", command=0x20, protocol=0x77), False, None),
    "v2 unspecified": (v2(protocol=0), False, None),
    "v2 with TLVs": (v2(ipv4() + tlv(4, b"") + tlv(0xEA, b"vpc") + tlv(5, b"x" * 128)), False, FOUR),
    "v2 with TLS": (v2(ipv4() + SSL), True, FOUR),
    "v2 with TLS that was none": (v2(ipv4() + tlv(0x20, b"\0" * 5)), False, FOUR),
    "v2 with a checksum": (with_checksum(ipv4() + SSL), True, FOUR),
    "v2 as long as may be": (v2(ipv4() + tlv(4, bytes(4096 - 16 - 12 - 3))), False, FOUR),
}

BAD = {
    "HTTP": GET,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "v1 in lower case": V1.lower(),
    "v1 with two spaces": V1.replace(b" TCP4", b"  TCP4"),
    "v1 with a tab": V1.replace(b" TCP4", b"\tTCP4"),
    "v1 with LF alone": V1.replace(b"\r", b""),
    "v1 with CR in it": V1.replace(b" 443", b"\r443"),
    "v1 with a space behind": V1.replace(b"\r", b" \r"),
    "v1 with more": V1.replace(b"\r", b" 1\r"),
    "v1 with less": V1.replace(b" 443", b""),
    "v1 with nothing": b"PROXY \r\n",
    "v1 of UDP": V1.replace(b"TCP4", b"UDP4"),
    "v1 of TCP5": V1.replace(b"TCP4", b"TCP5"),
    "v1 of an unknown that is none": b"PROXY UNKNOWNS\r\n",
    "v1 IPv6 as IPv4": V1.replace(b"192.0.2.7", b"::1"),
    "v1 IPv4 as IPv6": V1.replace(b"TCP4", b"TCP6"),
    "v1 leading zero": V1.replace(b"192.0.2.7", b"192.0.02.7"),
    "v1 short address": V1.replace(b"192.0.2.7", b"192.0.7"),
    "v1 address out of range": V1.replace(b"192.0.2.7", b"192.0.2.256"),
    "v1 address with NUL": V1.replace(b"192.0.2.7", b"192.0.2.7\0"),
    "v1 address with a zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "v1 port with a zero": V1.replace(b"443", b"0443"),
    "v1 port out of range": V1.replace(b"443", b"65536"),
    "v1 port that is none": V1.replace(b"443", b"4x3"),
    "v1 negative port": V1.replace(b"443", b"-43"),
    "v1 too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "v1 without end": b"PROXY UNKNOWN" + b" " * 200,
    "v2 signature": SIGNATURE[:-1] + b"\r" + v2(ipv4())[12:],
    "v2 version 1": v2(ipv4(), command=0x11),
    "v2 version 3": v2(ipv4(), command=0x31),
    "v2 command 2": v2(ipv4(), command=0x22),
    "v2 family 4": v2(ipv4(), protocol=0x41),
    "v2 transport 3": v2(ipv4(), protocol=0x13),
    "v2 family without transport": v2(ipv4(), protocol=0x10),
    "v2 short addresses": v2(ipv4()[:-1]),
    "v2 short IPv6": v2(ipv4(), protocol=0x21),
    "v2 short Unix": v2(bytes(215), protocol=0x31),
    "v2 half a TLV": v2(ipv4() + b"\x04\0"),
    "v2 TLV beyond the end": v2(ipv4() + tlv(4, b"abc")[:-1]),
    "v2 wrong checksum": with_checksum(ipv4(), by=1),
    "v2 short checksum": v2(ipv4() + tlv(3, b"abc")),
    "v2 two checksums": v2(ipv4() + tlv(3, b"abcd") + tlv(3, b"abcd")),
    "v2 short TLS": v2(ipv4() + tlv(0x20, b"\x01\0\0\0")),
    "v2 too long": v2(ipv4() + tlv(4, bytes(4096 - 16 - 12 - 2))),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_a_header_says(name: str) -> None:
    header, tls, addresses = GOOD[name]
    expected = (len(header), tls, *(addresses or (None, None)))
    assert read_proxy_header(header + GET) == expected
    for step in (1, 2, 7):
        assert read_proxy_header(header + GET, step) == expected
    for n in range(len(header)):
        assert read_proxy_header(header[:n]) is None, "nothing is believed before all of it is there"


@pytest.mark.parametrize("name", BAD)
def test_what_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="no PROXY header"):
        read_proxy_header(BAD[name])
    with pytest.raises(ValueError, match="no PROXY header"):
        read_proxy_header(BAD[name], 1)


def test_the_checksum_is_that_of_rfc_4960() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("192.0.2.7:56324", "192.0.2.8:443"),
        ("[2001:db8::1]:1", "[::1]:65535"),
        ("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "255.255.255.255:65535"),
        ("255.255.255.255:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535"),
        ("192.0.2.7", "192.0.2.8"),
    ],
)
def test_what_is_written_can_be_read(version: int, source: str, destination: str) -> None:
    header = make_proxy_header(version, source.encode(), destination.encode())
    assert len(header) <= 107
    read = read_proxy_header(header + GET)
    assert read is not None
    length, tls, *addresses = read
    assert (length, tls) == (len(header), False)
    shown = []
    for text in (source, destination):
        host, _, port = text.rpartition(":") if "]:" in text or text.count(":") == 1 else (text, "", "0")
        shown.append((host.strip("[]"), int(port)))
    assert addresses == shown


def test_what_is_written_of_nobody() -> None:
    assert make_proxy_header(1, b"unix:", b"192.0.2.8:443") == b"PROXY UNKNOWN\r\n"
    assert make_proxy_header(2, b"unix:", b"192.0.2.8:443") == v2(protocol=0)
    assert make_proxy_header(2, b"192.0.2.7:1", b"192.0.2.8:443", local=True) == v2(command=0x20, protocol=0)


# On a connection

NEEDED = {"proxy_protocol": "require", "forwarded": "replace"}


def stage_with(stage: Stage, *trusted: str, **listener: Any) -> Scene:
    return stage(listener={**NEEDED, "trusted_proxies": networks().read(list(trusted)), **listener})


def lines(scene: Scene) -> list[dict[str, Any]]:
    return [json.loads(line) for line in scene.log.take().splitlines()]


@pytest.mark.parametrize("name", GOOD)
def test_the_client_is_who_the_header_says(stage: Stage, name: str) -> None:
    header, tls, addresses = GOOD[name]
    scene = stage_with(stage)
    client = scene.client(header + GET, "10.0.0.1")
    name = addresses[0][0] if addresses else "10.0.0.1"
    seen = scene.endpoint().take_sent()
    assert f"\r\nX-Forwarded-For: {name}\r\nX-Forwarded-Proto: {'https' if tls else 'http'}\r\n".encode() in seen
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.send(client, GET)
    assert f"\r\nX-Forwarded-For: {name}\r\n".encode() in scene.endpoint().take_sent()
    scene.send(scene.endpoint(), OK)
    assert [line["client"] for line in lines(scene)] == [name] * 2
    assert scene.reasons() == {}


@pytest.mark.parametrize("header", [V1, with_checksum(ipv4() + SSL)], ids=["v1", "v2"])
def test_in_pieces_at_every_byte(stage: Stage, header: bytes) -> None:
    scene = stage_with(stage)
    data = header + GET
    for at in range(1, len(data)):
        client = scene.client(data[:at], "10.0.0.1")
        scene.send(client, data[at:])
        assert b"\r\nX-Forwarded-For: 192.0.2.7\r\n" in scene.endpoint().take_sent()
        scene.send(scene.endpoint(), OK)
        assert client.take_sent() == OK
        scene.end(client)
        assert client.is_closed
    client = scene.client(b"", "10.0.0.1")
    for byte in data:
        scene.send(client, bytes([byte]))
    assert scene.endpoint().take_sent().startswith(b"GET /a HTTP/1.1\r\n")
    assert scene.reasons() == {}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_ends_the_connection(stage: Stage, name: str) -> None:
    scene = stage_with(stage)
    client = scene.client(BAD[name] + GET, "10.0.0.1")
    assert client.was_reset
    assert client.take_sent() == b""
    assert scene.dials == 0
    assert scene.reasons() == {"bad_proxy_header": 1}
    assert [(line["client"], line["status"] or 0, line["reason"]) for line in lines(scene)] == [
        ("10.0.0.1", 0, "bad_proxy_header")
    ]


def test_a_second_header_is_a_bad_request(stage: Stage) -> None:
    scene = stage_with(stage)
    client = scene.client(V1 + V1 + GET, "10.0.0.1")
    assert client.take_sent().startswith(b"HTTP/1.1 400 ")
    assert scene.reasons() == {"bad_request": 1}
    scene.end(client)


def test_a_slow_header_is_not_waited_for(stage: Stage) -> None:
    scene = stage_with(stage, request_header_timeout_ms=500)
    client = scene.client(V1[:9], "10.0.0.1")
    scene.wait_ms(300)
    scene.send(client, V1[9:12])
    assert not client.is_closed
    scene.wait_ms(250)
    assert client.was_reset
    assert scene.reasons() == {"proxy_header_timeout": 1}
    assert [line["reason"] for line in lines(scene)] == ["proxy_header_timeout"]


def test_after_the_header_the_time_for_a_head_begins(stage: Stage) -> None:
    scene = stage_with(stage, request_header_timeout_ms=500)
    client = scene.client(b"", "10.0.0.1")
    scene.wait_ms(400)
    scene.send(client, V1)
    scene.wait_ms(400)
    assert scene.plane.ledger()["downstreams"] == 1
    scene.wait_ms(150)
    assert client.is_closed
    assert scene.reasons() == {"idle_timeout": 1}


@pytest.mark.parametrize("sent", [b"", V1[:20]])
def test_a_peer_that_goes_before_its_header(stage: Stage, sent: bytes) -> None:
    scene = stage_with(stage)
    client = scene.client(sent, "10.0.0.1")
    scene.end(client)
    assert client.is_closed
    # Who connects and says nothing, as checks of health do, is no failure.
    assert scene.reasons() == ({"client_closed": 1} if sent else {})
    other = scene.client(sent, "10.0.0.1")
    scene.reset(other)
    assert other.is_closed


def test_stopping_does_not_wait_for_a_header(stage: Stage) -> None:
    scene = stage_with(stage)
    client = scene.client(V1[:20], "10.0.0.1")
    quiet: list[bool] = []
    scene.plane.drain(lambda: quiet.append(True))
    assert client.is_closed
    assert quiet == [True]


def test_only_from_trusted_proxies(stage: Stage) -> None:
    scene = stage_with(stage, "10.0.0.0/8", "2001:db8::/32")
    for host in ("192.0.2.1", "2001:db9::1", None):
        client = scene.client(V1 + GET, host)
        assert client.was_reset
        assert client.take_sent() == b""
    assert scene.dials == 0
    assert scene.reasons() == {"untrusted_proxy": 3}
    assert [line["client"] for line in lines(scene)] == ["192.0.2.1", "2001:db9::1", "unix:"]
    for host in ("10.255.0.1", "2001:db8::1"):
        scene.client(V1 + GET, host)
        assert b"\r\nX-Forwarded-For: 192.0.2.7\r\n" in scene.endpoint().take_sent()


def test_a_header_and_a_trusted_proxy_behind_it(stage: Stage) -> None:
    """The header's client is a trusted proxy itself: what that says of its clients counts."""
    scene = stage_with(stage, "10.0.0.1", "192.0.2.0/24")
    client = scene.client(V1 + GET[:-2] + b"X-Forwarded-For: 203.0.113.9\r\n\r\n", "10.0.0.1")
    assert b"\r\nX-Forwarded-For: 203.0.113.9\r\n" in scene.endpoint().take_sent()
    scene.send(scene.endpoint(), OK)
    client.take_sent()
    other = b"PROXY TCP4 198.51.100.1 192.0.2.8 1 2\r\n"
    scene.client(other + GET[:-2] + b"X-Forwarded-For: 203.0.113.9\r\n\r\n", "10.0.0.1")
    assert b"\r\nX-Forwarded-For: 198.51.100.1\r\n" in scene.endpoint().take_sent()
