"""Runs libFuzzer on the targets, one after the other, and says what came of it.

Each target has a process of its own (`fuzz.child`), with the instrumented build of the plane in place of the normal
one. What libFuzzer finds worth keeping goes to the cache, beside the committed corpus; an input that fails goes to
`fuzz/crashes`, where the tests find it from then on.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.seeds import write_seeds
from fuzz.targets import CORPUS, CRASHES, HERE, TARGETS

__all__ = ["main"]

ROOT = HERE.parent
CACHE = ROOT / ".cache" / "fuzz"
BUILD = CACHE / "lib"  # where make puts the instrumented build
DICTIONARY = HERE / "http.dict"

# Longer inputs find little that shorter ones do not, and cost speed; limits that need length are set low.
INPUT_BYTES = 4096
# One input takes milliseconds. What takes this long hangs.
INPUT_SECONDS = 20
MEMORY_MB = 2048
PROGRESS_SECONDS = 10
# How much of a child's output is shown when it fails: a sanitizer's report is about this long.
LINES_SHOWN = 60

# What libFuzzer says of itself. A pulse: "#1024 pulse cov: 329 ft: 495 corp: 137/11Kb lim: 4096 exec/s: 512 rss: 99Mb".
_PULSE = re.compile(r"^#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
# At its end, also after a crash:
_EXECUTED = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)
# And how many counters the compiled modules have.
_COUNTERS = re.compile(r"Loaded \d+ modules? +\((\d+) inline 8-bit counters\)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of fuzzing one target."""

    target: str
    seconds: float
    cpu_seconds: float
    executions: int
    edges: int
    counters: int
    features: int
    kept: int
    crashes: tuple[Path, ...]
    failed: bool


def environment(target: str) -> dict[str, str]:
    """The child's: the instrumented build first, and the sanitizer's library, which brings libFuzzer, before all."""
    import atheris  # here, because reading libFuzzer's output does without it

    library = Path(atheris.path()) / "asan_with_fuzzer.so"
    own = {
        "PYTHONPATH": f"{BUILD}:{ROOT}",
        "LD_PRELOAD": str(library),
        # Python leaks by design at its end. A buffer that the plane leaks is found by the ledger of a play.
        "ASAN_OPTIONS": "detect_leaks=0:malloc_context_size=5",
    }
    if target != "exchange":
        # What a parser is given is a Python object: the sanitizer has to see its bounds as well. The plane has its
        # own buffers, and a play makes so many objects that it would be half as fast.
        own["PYTHONMALLOC"] = "malloc"
    return {**os.environ, **own}


def command(target: str, *arguments: str) -> list[str]:
    """The child's command line."""
    return [sys.executable, "-m", "fuzz.child", target, *arguments]


def _limits() -> list[str]:
    return [f"-max_len={INPUT_BYTES}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"]


