"""Writes the files that are made from the tables in spec/.

    python tools/gen_tables.py           write them
    python tools/gen_tables.py --check   exit 1, naming them, if any would change

spec/reasons.toml   -> src/weir/plane/codes.pxd, src/weir/reasons.py, docs/reasons.md
spec/counters.toml  -> src/weir/plane/columns.pxd, src/weir/stats/columns.py
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTE = "Made by tools/gen_tables.py from spec/{spec}; do not edit."

STEPS = (
    ("DONE", "finished: go on"),
    ("NEED_MORE", "more input is needed"),
    ("WOULD_BLOCK", "the kernel takes or gives no more for now"),
    ("FAILED", "broken; the reason says why"),
)


def table(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "spec" / name).read_text())


def symbol(word: str) -> str:
    return "R_" + word.upper()


def codes_pxd() -> str:
    lines = ["# " + NOTE.format(spec="reasons.toml"), ""]
    lines.append("# What a step of a parser, a stream or a relay comes back with.")
    lines.append("cdef enum Step:")
    lines += [f"    {name} = {number}    # {text}" for number, (name, text) in enumerate(STEPS)]
    lines += ["", "# Why an exchange or a connection ended other than well.", "cdef enum Reason:"]
    reasons = table("reasons.toml")["reason"]
    lines += [f"    {symbol(reason['word'])} = {number}" for number, reason in enumerate(reasons)]
    lines += ["", "cdef enum:", f"    REASON_COUNT = {len(reasons)}", ""]
    return "\n".join(lines)


def reasons_py() -> str:
    reasons = table("reasons.toml")["reason"]
    lines = [f'"""Why exchanges and connections end other than well. {NOTE.format(spec="reasons.toml")}"""', ""]
    lines += ["from __future__ import annotations", "", "from enum import IntEnum", "from typing import NamedTuple", ""]
    lines += ['__all__ = ["REASONS", "Reason", "ReasonInfo"]', "", ""]
    lines += ["class ReasonInfo(NamedTuple):", '    """One row of the table: see spec/reasons.toml."""', ""]
    lines += ["    word: str", "    status: int", "    side: str", "    text: str", "", ""]
    lines += ["class Reason(IntEnum):", '    """The number of a reason, the same in the compiled plane."""', ""]
    lines += [f"    {reason['word'].upper()} = {number}" for number, reason in enumerate(reasons)]
    lines += ["", "", "REASONS: tuple[ReasonInfo, ...] = ("]
    for reason in reasons:
        lines.append(f'    ReasonInfo("{reason["word"]}", {reason["status"]}, "{reason["side"]}", "{reason["text"]}"),')
    lines += [")", ""]
    return "\n".join(lines)


def reasons_md() -> str:
    lines = [f"<!-- {NOTE.format(spec='reasons.toml')} -->", "", "# Reasons", ""]
    lines += ["When an exchange or a connection ends other than well, one of these words says why: in the", ""]
    lines[-1] = "access log, in the counters and in the error answer. A status of 0 means that no answer can be sent"
    lines += [
        "any more: the connection closes.",
        "",
        "| word | status | caused by | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for reason in table("reasons.toml")["reason"]:
        lines.append(f"| `{reason['word']}` | {reason['status']} | {reason['side']} | {reason['text']} |")
    return "\n".join([*lines, ""])


def columns_pxd() -> str:
    spec = table("counters.toml")
    lines = [
        "# " + NOTE.format(spec="counters.toml"),
        "",
        "# Places of the counters in a row of the shared table.",
        "cdef enum:",
    ]
    lines += [f"    K_{counter['name'].upper()} = {number}" for number, counter in enumerate(spec["counter"])]
    row = spec["row"]
    lines += [f"    ROW_COUNTERS = {row['counters']}", f"    ROW_HISTOGRAMS = {row['histograms']}"]
    lines += [f"    ROW_BUCKETS = {row['buckets']}", ""]
    return "\n".join(lines)


def columns_py() -> str:
    spec = table("counters.toml")
    row = spec["row"]
    lines = [f'"""The counters of a row of the shared table, in order. {NOTE.format(spec="counters.toml")}"""', ""]
    lines += ["from __future__ import annotations", "", "from typing import NamedTuple", ""]
    lines += ['__all__ = ["BUCKETS", "COUNTERS", "COUNTER_PLACES", "HISTOGRAMS", "CounterInfo"]', "", ""]
    lines += [
        "class CounterInfo(NamedTuple):",
        '    """One counter: its name, its unit (UCUM) and what it counts."""',
        "",
    ]
    lines += ["    name: str", "    unit: str", "    text: str", "", ""]
    lines += [
        f"COUNTER_PLACES = {row['counters']}",
        f"HISTOGRAMS = {row['histograms']}",
        f"BUCKETS = {row['buckets']}",
        "",
    ]
    lines += ["COUNTERS: tuple[CounterInfo, ...] = ("]
    lines += [f'    CounterInfo("{c["name"]}", "{c["unit"]}", "{c["text"]}"),' for c in spec["counter"]]
    return "\n".join([*lines, ")", ""])


OUTPUTS: dict[str, Callable[[], str]] = {
    "src/weir/plane/codes.pxd": codes_pxd,
    "src/weir/reasons.py": reasons_py,
    "docs/reasons.md": reasons_md,
    "src/weir/plane/columns.pxd": columns_pxd,
    "src/weir/stats/columns.py": columns_py,
}


def main(arguments: list[str]) -> int:
    stale = []
    for name, make in OUTPUTS.items():
        path, text = ROOT / name, make()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        print(("out of date: " if "--check" in arguments else "wrote ") + name)
    if stale and "--check" in arguments:
        print("run: python tools/gen_tables.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
