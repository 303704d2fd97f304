"""weir: an HTTP reverse proxy that measures what passes through it, and that is programmed in Python.

Importing the package loads nothing else: each name is looked up when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from weir.hooks import hook
    from weir.hooks.life import background, shutdown, startup
    from weir.plane.messages import Answer, Headers, Request, Response

    __version__: str

__all__ = ["Answer", "Headers", "Request", "Response", "__version__", "background", "hook", "shutdown", "startup"]

# Where each name is.
_HOMES: Final = {
    "background": "weir.hooks.life",
    "hook": "weir.hooks",
    "shutdown": "weir.hooks.life",
    "startup": "weir.hooks.life",
    "Answer": "weir.plane.messages",
    "Headers": "weir.plane.messages",
    "Request": "weir.plane.messages",
    "Response": "weir.plane.messages",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("weir-proxy")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
