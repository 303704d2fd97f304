"""Fixtures of the plane's tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.plane.scene import Scene


@pytest.fixture(autouse=True)
def ledger_of_descriptors() -> Iterator[None]:
    """Every test of the plane leaves as many descriptors open as it found."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before, "a descriptor was left open"


@pytest.fixture
def stage() -> Iterator[Callable[..., Scene]]:
    """Makes scenes, and checks the ledger of each at the end."""
    scenes: list[Scene] = []

    def make(**options: Any) -> Scene:
        scenes.append(Scene(**options))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.close()


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> Iterator[None]:
    """Every scene ends with a collection, which need not look at all that pytest and earlier modules have made."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
