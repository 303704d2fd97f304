"""Rate limits and faults as a person writes them: what is read, what is refused, and what contradicts itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from weir.config import limit_kinds
from weir.config.errors import ConfigError
from weir.config.kinds import Kind
from weir.config.load import load_text
from weir.config.plan import RESET

LISTENER = '[[listener]]\naddress = ":8080"\nto = "127.0.0.1:8081"\n'
LIMIT = LISTENER + "[[listener.rate_limit]]\n"
FAULT = LISTENER + "[[listener.fault]]\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f")
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        (limit_kinds.rate(), "100/s", (100, 1_000)),
        (limit_kinds.rate(), "1/h", (1, 3_600_000)),
        (limit_kinds.rate(), "1000000/s", (1_000_000, 1_000)),
        (limit_kinds.rate(), "60000000/m", (60_000_000, 60_000)),
        (limit_kinds.key(), "client", "client"),
        (limit_kinds.key(), "field:X-Api-Key", "field:X-Api-Key"),
        (limit_kinds.methods(), ["POST", "PURGE"], ("POST", "PURGE")),
        (limit_kinds.methods(), "all", ()),
        (limit_kinds.prefix(), "", ""),
        (limit_kinds.prefix(), "/a%20b/", "/a%20b/"),
        (limit_kinds.status(), 503, 503),
        (limit_kinds.abort(), 418, 418),
        (limit_kinds.abort(), "reset", RESET),
        (limit_kinds.abort(), "off", 0),
        (limit_kinds.delay(), "100ms", (100, 100)),
        (limit_kinds.delay(), "100ms-2s", (100, 2_000)),
        (limit_kinds.delay(), "0s-2s", (0, 2_000)),
        (limit_kinds.delay(), "off", (0, 0)),
        (limit_kinds.field_match(), "X-Fault", "X-Fault"),
        (limit_kinds.field_match(), "X-Fault: slow one", "X-Fault: slow one"),
        (limit_kinds.field_match(), "", ""),
        (limit_kinds.rule_name(), "logins", "logins"),
    ],
)
def test_what_is_read_is_shown_as_it_was_written(kind: Kind, written: Any, read: Any) -> None:
    assert kind.read(written) == read
    assert json.loads(json.dumps(kind.show(read))) == written


def test_other_spellings() -> None:
    assert limit_kinds.methods().read("POST") == ("POST",)
    assert limit_kinds.methods().read(["POST", "POST"]) == ("POST",)
    assert limit_kinds.delay().read("100ms - 2s") == (100, 2_000)
    assert limit_kinds.field_match().read("X-Fault:slow") == "X-Fault: slow"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('rate = "1/s"', "4:1: listener[0].rate_limit[0].by: missing: every [[listener.rate_limit]] needs it; for"),
        (
            'by = "client"\nrate = 100',
            '6:8: listener[0].rate_limit[0].rate: a rate needs its time, found 100; write "100/s"',
        ),
        ('by = "client"\nrate = "100"', '"100" is not a rate; write "100/s"'),
        ('by = "client"\nrate = "100r/s"', '"100r/s" is not a rate; write "100/s"'),
        ('by = "client"\nrate = "5 per minute"', '"5 per minute" is not a rate; write "5/m"'),
        ('by = "client"\nrate = "48/day"', '"48/day" is not a rate; write "2/h"'),
        ('by = "client"\nrate = "1.5/s"', '"1.5/s" is not a rate; requests, a slash, and s, m or h: "100/s", "10/m"'),
        ('by = "client"\nrate = "0/s"', "a rate of 0 lets nothing in; write 1 or more"),
        ('by = "client"\nrate = "1000001/s"', '"1000001/s" is more than a million a second; take the rate limit out'),
        ('by = "ip"\nrate = "1/s"', '"path", "all" or "field:" and a name, found "ip"; did you mean "client"?'),
        ('by = "cleint"\nrate = "1/s"', 'found "cleint"; did you mean "client"?'),
        ('by = "header:X"\nrate = "1/s"', '"header:X" is not known; write "field:X"'),
        ('by = "field:X Y"\nrate = "1/s"', '"X Y" is not a field name; for example "field:X-Api-Key"'),
        ('by = "user"\nrate = "1/s"', 'found "user"; for a request field write "field:X-Api-Key"'),
        ('by = "client"\nrate = "1/s"\nburst = 0', "0 is less than 1; from 1 to 1000000"),
        ('by = "client"\nrate = "1/s"\nmethods = "post"', '"post" is another method than POST; write "POST"'),
        ('by = "client"\nrate = "1/s"\nmethods = ["TRACE"]', "TRACE is refused in any case; take it out"),
        ('by = "client"\nrate = "1/s"\nmethods = ["A B"]', '"A B" is not a method; for example "POST"'),
        ('by = "client"\nrate = "1/s"\nmethods = []', 'no method; write "all", or the methods'),
        ('by = "client"\nrate = "1/s"\nmethods = 5', "wanted an array of methods, found a whole number"),
        ('by = "client"\nrate = "1/s"\nprefix = "login"', '"login" does not start with /; write "/login"'),
        ('by = "client"\nrate = "1/s"\nprefix = "/a;b"', '"/a;b": what follows a semicolon in a segment does not'),
        ('by = "client"\nrate = "1/s"\nprefix = "/a?b"', '"/a?b" is not the beginning of a path; no query'),
        ('by = "client"\nrate = "1/s"\nstatus = 200', "200 is not the status of an error; from 400 to 599"),
        ('by = "client"\nrate = "1/s"\nstatus = 499', "499 is not a status that is defined; for example 429 or 503"),
        ('by = "client"\nrate = "1/s"\nstatus = "429"', "wanted a status, found a string; for example 429"),
        ('by = "client"\nrate = "1/s"\nname = "a\\nb"', "is not a name; at most 64 characters that can be shown"),
        (
            'by = "all"\nrate = "1/s"\nmax_keys = 5',
            '7:1: listener[0].rate_limit[0].max_keys: without effect: by is "all"',
        ),
        (
            'by = "all"\nrate = "1/m"\ndelay = 11',
            "7:9: listener[0].rate_limit[0].delay: the last of them would wait 11m, and 10m is the most; write 10 or "
            "less",
        ),
        (
            'by = "client"\nrate = "1/s"\n[[listener.rate_limit]]\nby = "client"\nrate = "1/s"',
            '9:8: listener[0].rate_limit[1].rate: another rate limit of this listener is called "client 1/s" (line 6); '
            "give it a name",
        ),
        (
            'by = "all"\nrate = "1/s"\nname = "a"\n[[listener.rate_limit]]\nby = "client"\nrate = "1/s"\nname = "a"',
            '11:8: listener[0].rate_limit[1].name: another rate limit of this listener is called "a" (line 7)',
        ),
        (
            'by = "client"\nrate = "1/s"\nrates = 5',
            '7:1: listener[0].rate_limit[0].rates: unknown key; did you mean "rate"?',
        ),
        (
            "\n[[listener.rate_limit]]\n".join(f'by = "client"\nrate = "{n}/s"' for n in range(1, 18)),
            "listener[0].rate_limit[16]: a listener has at most 16 rate limits; take some out",
        ),
    ],
)
def test_rate_limits_that_are_refused(lines: str, problem: str) -> None:
    (found,) = problems(LIMIT + lines)
    assert problem in found


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            "",
            '4:1: listener[0].fault[0]: nothing is injected; add delay = "100ms", abort = 503, or bandwidth = "64KiB"',
        ),
        ('delay = "off"', "listener[0].fault[0]: nothing is injected"),
        ("delay = 5", 'a duration needs its unit, found 5; write "5s" or "5ms"'),
        ('delay = "1s-2s-3s"', '"1s-2s-3s" is not a delay; "100ms", or from and to: "100ms-2s"'),
        ('delay = "2s-1s"', '"2s-1s" ends before it begins; write the shorter time first'),
        ('delay = "1h"', '"1h" is more than 10m; at most 10m'),
        ('delay = "0s"', '"0s" is no time at all; write "off"'),
        ("abort = 200", "200 is not the status of an error; from 400 to 599"),
        ('abort = "rst"', 'wanted a status or "reset", found "rst"; for example 503'),
        ('abort = 503\nfield = "X Y: z"', '"X Y" is not a field name'),
        ('abort = 503\nfield = "X:"', '"X:" has no value that a field can have; for any value write "X"'),
        ("abort = 503\nseed = 0", "0 is less than 1; from 1 to 2147483647"),
        (
            'abort = 503\ndelay_percentage = "5%"',
            "6:1: listener[0].fault[0].delay_percentage: without effect: there is no delay",
        ),
        (
            'abort = 503\nname = "fault 2"\n[[listener.fault]]\nabort = 500\nname = "fault 2"',
            '9:8: listener[0].fault[1].name: another fault of this listener is called "fault 2" (line 6)',
        ),
    ],
)
def test_faults_that_are_refused(lines: str, problem: str) -> None:
    (found,) = problems(FAULT + lines)
    assert problem in found


def test_one_bracket_too_few() -> None:
    (found,) = problems(LISTENER + '[listener.rate_limit]\nby = "client"\nrate = "1/s"')
    assert found.endswith("wanted an array of tables, found a table; write [[listener.rate_limit]], with two brackets")
