"""A configuration that a program gives as nested tables."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from weir.config.errors import ConfigError
from weir.config.load import from_mapping, load_text


def test_nested_tables_are_a_configuration() -> None:
    tables = {"listener": ({"address": ":8080", "to": "app"},), "cluster": [{"name": "app", "endpoints": ("a:1",)}]}
    text = '[[listener]]\naddress = ":8080"\nto = "app"\n[[cluster]]\nname = "app"\nendpoints = ["a:1"]\n'
    assert from_mapping(MappingProxyType(tables)) == load_text(text, "f")


def test_what_is_wrong_with_nested_tables_is_said_by_its_keys() -> None:
    cluster = {"name": "app", "endpoints": ["a:1"], "pool": {"max_idle": -1}}
    with pytest.raises(ConfigError) as error:
        from_mapping({"listener": [{"address": ":8080", "to": "ap", "nonsense": 1}], "cluster": [cluster]}, "shop")
    keys = [(problem.file, problem.key_path) for problem in error.value.problems]
    assert sorted(keys) == [
        ("shop", "cluster.app.pool.max_idle"),
        ("shop", "listener[0].nonsense"),
        ("shop", "listener[0].to"),
    ]
