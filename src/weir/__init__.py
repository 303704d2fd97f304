"""weir: an HTTP reverse proxy that measures what passes through it, and that is programmed in Python.

Importing the package loads nothing else: each name is looked up when it is asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what typing has under that name, without importing it
if TYPE_CHECKING:
    from typing import Any, Final

    from weir import testing
    from weir.config.errors import ConfigError
    from weir.control.errors import StartError
    from weir.embedding import Proxy
    from weir.hooks import hook
    from weir.hooks.life import background, shutdown, startup
    from weir.plane.answer import Answer
    from weir.plane.headers import Headers
    from weir.plane.messages import Request, Response
    from weir.plane.piecewise import BodyCut, BodyTooLarge
    from weir.running import run

    __version__: str

__all__ = [
    "Answer",
    "BodyCut",
    "BodyTooLarge",
    "ConfigError",
    "Headers",
    "Proxy",
    "Request",
    "Response",
    "StartError",
    "__version__",
    "background",
    "hook",
    "run",
    "shutdown",
    "startup",
    "testing",
]

# Where each name is; with "", a module.
_HOMES: Final = {
    "Answer": "weir.plane.answer",
    "BodyCut": "weir.plane.piecewise",
    "BodyTooLarge": "weir.plane.piecewise",
    "ConfigError": "weir.config.errors",
    "Headers": "weir.plane.headers",
    "Proxy": "weir.embedding",
    "Request": "weir.plane.messages",
    "Response": "weir.plane.messages",
    "StartError": "weir.control.errors",
    "background": "weir.hooks.life",
    "hook": "weir.hooks",
    "run": "weir.running",
    "shutdown": "weir.hooks.life",
    "startup": "weir.hooks.life",
    "testing": "",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("weir-proxy")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name) if home else import_module(f"weir.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
