"""Fixtures of the tests with faults."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> Iterator[None]:
    """A scene ends with a collection, which need not look at all that pytest and earlier modules have made."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
