"""A fixture for pytest: `pytest_plugins = ["weir.fixtures"]` in conftest.py.

Not an entry point, which every run of pytest would load wherever weir is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from weir.testing import ObservedProxy, proxy

__all__ = ["weir_proxy"]


@pytest.fixture
def weir_proxy() -> Iterator[Callable[..., ObservedProxy]]:
    """Makes proxies as weir.testing.proxy() does; each serves, in a thread of its own, until the test is over.

    The last one that was made ends first, so that one may be in front of another.
    """
    with ExitStack() as stack:

        def make(*given: object, **more: object) -> ObservedProxy:
            return stack.enter_context(proxy(*given, **more))  # type: ignore[arg-type]

        yield make
