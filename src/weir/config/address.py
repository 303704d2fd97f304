"""Addresses as a person writes them: where to listen and where to connect.

``host:port`` with a name, an IPv4 literal or a bracketed IPv6 literal (RFC 3986 section 3.2.2), or
``unix:/path``. Names are looked up later, by whoever binds or connects; here only what can never work is refused.
"""

from __future__ import annotations

import functools
import ipaddress
import os.path
import re

from weir.config.errors import quoted, refuse
from weir.config.plan import AddressPlan, is_ip

__all__ = ["address_key", "is_literal", "parse_endpoint", "parse_listen", "parse_member"]

# struct sockaddr_un has 108 bytes for the path, the last one a NUL (unix(7)).
MOST_PATH_BYTES = 107
MOST_NAME_BYTES = 253

# Underscores are no letters of a host name (RFC 952), but container networks are full of them.
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_APPLICATION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*(\(\))?")
_NUMBERS_AND_DOTS = re.compile(r"[0-9.]+")


@functools.lru_cache(maxsize=4096)  # as parse_endpoint
def parse_listen(text: str, key_path: str = "") -> AddressPlan:
    """Where to listen: ``:8080``, ``127.0.0.1:8080``, ``[::1]:8080``, ``localhost:8080`` or ``unix:/run/weir.sock``.

    ``:8080`` is every address of this machine, IPv6 and IPv4. Port 0 lets the kernel choose a free one.
    ``systemd:web`` are the sockets that systemd passes under the name ``web`` (FileDescriptorName=).

    Raises ConfigError, with `key_path` as the place of its one problem.
    """
    if text.startswith("unix:"):
        return _unix(text, key_path)
    if text.startswith("systemd:"):
        return _passed(text, key_path)
    _refuse_scheme(text, ("http://", "https://"), "a listener's address has no scheme", key_path)
    host, port = _split(text, key_path, example_port=8080, port_alone=True)
    if host == "*":
        refuse(f'{quoted(text)}: "*" is not a host', f'for every address of this machine write ":{port}"', key_path)
    return AddressPlan(text=text, host=_host(host, text, key_path) if host else "", port=_port(port, text, key_path, 0))


@functools.lru_cache(maxsize=4096)  # what looks for contradictions reads each several times
def parse_endpoint(text: str, key_path: str = "") -> AddressPlan:
    """Where to connect: ``127.0.0.1:8081``, ``[::1]:8081``, ``app.internal:80``, ``unix:/run/app.sock``, or the name of
    SRV records, ``srv:_http._tcp.app.internal``.

    ``http://`` before host and port changes nothing.

    Raises ConfigError, with `key_path` as the place of its one problem.
    """
    if text.startswith("unix:"):
        return _unix(text, key_path)
    if text.startswith("srv:"):
        return _srv(text, key_path)
    if text.lower().startswith("https://"):
        refuse(f"{quoted(text)}: TLS to endpoints is not there yet", 'write "http://..." or host and port', key_path)
    place = text[len("http://") :] if text.lower().startswith("http://") else text
    if "://" in place:
        refuse(f"{quoted(text)}: endpoints speak HTTP", 'write host and port, for example "127.0.0.1:8081"', key_path)
    bare = re.split("[/?#]", place, maxsplit=1)[0]
    if "@" in bare:
        # Not shown: it may be a password.
        hint = f"write {quoted(bare.rpartition('@')[2])}"
        refuse("a user and a password are no part of an endpoint's address", hint, key_path)
    if bare != place:
        reason = "an endpoint is host and port; the path of a request is passed on as it came"
        refuse(f"{quoted(text)}: {reason}", f"write {quoted(text[: len(text) - len(place)] + bare)}", key_path)
    host, port = _split(place, key_path, example_port=80, port_alone=False)
    if not host:
        refuse(f"{quoted(text)}: no host", f'for this machine write "127.0.0.1:{port}"', key_path)
    return AddressPlan(text=text, host=_host(host, text, key_path), port=_port(port, text, key_path, 1))


