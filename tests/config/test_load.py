"""What is refused about single values and keys: the exact place and the exact words, and all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.conftest import Refusals
from weir.config.errors import ConfigError
from weir.config.load import MOST_BYTES, from_options, load_file, load_text
from weir.config.model import Config
from weir.config.plan import AddressPlan

LISTENER = '[[listener]]\naddress = ":8080"\nto = "app"\n'
CLUSTER = '[[cluster]]\nname = "app"\nendpoints = ["app.internal:8081"]\n'
GOOD = LISTENER + CLUSTER

# The table, the line that is wrong in it, and what is said. The table comes first in the file: see complete().
REFUSED: list[tuple[str, str, str]] = [
    # durations
    ("", "drain_timeout = 30", '1:17: drain_timeout: a duration needs its unit, found 30; write "30s" or "30ms"'),
    ("", 'drain_timeout = "0s"', '1:17: drain_timeout: "0s" is less than "10ms"; from "10ms" to "24h"'),
    ("", '"drain_timeout" = "25h"', '1:19: drain_timeout: "25h" is more than "24h"; from "10ms" to "24h"'),
    (
        "",
        'drain_timeout = "off"',
        '1:17: drain_timeout: "off" is not a duration; write whole numbers with h, m, s or ms, '
        'the largest first: "10s", "100ms", "1h30m"',
    ),
    ("[cluster.pool]", 'wait_idle = "0ms"', '5:13: cluster.app.pool.wait_idle: "0ms" is no time at all; write "off"'),
    # sizes
    ("[log]", 'buffer = "1kB"\naccess = "stdout"', '2:10: log.buffer: "1kB" is not a size; write "1KiB"'),
    ("[[listener]]", "max_head = 100", '4:12: listener[0].max_head: 100 is less than "1KiB"; from "1KiB" to "128KiB"'),
    ("[[listener]]", "max_body = 0", '4:12: listener[0].max_body: 0 is not a limit; for no limit write "off"'),
    ("[[listener]]", "max_body = -1", '4:12: listener[0].max_body: -1 is less than 1; from 1 to "1024TiB"'),
    # counts
    ("[stats]", 'rows = "4096"', '2:8: stats.rows: wanted a whole number, found "4096"; write 4096, without quotes'),
    ("[stats]", 'rows = "many"', '2:8: stats.rows: wanted a whole number, found "many"; for example 16'),
    (
        "[stats]",
        "rows = 4096.5",
        "2:8: stats.rows: wanted a whole number, found a number with a fraction; for example 16",
    ),
    ("[stats]", "rows = true", "2:8: stats.rows: wanted a whole number, found a boolean; for example 16"),
    ("[stats]", "rows = 2020-01-01", "2:8: stats.rows: wanted a whole number, found a date or time; for example 16"),
    ("[stats]", "rows = 1", "2:8: stats.rows: 1 is less than 16; from 16 to 65536"),
    ("[[listener]]", "max_fields = 257", "4:14: listener[0].max_fields: 257 is more than 256; from 1 to 256"),
    ("[[listener]]", "max_requests = 0", '4:16: listener[0].max_requests: 0 is not a limit; for no limit write "off"'),
    (
        "[[listener]]",
        'max_connections = "off"',
        '4:19: listener[0].max_connections: wanted a whole number or "auto", found "off"; for example 1',
    ),
    ("[cluster.retry]", "attempts = 0", "5:12: cluster.app.retry.attempts: 0 is less than 1; from 1 to 10"),
    (
        "[cluster.retry]",
        'on = ["conn-failure"]',
        '5:6: cluster.app.retry.on: wanted one of "connect", "reused", "reset", "timeout", "bad_response", "429", '
        '"502", "503", "504", found "conn-failure"; did you mean "connect"?',
    ),
    ("[cluster.retry]", "on = []", '5:6: cluster.app.retry.on: nothing; write "off"'),
    ("[cluster.retry]", 'on = "reset"', '5:6: cluster.app.retry.on: wanted an array, found a string; write ["reset"]'),
    ("[cluster.retry]", 'on = ["503", 503]', '5:6: cluster.app.retry.on: "503" is there twice'),
    (
        "[cluster.hedge]",
        'after = "p20"',
        '5:9: cluster.app.hedge.after: "p20" would send most requests twice; from "p50" to "p99.9"',
    ),
    (
        "[cluster.hedge]",
        'after = "p100"',
        '5:9: cluster.app.hedge.after: "p100" is not a percentile; for example "p95"',
    ),
    ("[cluster.hedge]", 'after = "2m"', "5:9: cluster.app.hedge.after: 2m is not 1ms to 1m"),
    # ratios, words
    ("[cluster.retry]", "ratio = 20", '5:9: cluster.app.retry.ratio: 20 could be percent or a fraction; write "20%"'),
    (
        "[[listener]]",
        'via = "reqest"',
        '4:7: listener[0].via: wanted one of "request", "response", "both", "off", found "reqest"; did you '
        'mean "request"?',
    ),
    (
        "[[listener]]",
        "via = false",
        '4:7: listener[0].via: wanted one of "request", "response", "both", "off", found a boolean',
    ),
    (
        "[log]",
        'format = "clf"\naccess = "stdout"',
        '2:10: log.format: wanted one of "combined", "common", "json", "short", "ledger", found "clf"',
    ),
    # names, paths, modes
    (
        "[stats]",
        'header = "X Bytes"',
        '2:10: stats.header: "X Bytes" is not a field name; letters, digits and -, at most 64: for example "X-Bytes"',
    ),
    (
        "[stats]",
        'header = "content-length"',
        "2:10: stats.header: Content-Length is a field with a meaning of its own; choose another name, for "
        'example "X-Bytes"',
    ),
    (
        "[stats]",
        'header = "Connection"',
        "2:10: stats.header: Connection is a field with a meaning of its own; choose another name, for "
        'example "X-Bytes"',
    ),
    (
        "[stats]",
        "header = 1",
        '2:10: stats.header: wanted a field name, a string, found a whole number; for example "X-Bytes"',
    ),
    ("[stats]", 'page = "stats"', '2:8: stats.page: "stats" is not a path: it does not start with /; write "/stats"'),
    (
        "[stats]",
        'page = "/stats?x"',
        '2:8: stats.page: "/stats?x" is not a path; no query, no spaces, at most 256 characters: for example "/stats"',
    ),
    (
        "[log]",
        'access = "stdot"',
        '2:10: log.access: "stdot" is not "off", "stdout" or a path; did you mean "stdout"? a file here is "./stdot"',
    ),
    (
        "[log]",
        'access = "requests"',
        '2:10: log.access: "requests" is not "off", "stdout" or a path; a file here is "./requests"',
    ),
    (
        "[log]",
        'access = "/var/log/"',
        '2:10: log.access: "/var/log/" is not the path of a file; write "off", "stdout", or a path',
    ),
    (
        "[log]",
        "access = true",
        '2:10: log.access: wanted "off", "stdout" or a path, a string, found a boolean; for example "stdout"',
    ),
    (
        "[[cluster]]",
        'host = "a b"',
        '4:8: cluster.app.host: "a b" is not the value of a Host field; for example "app.internal" or '
        '"app.internal:8080"',
    ),
    # unknown keys
    ("[cluster.pool]", "  max_idel = 1", '5:3: cluster.app.pool.max_idel: unknown key; did you mean "max_idle"?'),
    ("[cluster.pool]", "Max-Idle = 1", '5:1: cluster.app.pool.Max-Idle: unknown key; did you mean "max_idle"?'),
    ("[cluster.pool]", "keepalive = 1", '5:1: cluster.app.pool.keepalive: unknown key; did you mean "max_idle"?'),
    ("[[cluster]]", "max_idle = 1", "4:1: cluster.app.max_idle: unknown key; it belongs in [cluster.pool]"),
    ("[[cluster]]", "idle_timeout = '1s'", "4:1: cluster.app.idle_timeout: unknown key; it belongs in [cluster.pool]"),
    ("[[listener]]", "max_idle = 1", "4:1: listener[0].max_idle: unknown key; it belongs in [cluster.pool]"),
    (
        "[log]",
        "drain_timeout = '1s'\naccess = 'stdout'",
        "2:1: log.drain_timeout: unknown key; it belongs at the top of the file, before the first table",
    ),
    (
        "[stats]",
        "idle_timeout = '1s'",
        "2:1: stats.idle_timeout: unknown key; it belongs in [[listener]] or in [cluster.pool]",
    ),
    ("", "acess = 'stdout'", '1:1: acess: unknown key; did you mean "access", which belongs in [log]?'),
    ("", "access_log = 'stdout'", '1:1: access_log: unknown key; "access" belongs in [log]'),
    ("", "daemon = true", f"1:1: daemon: unknown key; known here: {', '.join(Config.model_fields)}"),
    ("", "[clusters]", '1:1: clusters: unknown key; did you mean "cluster"?'),
    ("[stats]", '"X Y" = 1', '2:1: stats."X Y": unknown key; known here: rows, header, page, paths, openapi'),
    ("[[cluster]]", "queue.sise = 1", '4:7: cluster.app.queue.sise: unknown key; did you mean "size"?'),
    # tables and arrays
    ("", "log = 'stdout'", "1:7: log: wanted a table, found a string; write [log] and its keys below"),
    ("", "[[log]]\naccess = 'stdout'", "1:1: log: wanted a table, found an array; write [log], with single brackets"),
    (
        "[[cluster]]",
        "[[cluster.pool]]",
        "4:1: cluster.app.pool: wanted a table, found an array; write [cluster.pool], with single brackets",
    ),
]


MULTIPLE = """\
drain_timeout = 30
[log]
format = "jsn"
idle_timeout = "3s"
[[listener]]
adress = ":8080"
to = "ap"
max_head = "64k"
[[listener]]
address = "127.0.0.1"
to = "https://x:1"
[[cluster]]
name = "app"
endpoints = ["a:1", "a:1", 3, "::1"]
[cluster.pool]
max_idel = 1
min_idle = 9
max_idle = 3
[[cluster]]
name = "no name"
"""
MULTIPLE_SAID = """\
f:1:17: drain_timeout: a duration needs its unit, found 30; write "30s" or "30ms"
f:3:1: log.format: without effect: no access log is written; add access = "stdout"
f:3:10: log.format: wanted one of "combined", "common", "json", "short", "ledger", found "jsn"; did you mean "json"?
f:4:1: log.idle_timeout: unknown key; it belongs in [[listener]] or in [cluster.pool]
f:6:1: listener[0].adress: unknown key; did you mean "address"?
f:7:6: listener[0].to: there is no cluster "ap"; did you mean "app"?
f:8:12: listener[0].max_head: "64k" is not a size; write "64KiB"
f:10:11: listener[1].address: "127.0.0.1": no port; write "127.0.0.1:8080"
f:11:6: listener[1].to: "https://x:1": TLS to endpoints is not there yet; write "http://..." or host and port
f:14:21: cluster.app.endpoints[1]: "a:1" is there twice (line 14)
f:14:28: cluster.app.endpoints[2]: wanted an address, a string, found a whole number; write "127.0.0.1:3"
f:14:31: cluster.app.endpoints[3]: "::1": an IPv6 address stands in brackets, before the port; write "[::1]:80"
f:16:1: cluster.app.pool.max_idel: unknown key; did you mean "max_idle"?
f:17:12: cluster.app.pool.min_idle: 9 idle connections are more than max_idle, which is 3; \
raise max_idle or lower min_idle
f:19:1: cluster[1].endpoints: missing: every [[cluster]] needs it; for example endpoints = ["127.0.0.1:8081"]
f:20:8: cluster[1].name: "no name" is not a name; a letter or digit first, then letters, digits, _, - and ., 63 in all
"""


def complete(table: str, line: str) -> str:
    """A configuration that is good but for the line: 1 in the file at its top, else 2 in [log] and [stats], 4 in
    [[listener]] and [[cluster]], 5 in the tables of a cluster."""
    if table == "[[listener]]":
        return f"{LISTENER}{line}\n{CLUSTER}"
    if table == "[[cluster]]":
        return f"{CLUSTER}{line}\n{LISTENER}"
    if table.startswith("[cluster."):
        return f"{CLUSTER}{table}\n{line}\n{LISTENER}"
    return f"{table}\n{line}\n{GOOD}" if table else f"{line}\n{GOOD}"


@pytest.mark.parametrize(("table", "line", "said"), REFUSED, ids=[f"{t} {line}".strip() for t, line, _ in REFUSED])
def test_refused(refusals: Refusals, table: str, line: str, said: str) -> None:
    assert refusals(complete(table, line)) == [f"f:{said}"]


def test_all_problems_at_once(refusals: Refusals) -> None:
    assert refusals(MULTIPLE) == MULTIPLE_SAID.splitlines()


def test_a_problem_has_its_parts() -> None:
    with pytest.raises(ConfigError) as error:
        load_text(CLUSTER + "[cluster.pool]\nmax_idel = 1\n" + LISTENER, "weir.toml")
    (problem,) = error.value.problems
    assert (problem.file, problem.line, problem.column) == ("weir.toml", 5, 1)
    assert (problem.key_path, problem.message) == ("cluster.app.pool.max_idel", "unknown key")
    assert problem.hint == 'did you mean "max_idle"?'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "listener = 1",
            "f:1:12: listener: wanted an array of tables, found a whole number; write [[listener]] and its keys below",
        ),
        (
            "[listener]\naddress = ':80'",
            "f:1:1: listener: wanted an array of tables, found a table; write [[listener]], with two brackets",
        ),
        (
            "listener = ['x']",
            "f:1:13: listener[0]: wanted a table, found a string; write [[listener]] and its keys below",
        ),
        (
            "drain_timeout = '1s'",
            "f:1:1: listener: missing: without a listener nothing is served; add [[listener]] with "
            'address = ":8080" and to = "..."',
        ),
        (
            "# nothing",
            "f:1:1: listener: missing: without a listener nothing is served; add [[listener]] with "
            'address = ":8080" and to = "..."',
        ),
        (
            "",
            'f:1:1: the file is empty; it needs at least a [[listener]] with address = ":8080" and to = '
            '"127.0.0.1:8081"',
        ),
        (
            " \n\t\n",
            'f:1:1: the file is empty; it needs at least a [[listener]] with address = ":8080" and '
            'to = "127.0.0.1:8081"',
        ),
        ("[[listeners]]", 'f:1:1: listeners: unknown key; did you mean "listener"?'),
        (
            "[[listener]]\naddress = 8080\nto = 3000",
            'f:2:11: listener[0].address: wanted an address, a string, found a whole number; write ":8080"|'
            "f:3:6: listener[0].to: wanted a cluster's name or an address, a string, found a whole number; "
            'write "127.0.0.1:3000"',
        ),
        ("[[listener]]\nlisten = ':80'\nto = 'a:1'", 'f:2:1: listener[0].listen: unknown key; did you mean "address"?'),
        (
            "[[listener]]\naddress = ':80'\nupstream = 'a:1'",
            'f:3:1: listener[0].upstream: unknown key; did you mean "to"?',
        ),
        ("[[listener]]\naddress = ':80'\ncluster = 'a'", 'f:3:1: listener[0].cluster: unknown key; did you mean "to"?'),
        (
            "[[listener]]\naddress = 'unix:/w'\nto = 'a:1'\nunix_mode = 0o660",
            "f:4:13: listener[0].unix_mode: wanted permissions, octal digits in a string, found a whole number; "
            'write "0660"',
        ),
        (
            "[[listener]]\naddress = 'unix:/w'\nto = 'a:1'\nunix_mode = 'rw'",
            'f:4:13: listener[0].unix_mode: "rw" are not permissions; three octal digits, for example "0666"',
        ),
        (
            "[[listener]]\naddress = 'ö'\nto = '[::1'",
            'f:2:11: listener[0].address: "ö": no port; write "ö:8080"|'
            'f:3:6: listener[0].to: "[::1": "[" without "]"; for example "[::1]:80"',
        ),
        (
            LISTENER + "[[cluster]]\nname = 'app'\nendpoints = 'a:1'",
            'f:6:13: cluster.app.endpoints: wanted an array of addresses, found a string; write ["a:1"]',
        ),
    ],
)
def test_refused_whole(refusals: Refusals, text: str, said: str) -> None:
    assert refusals(text) == said.split("|")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "f:1:5: not TOML: string values must be quoted, expected literal string"),
        ('k = "é" x', "f:1:9: not TOML: unexpected key or value, expected newline, `#`"),
        ("a = 1\r\nb = é", "f:2:5: not TOML: string values must be quoted, expected literal string"),
        ("[log]\n[stats]\n[log]\n", "f:3:2: not TOML: duplicate key"),
        ("[stats]\nrows = 1\nrows = 2", "f:3:1: not TOML: duplicate key"),
        ("x = [1\n", "f:1:7: not TOML: unclosed array, expected `]`"),
        ("t = {\n}", "f:1:6: not TOML: newlines are unsupported in inline tables, expected nothing"),
    ],
)
def test_syntax_errors_have_their_place(refusals: Refusals, text: str, said: str) -> None:
    assert refusals(text) == [said]


def test_a_byte_order_mark_is_no_character(refusals: Refusals) -> None:
    assert refusals("\ufeffdrain_timeout = 1\n" + GOOD)[0].startswith("f:1:17:")
    assert load_text("\ufeff" + GOOD, "f").listener[0].address.port == 8080


def test_places_are_counted_in_characters(refusals: Refusals) -> None:
    (said,) = refusals(f"log = {{ access = 'é.log', flush = 1 }}\n{GOOD}")
    assert said.startswith("f:1:35: log.flush:")


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "weir.toml"
    path.write_text(GOOD)
    assert load_file(path) == load_file(str(path)) == load_text(GOOD, "f")


def test_problems_in_a_file_have_its_name(tmp_path: Path) -> None:
    path = tmp_path / "weir.toml"
    path.write_text("drain_timeout = 1\n" + GOOD)
    with pytest.raises(ConfigError) as error:
        load_file(path)
    assert str(error.value).startswith(f"{path}:1:17: drain_timeout: ")


def said_of(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load_file(path)
    return str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, looped = tmp_path / "missing.toml", tmp_path / "loop"
    looped.symlink_to(looped)
    assert said_of(missing) == f"{missing}: cannot be read: no such file or directory"
    assert said_of(looped) == f"{looped}: cannot be read: too many levels of symbolic links"
    assert said_of(tmp_path) == f"{tmp_path}: is a directory; a configuration is a file"
    assert said_of(Path("a\0b")).endswith("cannot be read: embedded null byte")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything, so the kernel's refusal is played.
    def refuse(*_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError) as error:
        load_file("weir.toml")
    monkeypatch.undo()
    assert str(error.value) == "weir.toml: cannot be read: permission denied"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "weir.toml"
    path.write_bytes("# é\nx = 'é".encode() + b"\xe9'\n")
    assert said_of(path) == f"{path}:2:7: not UTF-8: byte 0xE9; save the file as UTF-8"


def test_a_file_that_never_ends_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    path.symlink_to("/dev/zero")
    assert said_of(path) == f"{path}: larger than {MOST_BYTES >> 20} MiB: not a configuration"


def test_nothing_can_be_changed() -> None:
    config = load_text(GOOD, "f")
    with pytest.raises(ValueError, match="frozen"):
        config.drain_timeout = 1


@given(
    st.dictionaries(
        st.sampled_from(["log", "stats", "listener", "cluster", "drain_timeout", "x", 'a"b']),
        st.one_of(
            st.integers(),
            st.text(max_size=5),
            st.booleans(),
            st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=2),
        ),
    )
)
def test_whatever_a_file_says_is_accepted_or_refused_with_places(values: dict[str, object]) -> None:
    import toml_rs

    with pytest.raises(ConfigError) as error:
        load_text(toml_rs.dumps(values) + "\n", "f")
    assert error.value.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in error.value.problems)


def test_options() -> None:
    config = from_options([":8080", "unix:/run/w"], ["127.0.0.1:1", "http://[::1]:2"], "stdout", "short", "/stats")
    assert [listener.address.text for listener in config.listener] == [":8080", "unix:/run/w"]
    assert [listener.to for listener in config.listener] == ["app", "app"]
    assert config.cluster[0].endpoints == (
        AddressPlan("127.0.0.1:1", "127.0.0.1", 1),
        AddressPlan("http://[::1]:2", "::1", 2),
    )
    assert (config.log.access, config.log.format, config.stats.page) == ("stdout", "short", "/stats")


def test_options_left_out_have_the_defaults() -> None:
    config = from_options([":8080"], ["127.0.0.1:1"])
    assert (config.log.access, config.log.format, config.stats.page) == ("off", "combined", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (([":8080"], ["127.0.0.1"]), ['--to: "127.0.0.1": no port; write "127.0.0.1:80"']),
        (
            (["8080", "x"], ["app"], "stdot", "jsn", "stats"),
            [
                '--access-log: "stdot" is not "off", "stdout" or a path; did you mean "stdout"? a file here is '
                '"./stdot"',
                '--log-format: wanted one of "combined", "common", "json", "short", "ledger", found "jsn"; '
                'did you mean "json"?',
                '--stats-page: "stats" is not a path: it does not start with /; write "/stats"',
                '--listen: "8080": a port alone is not an address; write ":8080"',
                '--listen: "x": no port; write "x:8080"',
                '--to: "app": no port; write "app:80"',
            ],
        ),
        (
            ([":8080"], ["a:1"], None, "json"),
            ["--log-format: without effect: no access log is written; add --access-log stdout"],
        ),
        (
            ([":80", ":80"], ["a:1", "a:1"]),
            ['--to: "a:1" is there twice', "--listen: another listener has this address"],
        ),
        (
            ([":8080"], ["127.0.0.1:8080"]),
            ['--to: "127.0.0.1:8080" is the listener itself: requests would go round for ever'],
        ),
        (
            ([], []),
            [
                "--to: no endpoint; add --to 127.0.0.1:8081",
                "--listen: no listener: nothing is served; add --listen :8080",
            ],
        ),
    ],
)
def test_refused_options(options: tuple[list[str], list[str]], said: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        from_options(*options)
    assert str(error.value).splitlines() == said
