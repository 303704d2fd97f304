"""weir: an HTTP reverse proxy that measures what passes through it.

Importing the package loads nothing else: `weir.__version__` is looked up when it is asked for.
"""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("weir-proxy")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