def parse_member(text: str, key_path: str = "") -> AddressPlan:
    """As parse_endpoint(), or what a worker serves itself: an ASGI application, ``asgi:package.module:app`` (``app()``:
    what a function makes), or the files of a directory, ``files:/var/www``.

    Raises ConfigError, with `key_path` as the place of its one problem.
    """
    if text.startswith("asgi:"):
        if not _APPLICATION.fullmatch(text, 5):
            hint = 'a module and a name in it, for example "asgi:package.module:app"'
            refuse(f"{quoted(text)} does not name an application", hint, key_path)
        return AddressPlan(text=text, app=text)
    if text.startswith("files:"):
        directory = text.removeprefix("files:")
        if not directory.startswith("/"):
            hint = f"write {quoted('files:' + os.path.abspath(directory or '.'))}"
            refuse(f"{quoted(text)}: the path of a directory starts with /", hint, key_path)
        if not os.path.isdir(directory):
            refuse(f"{quoted(text)}: there is no such directory", "", key_path)
        return AddressPlan(text=text, app=text)
    return parse_endpoint(text, key_path)


def is_literal(address: AddressPlan) -> bool:
    """Is this a Unix socket, an application or an IP literal, something that no name service is asked about?"""
    if not address.host:
        return True
    if address.srv:
        return False
    return is_ip(address.host)


@functools.lru_cache(maxsize=4096)
def address_key(address: AddressPlan) -> tuple[str, int]:
    """What two spellings of one address have in common: ``[0:0::1]:80`` and ``[::1]:80``, ``A:80`` and ``a:80``."""
    if address.path is not None:
        return address.path, -1
    if address.passed is not None:
        return address.passed, -2
    if address.app is not None:
        return address.app, -3
    host = address.host or ""
    if address.srv:
        return "srv:" + host.lower().rstrip("."), 0
    try:
        host = str(ipaddress.ip_address(host))
    except ValueError:
        host = host.lower().rstrip(".")
    return host, address.port


def _refuse_scheme(text: str, schemes: tuple[str, ...], message: str, key_path: str) -> None:
    for scheme in schemes:
        if text.lower().startswith(scheme):
            bare = re.split("[/?#]", text[len(scheme) :], maxsplit=1)[0]
            refuse(f"{quoted(text)}: {message}", f"write {quoted(bare)}", key_path)


def _unix(text: str, key_path: str) -> AddressPlan:
    path = text.removeprefix("unix:")
    if path.startswith("//"):
        refuse(f"{quoted(text)}: not a path", f"write {quoted('unix:/' + path.lstrip('/'))}", key_path)
    if not path.startswith("/"):
        refuse(f"{quoted(text)}: a Unix socket's path starts with /", 'for example "unix:/run/weir.sock"', key_path)
    if not path.isprintable() or path.endswith("/"):
        refuse(f"{quoted(text)}: not the path of a file", 'for example "unix:/run/weir.sock"', key_path)
    size = len(path.encode())
    if size > MOST_PATH_BYTES:
        refuse(f"{quoted(text)}: the path has {size} bytes, a Unix socket's at most {MOST_PATH_BYTES}", "", key_path)
    return AddressPlan(text=text, path=path)


def _passed(text: str, key_path: str) -> AddressPlan:
    name = text.removeprefix("systemd:")
    # sd_listen_fds_with_names(3)
    if not name or len(name) > 255 or ":" in name or not name.isascii() or not name.isprintable():
        hint = 'the FileDescriptorName= of the .socket unit, for example "systemd:web"'
        refuse(f"{quoted(text)}: {quoted(name)} is not the name of a socket", hint, key_path)
    return AddressPlan(text=text, passed=name)


