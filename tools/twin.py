"""Builds weir a second time, with other switches, apart from the build that people use.

    python tools/twin.py sanitize   with address and undefined-behaviour sanitizers, and the plane's own assertions
    python tools/twin.py trace      with line tracing, and the plane's own assertions

A twin stands in .cache/NAME: a copy of the sources, so that what Cython writes and the compiler makes of it never
meets the files of the other build, and an environment that shares the packages of the one this runs in. What has
not changed is neither copied nor compiled again. Run its tests with PYTHONPATH=.cache/NAME/src .cache/NAME/bin/python.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SWITCHES = {"sanitize": "WEIR_SANITIZE", "trace": "WEIR_TRACE"}
# For these Cython writes the same as for the build in place: what it has written there is taken, not written again.
SAME_C = {"sanitize"}
# What setup.py reads besides the sources.
PROJECT = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
WRITTEN = {".py", ".pyi", ".pyx", ".pxd", ".h", ".typed"}
# Breaks every rule on purpose, so that a run that reports nothing is known to have been able to.
CANARY = "tools/sanitize/canary.pyx"
HOST = ROOT / "tools" / "sanitize" / "python.c"
# Recompiled are modules with a new source, as make and setuptools see it; a change of these changes all of them.
DECIDES_ALL = ("setup.py", "tools/twin.py")


def sources(name: str) -> dict[str, Path]:
    """The files of a twin by their place in it."""
    found = {path: ROOT / path for path in PROJECT}
    for path in (ROOT / "src" / "weir").rglob("*"):
        if path.is_file() and (path.suffix in WRITTEN or not {"site", "static"}.isdisjoint(path.parts)):
            found[path.relative_to(ROOT).as_posix()] = path
    if name == "sanitize":
        found["src/weir/plane/canary.pyx"] = ROOT / CANARY
    return found


def written(name: str) -> dict[str, Path]:
    """What Cython has written for the build in place, where a twin can use it."""
    if name not in SAME_C:
        return {}
    found = ((ROOT / path).with_suffix(".c") for path in sources(name) if path.endswith(".pyx"))
    return {path.relative_to(ROOT).as_posix(): path for path in found if path.exists()}


def copy(twin: Path, files: dict[str, Path]) -> None:
    """Makes the twin's sources equal to `files`. What is equal keeps its time, so that nothing is built for it."""
    for old in (twin / "src").rglob("*"):
        if old.is_file() and old.suffix in WRITTEN and old.relative_to(twin).as_posix() not in files:
            old.unlink()
            for made in old.parent.glob(f"{old.stem}.*"):
                made.unlink()
    update(twin, files)


def update(twin: Path, files: dict[str, Path]) -> None:
    for place, source in files.items():
        target = twin / place
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def environment(name: str, twin: Path) -> None:
    """A Python of the twin's own, with the packages of this one."""
    (twin / "bin").mkdir(exist_ok=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", twin / "pyvenv.cfg")
    library = twin / "lib"
    if not library.is_symlink():
        library.symlink_to(Path(sys.prefix) / "lib")
    python = twin / "bin" / "python"
    if name == "sanitize":
        if not python.exists() or python.stat().st_mtime < HOST.stat().st_mtime:
            compile_host(python)
    elif not python.exists():
        python.symlink_to(os.path.realpath(sys.executable))


def compile_host(python: Path) -> None:
    """The interpreter, linked with the sanitizers: see python.c."""
    value = sysconfig.get_config_var
    library = str(value("LIBDIR"))
    flags = ["-O1", "-g", "-fsanitize=address,undefined", f"-I{sysconfig.get_path('include')}"]
    links = [f"-L{library}", f"-Wl,-rpath,{library}", f"-lpython{value('LDVERSION')}"]
    others = f"{value('LIBS')} {value('SYSLIBS')} {value('LINKFORSHARED')}".split()
    command = [os.environ.get("CC", "cc"), *flags, str(HOST), "-o", str(python), *links, *others]
    subprocess.run(command, check=True)


def build(name: str, twin: Path) -> None:
    """Compiles what has changed."""
    stamp = twin / ".switches"
    decides = b"".join((ROOT / path).read_bytes() for path in DECIDES_ALL)
    force = [] if stamp.exists() and stamp.read_bytes() == decides else ["--force"]
    anew = force and name not in SAME_C
    switches = {SWITCHES[name]: "1", "WEIR_DEBUG": "1", "WEIR_FORCE": "1" if anew else "0"}
    jobs = str(os.cpu_count() or 1)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--parallel", jobs, *force]
    subprocess.run(command, check=True, cwd=twin, env={**os.environ, **switches})
    stamp.write_bytes(decides)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build weir a second time, with other switches.")
    parser.add_argument("name", choices=sorted(SWITCHES))
    name = parser.parse_args(arguments).name
    twin = ROOT / ".cache" / name
    copy(twin, sources(name))
    # Later than the sources, and so younger: Cython takes it for its own.
    update(twin, written(name))
    environment(name, twin)
    build(name, twin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
