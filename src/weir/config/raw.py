"""The parsed TOML of a configuration, as far as it can be read: for checks that look at it and not at the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir.config.balance_kinds import member
from weir.config.errors import ConfigError
from weir.config.model import Table, kind_of_field
from weir.config.plan import AddressPlan

__all__ = ["Raw", "endpoints", "read", "table", "tables", "value"]

Raw = Mapping[str, Any]


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
    field = model.model_fields[key]
    if key not in given:
        return None if field.is_required() else field.default
    return read(model, key, given[key])


def read(model: type[Table], key: str, found: object) -> Any:
    kind = kind_of_field(model.model_fields[key])
    assert kind is not None
    try:
        return kind.read(found)
    except ConfigError:
        return None


def endpoints(cluster: Raw) -> list[tuple[int, AddressPlan]]:
    """The endpoints of a cluster that can be read."""
    listed = cluster.get("endpoints")
    kind = member()
    found: list[tuple[int, AddressPlan]] = []
    for place, element in enumerate(listed if isinstance(listed, list) else []):
        try:
            address = kind.read(element)
        except ConfigError:
            continue
        assert isinstance(address, AddressPlan)
        found.append((place, address))
    return found
