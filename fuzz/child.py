"""The process that libFuzzer runs in: `python -m fuzz.child TARGET [options of libFuzzer] [folders]`.

It has to be started with the instrumented build of the plane first in PYTHONPATH and the sanitizer's library
preloaded; `fuzz.run` does that.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import atheris

import weir.plane.parsers
from fuzz.targets import TARGETS

__all__ = ["main"]


def main(argv: list[str]) -> None:
    """Fuzzes until a crash or the end that the options say."""
    where = Path(weir.plane.parsers.__file__).parent
    print(f"fuzzing {argv[1]} of {where}", file=sys.stderr, flush=True)
    # To merge, libFuzzer starts itself again and again, by what it takes for its own name.
    atheris.Setup([f"{sys.executable} -m fuzz.child {argv[1]}", *argv[2:]], TARGETS[argv[1]])
    # What is there now stays: a collection looks only at what an input has made.
    gc.collect()
    gc.freeze()
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
