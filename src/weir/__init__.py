"""weir: an HTTP reverse proxy that measures what passes through it.

Importing the package loads nothing else: what it has is looked up when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weir import testing
    from weir.config.errors import ConfigError
    from weir.control.errors import StartError
    from weir.embedding import Proxy

    __version__: str

__all__ = ["ConfigError", "Proxy", "StartError", "__version__", "testing"]

# Where what can be used from here is.
_HOMES = {
    "ConfigError": "weir.config.errors",
    "Proxy": "weir.embedding",
    "StartError": "weir.control.errors",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("weir-proxy")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    if name == "testing":
        from importlib import import_module

        return import_module("weir.testing")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
