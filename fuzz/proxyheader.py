"""PROXY headers: what weir reads is what an independent reader finds by the specification, whole and in pieces."""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import NamedTuple

from weir.plane.parsers import make_proxy_header, read_proxy_header

__all__ = ["proxy_header"]

End = tuple[str, int]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1_BYTES, V2_BYTES = 107, 4096
_PORT = rb"(0|[1-9][0-9]{0,4})"
_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\n]*)?|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) " + _PORT + b" " + _PORT + rb")\r\n"
)
ADDRESS_BYTES = {0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}


class Said(NamedTuple):
    """A header as it was read; `ends`: None, it tells of nobody."""

    length: int
    tls: bool
    ends: tuple[End, End] | None


def _address(packed: bytes | str) -> str:
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(address)
    return str(address)


def _v1(data: bytes) -> Said | None:
    line = _V1.match(data)
    if line is None or line.end() > V1_BYTES:
        return None
    if line[1] is None:
        return Said(line.end(), False, None)
    ends = []
    for host, port in ((line[2], line[4]), (line[3], line[5])):
        try:
            kind = ipaddress.IPv4Address if line[1] == b"4" else ipaddress.IPv6Address
            ends.append((_address(str(kind(host.decode()))), int(port)))
        except ValueError:
            return None
        if int(port) > 65_535:
            return None
    return Said(line.end(), False, (ends[0], ends[1]))


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _tlvs(header: bytes, at: int) -> bool | None:
    """Whether a client came by TLS; None: the TLVs are malformed, or their checksum is wrong."""
    tls, sums = False, []
    while at < len(header):
        if len(header) - at < 3:
            return None
        kind, size = struct.unpack_from("!BH", header, at)
        value = header[at + 3 : at + 3 + size]
        if len(value) != size or (kind == 3 and size != 4) or (kind == 0x20 and size < 5):
            return None
        if kind == 3:
            sums.append(at + 3)
        if kind == 0x20:
            tls = bool(value[0] & 1)
        at += 3 + size
    if len(sums) > 1:
        return None
    for place in sums:
        if _crc32c(header[:place] + bytes(4) + header[place + 4 :]) != int.from_bytes(header[place : place + 4], "big"):
            return None
    return tls


def _v2(data: bytes) -> Said | None:
    if len(data) < 16 or not data.startswith(SIGNATURE) or data[12] not in (0x20, 0x21):
        return None
    length = 16 + int.from_bytes(data[14:16], "big")
    header = data[:length]
    if length > V2_BYTES or len(header) < length:
        return None
    command, protocol = header[12], header[13]
    if command == 0x20 or protocol == 0:
        return Said(length, False, None)
    size = ADDRESS_BYTES.get(protocol)
    if size is None or length < 16 + size:
        return None
    tls = _tlvs(header, 16 + size)
    if tls is None:
        return None
    if protocol & 15 == 2:
        return Said(length, tls, None)
    if protocol == 0x31:
        return Said(length, tls, (("unix:", 0), ("unix:", 0)))
    half = (size - 4) // 2
    ports = struct.unpack_from("!HH", header, 16 + 2 * half)
    ends = [_address(header[16 + n * half : 16 + (n + 1) * half]) for n in range(2)]
    return Said(length, tls, ((ends[0], ports[0]), (ends[1], ports[1])))


def _weir(data: bytes, step: int | None = None) -> Said | str:
    try:
        read = read_proxy_header(data, step)
    except ValueError:
        return "none"
    if read is None:
        return "more"
    length, tls, source, destination = read
    assert (source is None) == (destination is None)
    return Said(length, tls, None if source is None or destination is None else (source, destination))


def _canonical(end: End) -> End:
    """An address as Python writes it: of two spellings of IPv6 neither is wrong."""
    return end if end[0] == "unix:" else (_address(end[0]), end[1])


def proxy_header(data: bytes) -> None:
    """A header is read as the specification says, at once and byte by byte, and one that is written says the same."""
    whole = _weir(data)
    for step in (1, 7):
        assert _weir(data, step) == whole, "it depends on how it comes"
    said = _v1(data) if data.startswith(b"P") else _v2(data)
    if isinstance(whole, str):
        assert said is None, f"weir says {whole!r}, the specification {said}"
        # What is no header never becomes one, and what may become one is short.
        if whole == "none":
            assert _weir(data + b"\r\n" + bytes(5000)) == "none"
        else:
            assert len(data) < V2_BYTES
        return
    ends = None if whole.ends is None else (_canonical(whole.ends[0]), _canonical(whole.ends[1]))
    assert said == whole._replace(ends=ends), f"weir says {whole}, the specification {said}"
    assert _weir(data[: whole.length] + b"GET / HTTP/1.1\r\n") == whole, "it depends on what comes behind it"
    if ends is not None and "unix:" not in (ends[0][0], ends[1][0]):
        texts = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ends]
        for version in (1, 2):
            made = make_proxy_header(version, texts[0].encode(), texts[1].encode())
            again = _weir(made)
            assert isinstance(again, Said)
            assert again.length == len(made) <= V1_BYTES
            assert again.ends == whole.ends