def _shown(log: Path) -> str:
    """The end of a child's output, without the dictionary that libFuzzer recommends."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if "# Uses:" not in line]
    return "\n".join(lines[-LINES_SHOWN:])


def _watch(child: subprocess.Popen[bytes], target: str, log: Path) -> float:
    """Waits for a child, saying now and then how far it is; returns the CPU time that it took."""
    said = time.monotonic()
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        time.sleep(0.2)
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            executions, edges, _, features, kept = read_log(log.read_text(errors="replace"))
            print(f"   {executions} executions, {edges} edges, {features} features, {kept} inputs", flush=True)


def read_log(text: str) -> tuple[int, int, int, int, int]:
    """Executions, edges, counters, features and inputs kept, as libFuzzer told them last; zeros if it did not."""
    pulses, loaded, executed = _PULSE.findall(text), _COUNTERS.search(text), _EXECUTED.search(text)
    executions, edges, features, kept = (int(number) for number in pulses[-1]) if pulses else (0, 0, 0, 0)
    executions = int(executed[1]) if executed else executions
    return executions, edges, int(loaded[1]) if loaded else 0, features, kept


def fuzz(target: str, seconds: int) -> Outcome:
    """Fuzzes one target for some time, or until an input fails."""
    found, crashes, seeds, log = CACHE / "corpus" / target, CRASHES / target, CORPUS / target, CACHE / f"{target}.log"
    for folder in (found, crashes, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    write_seeds(target, found)
    before = set(crashes.iterdir())
    options = [
        *_limits(),
        f"-max_total_time={seconds}",
        f"-dict={DICTIONARY}",
        f"-artifact_prefix={crashes}/",
        "-print_final_stats=1",
    ]
    began = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            command(target, *options, str(found), str(seeds)), stdout=output, stderr=output, env=environment(target)
        )
        try:
            cpu_seconds = _watch(child, target, log)
        except BaseException:
            child.kill()
            child.wait()
            raise
    executions, edges, counters, features, kept = read_log(log.read_text(errors="replace"))
    # Without counters nothing would have guided it.
    failed = child.returncode != 0 or not executions or not counters
    new = tuple(sorted(set(crashes.iterdir()) - before))
    if failed:
        print(_shown(log))
    seconds_taken = time.monotonic() - began
    return Outcome(target, seconds_taken, cpu_seconds, executions, edges, counters, features, kept, new, failed)


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes, for people. Edges are those of the compiled code, of all that clang has counted there."""
    lines = [
        f"{'target':14}{'seconds':>8}{'cpu s':>7}{'executions':>12}{'exec/cpu':>11}"
        f"{'edges':>7}{'of':>7}{'features':>9}{'inputs':>7}{'crashes':>8}"
    ]
    for it in outcomes:
        lines.append(
            f"{it.target:14}{it.seconds:8.0f}{it.cpu_seconds:7.0f}{it.executions:12}"
            f"{it.executions / max(it.cpu_seconds, 0.1):11.0f}"
            f"{it.edges:7}{it.counters:7}{it.features:9}{it.kept:7}{len(it.crashes):8}"
        )
    return "\n".join(lines)


def replay(path: Path) -> int:
    """Runs one input under the sanitizer; its folder's name is its target's."""
    target = path.resolve().parent.name
    if target not in TARGETS:
        print(f"error: {path} is in no folder of a target ({', '.join(TARGETS)})", file=sys.stderr)
        return 2
    return subprocess.run(command(target, str(path.resolve())), env=environment(target), check=False).returncode


def merge(target: str) -> int:
    """Adds to the committed corpus what was found, as few and short inputs as reach all that both reach."""
    found, seeds, merged = CACHE / "corpus" / target, CORPUS / target, CACHE / "merged" / target
    for folder in (found, CRASHES / target, seeds, merged):
        folder.mkdir(parents=True, exist_ok=True)
    before = set((CRASHES / target).iterdir())
    for old in merged.iterdir():
        old.unlink()
    options = ["-set_cover_merge=1", f"-artifact_prefix={CRASHES / target}/", *_limits()]
    folders = [str(merged), str(seeds), str(found)]
    done = subprocess.run(command(target, *options, *folders), env=environment(target), check=False)
    kept = sorted(merged.iterdir())
    if done.returncode or not kept or set((CRASHES / target).iterdir()) - before:
        print(f"error: the corpus of {target} cannot be merged: an input fails, or libFuzzer", file=sys.stderr)
        return 1
    for old in seeds.iterdir():
        old.unlink()
    for path in kept:
        path.rename(seeds / path.name)
    print(f"{target}: {len(kept)} inputs, {sum(path.stat().st_size for path in seeds.iterdir())} bytes")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python -m fuzz`."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Coverage-guided fuzzing of the data plane.")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("FUZZ_SECONDS", "60")), help="of each target")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input, with the sanitizer watching")
    parser.add_argument("--merge", action="store_true", help="take what was found into the committed corpus")
    options = parser.parse_args(argv)
    targets = options.target or list(TARGETS)
    if options.replay:
        return replay(options.replay)
    if options.merge:
        return max(merge(target) for target in targets)
    outcomes = []
    for target in targets:
        print(f"== {target}: {options.seconds} s", flush=True)
        outcomes.append(fuzz(target, options.seconds))
    print(table(outcomes))
    for outcome in outcomes:
        for path in outcome.crashes:
            print(f"{outcome.target} fails with {path.relative_to(ROOT)}: replay it with")
            print(f'    make fuzz FUZZ="--replay {path.relative_to(ROOT)}"')
    failed = [outcome.target for outcome in outcomes if outcome.failed]
    if failed:
        print(f"failed: {', '.join(failed)}; all that they said is in {CACHE.relative_to(ROOT)}/*.log", file=sys.stderr)
    return 1 if failed else 0
