"""Tests with network namespaces, for `make links` alone: they need root, and a kernel that has what they ask of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.links.spaces import Spaces

# Not asked for, not collected: elsewhere nobody has the rights.
collect_ignore_glob = [] if os.environ.get("WEIR_LINKS") else ["test_*.py"]


@pytest.fixture
def spaces() -> Iterator[Spaces]:
    with Spaces() as made:
        yield made
