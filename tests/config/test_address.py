"""Addresses: what is read, what is refused, and what is said then."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.config.address import address_key, is_literal, parse_endpoint, parse_listen
from weir.config.errors import ConfigError
from weir.config.plan import AddressPlan

LABEL_63 = "a" * 63


def refusal(error: pytest.ExceptionInfo[ConfigError]) -> str:
    (problem,) = error.value.problems
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        (":8080", "", 8080, None),
        (":0", "", 0, None),
        ("127.0.0.1:8080", "127.0.0.1", 8080, None),
        ("0.0.0.0:80", "0.0.0.0", 80, None),
        ("[::1]:8080", "::1", 8080, None),
        ("[::]:65535", "::", 65535, None),
        ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, None),
        ("localhost:8080", "localhost", 8080, None),
        ("my_app-1.internal.:80", "my_app-1.internal.", 80, None),
        ("unix:/run/weir.sock", None, 0, "/run/weir.sock"),
    ],
)
def test_listeners(text: str, host: str | None, port: int, path: str | None) -> None:
    assert parse_listen(text) == AddressPlan(text=text, host=host, port=port, path=path)


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("127.0.0.1:8081", "127.0.0.1", 8081, None),
        ("http://127.0.0.1:8081", "127.0.0.1", 8081, None),
        ("HTTP://app.internal:80", "app.internal", 80, None),
        ("http://[::1]:8081", "::1", 8081, None),
        ("[::1]:8081", "::1", 8081, None),
        (f"{LABEL_63}.{LABEL_63}:80", f"{LABEL_63}.{LABEL_63}", 80, None),
        ("unix:/run/app.sock", None, 0, "/run/app.sock"),
        ("unix:/" + "s" * 106, None, 0, "/" + "s" * 106),
    ],
)
def test_endpoints(text: str, host: str | None, port: int, path: str | None) -> None:
    assert parse_endpoint(text) == AddressPlan(text=text, host=host, port=port, path=path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'the address is empty; for example "127.0.0.1:8080"'),
        ("8080", '"8080": a port alone is not an address; write ":8080"'),
        ("127.0.0.1", '"127.0.0.1": no port; write "127.0.0.1:8080"'),
        ("127.0.0.1:", '"127.0.0.1:": no port after the colon'),
        (":65536", '":65536": port 65536 is out of range; a port is from 0 to 65535'),
        (":-1", '":-1": "-1" is not a port number; a port is from 0 to 65535'),
        (":http", '":http": "http" is not a port number; a port is from 0 to 65535'),
        (":\uff18\uff10", '":\uff18\uff10": "\uff18\uff10" is not a port number; a port is from 0 to 65535'),
        ("*:8080", '"*:8080": "*" is not a host; for every address of this machine write ":8080"'),
        ("http://:8080", '"http://:8080": a listener\'s address has no scheme; write ":8080"'),
        ("https://a:1/x", '"https://a:1/x": a listener\'s address has no scheme; write "a:1"'),
        ("::1", '"::1": an IPv6 address stands in brackets, before the port; write "[::1]:8080"'),
        ("a:b:c", '"a:b:c": an IPv6 address stands in brackets, before the port; for example "[::1]:8080"'),
        ("[::1]", '"[::1]": no port; write "[::1]:8080"'),
        ("[::1]8080", '"[::1]8080": only ":" and a port may follow "]"; write "[::1]:8080"'),
        ("[::1:8080", '"[::1:8080": "[" without "]"; for example "[::1]:8080"'),
        ("[::g]:80", '"[::g]:80": "::g" is not an IPv6 address; for example "[::1]"'),
        ("[1.2.3.4]:80", '"[1.2.3.4]:80": "1.2.3.4" is not an IPv6 address; for example "[::1]"'),
        ("[fe80::1%eth0]:80", '"[fe80::1%eth0]:80": zones of IPv6 addresses are not supported'),
        (
            "127.0.0.256:80",
            '"127.0.0.256:80": "127.0.0.256" is not an IPv4 address; four numbers from 0 to 255 without leading zeros, '
            "as in 127.0.0.1",
        ),
        (
            "a b:80",
            '"a b:80": "a b" is not a host name; letters, digits, - and _, at most 63 between two dots',
        ),
        ("bücher.de:80", '"bücher.de:80": "bücher.de" is not a host name in ASCII; write "xn--bcher-kva.de"'),
        ("/run/weir.sock", '"/run/weir.sock": a path alone is not an address; write "unix:/run/weir.sock"'),
        ("unix:", '"unix:": a Unix socket\'s path starts with /; for example "unix:/run/weir.sock"'),
        ("unix:weir.sock", '"unix:weir.sock": a Unix socket\'s path starts with /; for example "unix:/run/weir.sock"'),
        ("unix:///run/a.sock", '"unix:///run/a.sock": not a path; write "unix:/run/a.sock"'),
        ("unix:/run/", '"unix:/run/": not the path of a file; for example "unix:/run/weir.sock"'),
        ("unix:/a\x00b", '"unix:/a\\u0000b": not the path of a file; for example "unix:/run/weir.sock"'),
    ],
)
def test_refused_listeners(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_listen(text)
    assert refusal(error) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "https://app:443",
            '"https://app:443": TLS to endpoints is not there yet; write "http://..." or host and port',
        ),
        (
            "http://app:80/api",
            '"http://app:80/api": an endpoint is host and port; the path of a request is passed on as it came; '
            'write "http://app:80"',
        ),
        (
            "app:80/",
            '"app:80/": an endpoint is host and port; the path of a request is passed on as it came; write "app:80"',
        ),
        ("ftp://app:21", '"ftp://app:21": endpoints speak HTTP; write host and port, for example "127.0.0.1:8081"'),
        ("http://app", '"app": no port; write "app:80"'),
        (":8081", '":8081": no host; for this machine write "127.0.0.1:8081"'),
        ("8081", '"8081": a port alone is not an address; write "127.0.0.1:8081"'),
        ("app:0", '"app:0": port 0 is out of range; a port is from 1 to 65535'),
        (
            "http://me:secret@app:80",
            'a user and a password are no part of an endpoint\'s address; write "app:80"',
        ),
        ("-app:80", '"-app:80": "-app" is not a host name; letters, digits, - and _, at most 63 between two dots'),
    ],
)
def test_refused_endpoints(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_endpoint(text)
    assert refusal(error) == said


def test_the_path_of_a_unix_socket_has_107_bytes_at_most() -> None:
    with pytest.raises(ConfigError) as error:
        parse_endpoint("unix:/" + "é" * 54)
    assert refusal(error).endswith("the path has 109 bytes, a Unix socket's at most 107")


def test_a_name_has_63_bytes_between_dots_at_most() -> None:
    with pytest.raises(ConfigError) as error:
        parse_endpoint(f"{LABEL_63}a:80")
    assert "is not a host name" in refusal(error)


def test_the_option_is_named() -> None:
    with pytest.raises(ConfigError) as error:
        parse_listen("8080", "--listen")
    assert str(error.value) == '--listen: "8080": a port alone is not an address; write ":8080"'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("[0:0::1]:80", "[::1]:80", True),
        ("APP.internal.:80", "app.internal:80", True),
        ("app:80", "http://app:80", True),
        ("app:80", "app:81", False),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", "unix:/a", True),
    ],
)
def test_spellings_of_an_address(one: str, other: str, same: bool) -> None:
    assert (address_key(parse_endpoint(one)) == address_key(parse_endpoint(other))) is same


@pytest.mark.parametrize(
    ("text", "literal"), [("127.0.0.1:80", True), ("[::1]:80", True), ("unix:/a", True), ("localhost:80", False)]
)
def test_what_has_to_be_looked_up(text: str, literal: bool) -> None:
    assert is_literal(parse_endpoint(text)) is literal


def test_the_name_of_srv_records() -> None:
    address = parse_endpoint("srv:_http._tcp.App.internal.")
    assert address == AddressPlan("srv:_http._tcp.App.internal.", "_http._tcp.App.internal.", srv=True)
    assert not is_literal(address)
    assert address_key(address) == address_key(parse_endpoint("srv:_http._tcp.app.internal"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("srv:_http._tcp.a:80", 'SRV records say the port themselves; write "srv:_http._tcp.a"'),
        ("srv:app.internal", 'not the name of SRV records; for example "srv:_http._tcp.app.internal"'),
        ("srv:_http", "not the name of SRV records"),
        ("srv:_http._tcp.a b", "is not a host name"),
    ],
)
def test_what_is_no_name_of_srv_records(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_endpoint(text)
    assert message in refusal(error)


@given(st.text(alphabet=st.sampled_from(":/[].%0123456789abhtpunix-_*@ é\x00"), max_size=24))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for parse in (parse_listen, parse_endpoint):
        address = None
        with contextlib.suppress(ConfigError):
            address = parse(text)
        if address is not None:
            assert address.text == text
            assert (address.host is None) != (address.path is None)
            assert 0 <= address.port <= 65_535
