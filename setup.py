"""Builds the compiled modules: every .pyx under src/weir is an extension of its own; most are the data plane.

Switches, all off in a release build:

WEIR_DEBUG=1      assertions of the plane's own invariants (the WEIR_DEBUG macro)
WEIR_TRACE=1      line tracing, for coverage of the .pyx files
WEIR_SANITIZE=1   address and undefined-behaviour sanitizers
WEIR_FUZZ=1       libFuzzer's coverage, the address sanitizer and assertions, with clang (make fuzz)
WEIR_ANNOTATE=1   the annotated HTML that shows where Python is called
WEIR_FORCE=1      all of it again, whatever has changed
WEIR_COMPILE=0    no extensions: for an installation in place, beside what build_ext has compiled already

Coverage and sanitizers have builds of their own beside this one: tools/twin.py.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src")
PLANE = SOURCE / "weir/plane"


def switch(name: str, default: str = "") -> bool:
    return os.environ.get(name, default) not in ("", "0")


debug, trace, sanitize = switch("WEIR_DEBUG"), switch("WEIR_TRACE"), switch("WEIR_SANITIZE")
fuzz = switch("WEIR_FUZZ")
compile_args = ["-O2", "-g0", "-fno-strict-aliasing", "-Wall", "-Wsign-compare"]
# Cython's own generated code trips these two; nothing of ours can.
compile_args += ["-Wno-unused-function", "-Wno-unused-variable"]
link_args: list[str] = []
macros: list[tuple[str, str | None]] = [("WEIR_DEBUG", "1" if debug else "0")]
if sanitize:
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
    # Python's own flags say -fwrapv, which would make every overflow a defined one that is not reported. A warning
    # of the compiler's is the other build's business: here it also guesses about what is wrong on purpose.
    # Not optimized: what is checked is all the same, and gcc takes a third of the time.
    compile_args = ["-O0", "-g", "-fno-strict-aliasing", "-fno-wrapv", "-w", *flags]
    link_args = flags
if fuzz:
    # The counters and comparisons that guide libFuzzer; who loads the extension brings the library itself.
    flags = ["-fsanitize=address,fuzzer-no-link", "-fno-omit-frame-pointer"]
    compile_args = ["-O1", "-g", "-fno-strict-aliasing", "-w", *flags]
    # What gcc defines by itself. The plane's own assertions are on: an input that breaks one has failed.
    macros = [("WEIR_DEBUG", "1"), ("__SANITIZE_ADDRESS__", "1")]
if trace:
    macros += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")]

# The largest first, so that no processor waits for the last one.
modules = sorted(SOURCE.rglob("*.pyx"), key=lambda path: (-path.stat().st_size, path))
if not switch("WEIR_COMPILE", "1"):
    modules = []
extensions = [
    Extension(
        ".".join(path.relative_to(SOURCE).with_suffix("").parts),
        [str(path)],
        include_dirs=[str(PLANE)],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=macros,
        # A header has no place in make's eyes: a changed .pxd is seen through cythonize's own scan.
        depends=[str(header) for header in PLANE.glob("*.h")],
    )
    for path in modules
]


class BuildExtensions(build_ext):
    """Compiles several extensions at a time, and makes the folders of their objects before."""

    def build_extensions(self) -> None:
        # The compilers would make it themselves, each when it is first: setuptools notes a folder as made just before
        # it makes it, and another thread's compiler then finds none.
        for extension in self.extensions:
            Path(self.build_temp, extension.sources[0]).parent.mkdir(parents=True, exist_ok=True)
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildExtensions},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        extensions,
        include_path=["src"],
        nthreads=os.cpu_count() or 1,
        annotate=switch("WEIR_ANNOTATE"),
        force=switch("WEIR_FORCE") or None,
        # A compiler's warning and a sanitizer's stack then name lines of the .pyx.
        emit_linenums=True,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "freethreading_compatible": False,
            "linetrace": trace,
            "embedsignature": True,
            "warn.undeclared": False,
            "warn.unused": True,
        },
    ),
)
