"""What may be written in the tables about health, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weir.config import health_kinds, kinds
from weir.config.errors import ConfigError
from weir.config.kinds import Kind

BAD: list[tuple[Callable[[], Kind], object, str]] = [
    (health_kinds.target, "health", '"health" is not a path'),
    (health_kinds.target, "/a b", '"/a b" is not a path'),
    (health_kinds.target, "/" + "a" * 1024, "is not a path"),
    (health_kinds.statuses, "200-", '"200-" is no status'),
    (health_kinds.statuses, "600", '"600" is no status'),
    (health_kinds.statuses, "300-200", '"300-200" ends before it begins'),
    (health_kinds.statuses, True, "is no status"),
    (health_kinds.statuses, [], "wanted 1 to 16 statuses, found 0"),
    (health_kinds.statuses, ["200"] * 17, "wanted 1 to 16 statuses, found 17"),
    (health_kinds.body, "x" * 257, "more than 256 bytes"),
    (health_kinds.fields, {"Host": "h"}, '"Host" is a field that a check writes by itself'),
    (health_kinds.fields, {"X-A": "a\r\nb: c"}, "is not one line"),
    (health_kinds.fields, {f"X-{n}": "a" for n in range(17)}, "17 fields are more than 16"),
    (health_kinds.fields, {"X-A": "a" * 1025}, "longer than 1024"),
    (health_kinds.multiple, 1, "1 is not 1.5 to 100"),
    (health_kinds.multiple, 101, "101 is not 1.5 to 100"),
    (health_kinds.multiple, "3", "wanted a number"),
    (health_kinds.multiple, True, "wanted a number"),
    (lambda: kinds.ratio(none=True), "0%", "is always reached"),
]


@pytest.mark.parametrize(("kind", "value", "message"), BAD)
def test_what_is_refused(kind: Callable[[], Kind], value: object, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        kind().read(value)
    assert message in refused.value.problems[0].message


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (health_kinds.target(), "/health?deep=1&x=%20"),
        (health_kinds.statuses(), "200"),
        (health_kinds.statuses(), ["200-299", "404"]),
        (health_kinds.body(), "off"),
        (health_kinds.body(), "fine"),
        (health_kinds.fields(), {"X-Key": "k"}),
        (health_kinds.multiple(), 2.5),
        (health_kinds.multiple(), "off"),
        (kinds.ratio(none=True), "off"),
        (kinds.ratio(none=True), "50%"),
    ],
)
def test_what_is_read_is_shown_again(kind: Kind, value: object) -> None:
    assert kind.show(kind.read(value)) == value