def _srv(text: str, key_path: str) -> AddressPlan:
    name = text.removeprefix("srv:")
    if ":" in name:
        refuse(
            f"{quoted(text)}: SRV records say the port themselves", f"write {quoted(text.rpartition(':')[0])}", key_path
        )
    if not name.startswith("_") or "." not in name:
        hint = 'for example "srv:_http._tcp.app.internal"'
        refuse(f"{quoted(text)}: not the name of SRV records", hint, key_path)
    return AddressPlan(text=text, host=_host(name, text, key_path), srv=True)


def _split(text: str, key_path: str, example_port: int, *, port_alone: bool) -> tuple[str, str]:
    """Host (brackets kept) and port, both as text; ``("", port)`` for ``:port``. `text` has no scheme."""
    if not text:
        refuse("the address is empty", f'for example "127.0.0.1:{example_port}"', key_path)
    if text.isascii() and text.isdigit():
        hint = f'write ":{text}"' if port_alone else f'write "127.0.0.1:{text}"'
        refuse(f"{quoted(text)}: a port alone is not an address", hint, key_path)
    if text.startswith("/"):
        refuse(f"{quoted(text)}: a path alone is not an address", f"write {quoted('unix:' + text)}", key_path)
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket:
            refuse(f'{quoted(text)}: "[" without "]"', f'for example "[::1]:{example_port}"', key_path)
        if not rest:
            refuse(f"{quoted(text)}: no port", f"write {quoted(f'{text}:{example_port}')}", key_path)
        if not rest.startswith(":"):
            refuse(f'{quoted(text)}: only ":" and a port may follow "]"', f'write "{host}]:{example_port}"', key_path)
        return host + "]", rest[1:]
    if text.count(":") > 1:
        hint = f'write "[{text}]:{example_port}"' if _is_ipv6(text) else f'for example "[::1]:{example_port}"'
        refuse(f"{quoted(text)}: an IPv6 address stands in brackets, before the port", hint, key_path)
    host, colon, port = text.partition(":")
    if not colon:
        refuse(f"{quoted(text)}: no port", f"write {quoted(f'{text}:{example_port}')}", key_path)
    return host, port


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _host(host: str, text: str, key_path: str) -> str:
    """The host without brackets, if it can be one."""
    if host.startswith("["):
        inner = host[1:-1]
        if "%" in inner:
            refuse(f"{quoted(text)}: zones of IPv6 addresses are not supported", "", key_path)
        if not _is_ipv6(inner):
            refuse(f"{quoted(text)}: {quoted(inner)} is not an IPv6 address", 'for example "[::1]"', key_path)
        return inner
    if _NUMBERS_AND_DOTS.fullmatch(host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            hint = "four numbers from 0 to 255 without leading zeros, as in 127.0.0.1"
            refuse(f"{quoted(text)}: {quoted(host)} is not an IPv4 address", hint, key_path)
        return host
    if not host.isascii():
        try:
            hint = f"write {quoted(host.encode('idna').decode())}"
        except UnicodeError:
            hint = ""
        refuse(f"{quoted(text)}: {quoted(host)} is not a host name in ASCII", hint, key_path)
    if len(host) > MOST_NAME_BYTES or not _NAME.fullmatch(host):
        hint = "letters, digits, - and _, at most 63 between two dots"
        refuse(f"{quoted(text)}: {quoted(host)} is not a host name", hint, key_path)
    return host


def _port(port: str, text: str, key_path: str, least: int) -> int:
    if not port:
        refuse(f"{quoted(text)}: no port after the colon", "", key_path)
    if not (port.isascii() and port.isdigit()):
        refuse(f"{quoted(text)}: {quoted(port)} is not a port number", f"a port is from {least} to 65535", key_path)
    if len(port) > 5 or not least <= int(port) <= 65_535:
        refuse(f"{quoted(text)}: port {port[:20]} is out of range", f"a port is from {least} to 65535", key_path)
    return int(port)
