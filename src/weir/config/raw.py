"""The parsed TOML of a configuration, as far as it can be read: for checks that look at it and not at the model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, cast

from weir.config.balance_kinds import member
from weir.config.errors import ConfigError
from weir.config.model import Table, kind_of_field
from weir.config.plan import AddressPlan

__all__ = ["Raw", "endpoints", "read", "table", "tables", "value"]

Raw = Mapping[str, Any]

MOST_TEXTS = 1 << 14


def tables(raw: Raw, key: str) -> list[tuple[int, Raw]]:
    """The tables of an array of tables, with their places; whatever else it may be: none."""
    array = raw.get(key)
    if not isinstance(array, list):
        return []
    return [(place, element) for place, element in enumerate(array) if isinstance(element, dict)]


def table(raw: Raw, key: str) -> Raw:
    found = raw.get(key)
    return found if isinstance(found, dict) else {}


def value(model: type[Table], given: Raw, key: str) -> Any:
    """The value of a key, or its default; None if it is missing or cannot be read."""
    return read(model, key, given[key]) if key in given else _default(model, key)


@cache
def _default(model: type[Table], key: str) -> Any:
    field = model.model_fields[key]
    return None if field.is_required() else field.default


def read(model: type[Table], key: str, found: object) -> Any:
    """A value of a key as the model has it; None if it cannot be read."""
    return _read_text(model, key, found) if isinstance(found, str) else _read_any(model, key, found)


def _read_any(model: type[Table], key: str, found: object) -> Any:
    kind = kind_of_field(model.model_fields[key])
    assert kind is not None
    try:
        return kind.read(found)
    except ConfigError:
        return None


# The same texts are asked for by several checks: of thousands of clusters they are read once.
_read_text = lru_cache(MOST_TEXTS)(_read_any)


def endpoints(cluster: Raw) -> list[tuple[int, AddressPlan]]:
    """The endpoints of a cluster that can be read."""
    listed = cluster.get("endpoints")
    kind = member()
    found: list[tuple[int, AddressPlan]] = []
    for place, element in enumerate(listed if isinstance(listed, list) else []):
        with contextlib.suppress(ConfigError):
            found.append((place, cast("AddressPlan", kind.read(element))))
    return found
