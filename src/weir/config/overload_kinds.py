"""Kinds of values of limits, breakers and deadlines."""

from __future__ import annotations

from weir.config import kinds, units
from weir.config.errors import refuse
from weir.config.kinds import OFF, Kind
from weir.config.plan import ADAPTIVE

__all__ = ["failures", "max_requests"]

ADAPTIVE_WORD = "adaptive"
MOST_REQUESTS = 65_535


def max_requests() -> Kind:
    """A number of requests; ``"off"`` is read as 0, ``"adaptive"`` as ADAPTIVE."""
    number = kinds.count(1, MOST_REQUESTS, none=OFF)

    def read(value: object) -> object:
        if value == ADAPTIVE_WORD:
            return ADAPTIVE
        if isinstance(value, str) and value != OFF and not value.isdecimal():
            return kinds.choice(OFF, ADAPTIVE_WORD).read(value)
        return number.read(value)

    schema = {**number.schema, "pattern": f"^({OFF}|{ADAPTIVE_WORD})$"}
    text = f'1 to {MOST_REQUESTS}, `"{OFF}"`, or `"{ADAPTIVE_WORD}"`'
    return Kind(read, text, schema, lambda value: ADAPTIVE_WORD if value == ADAPTIVE else number.show(value))


def failures() -> Kind:
    """A part of all attempts, read as whole percent; ``"off"`` for none, read as 0."""
    part = kinds.ratio()

    def read(value: object) -> object:
        if value == OFF:
            return 0
        percent = part.read(value)
        if percent == 0:
            refuse("a breaker that opens at 0% would never close", 'for no breaker write "off"')
        return percent

    schema = {**part.schema, "pattern": f"^({units.RATIO_PATTERN}|{OFF})$"}
    return Kind(read, 'ratio, `"1%"` to `"100%"`, or `"off"`', schema, lambda value: part.show(value) if value else OFF)
