"""What the tests of the configuration have in common."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weir.config.errors import ConfigError
from weir.config.load import load_text

Refusals = Callable[[str], list[str]]


@pytest.fixture
def refusals() -> Refusals:
    """Loads a text that must be refused and gives the lines of what was said, with `f` for the file's name."""

    def load(text: str) -> list[str]:
        with pytest.raises(ConfigError) as error:
            load_text(text, "f")
        return str(error.value).splitlines()

    return load
