"""`weir version`: what exactly is running."""

from __future__ import annotations

import click

__all__ = ["command", "describe"]


def compiled_modules() -> list[str]:
    """Names of the modules of the data plane that are compiled for this interpreter, sorted."""
    from importlib.machinery import EXTENSION_SUFFIXES
    from pathlib import Path

    import weir.plane

    names = {
        path.name.removesuffix(suffix)
        for directory in weir.plane.__path__
        for path in Path(directory).iterdir()
        for suffix in EXTENSION_SUFFIXES
        if path.name.endswith(suffix)
    }
    # The plain suffix ".so" also ends ".cpython-311-x86_64-linux-gnu.so"; what is left has a dot in it.
    return sorted(name for name in names if "." not in name)


def describe() -> str:
    """Version, interpreter, system and state of the compiled plane, one per line."""
    import platform

    import weir

    modules = compiled_modules()
    plane = f"compiled ({len(modules)} modules)" if modules else "not compiled: weir cannot run (make build)"
    return "\n".join(
        (
            f"weir {weir.__version__}",
            f"python: {platform.python_version()} ({platform.python_implementation()})",
            f"system: {platform.system()} {platform.release()} {platform.machine()}",
            f"plane: {plane}",
        )
    )


@click.command()
def command() -> None:
    """Print which weir this is."""
    click.echo(describe())
