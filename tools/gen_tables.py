"""Writes the files that are made from the tables in spec/.

    python tools/gen_tables.py           write them
    python tools/gen_tables.py --check   exit 1, naming them, if any would change

spec/reasons.toml   -> src/weir/plane/codes.pxd, src/weir/reasons.py, docs/reasons.md
spec/counters.toml and spec/figures.toml -> src/weir/plane/columns.pxd, src/weir/stats/columns.py
spec/states.toml    -> src/weir/plane/states.pxd, src/weir/plane/machines.py, docs/states.md
spec/strictness.toml -> docs/strictness.md
spec/metrics.toml   -> src/weir/admin/metric_table.py, docs/metric-table.md
spec/retries.toml   -> src/weir/plane/retrywords.pxd, src/weir/stats/retrywords.py, docs/retry-words.md
"""

from __future__ import annotations

import json
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


# Bits of a mask that one state has, so that a machine of at most 8 states fits 64 bits.
STATE_PLACES = 8


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
    spec, figures = table("counters.toml"), table("figures.toml")
    lines = [
        "# " + NOTE.format(spec="counters.toml and spec/figures.toml"),
        "",
        "# Places of the counters in a row of the shared table.",
        "cdef enum:",
    ]
    lines += [f"    K_{counter['name'].upper()} = {number}" for number, counter in enumerate(spec["counter"])]
    row, route = spec["row"], spec["route"]
    lines += [f"    ROW_COUNTERS = {row['counters']}", f"    ROW_REASONS = {row['reasons_at']}"]
    lines += [f"    REASON_PLACES = {row['reasons']}", f"    ROW_HISTOGRAMS = {row['histograms']}"]
    lines += [f"    ROW_BUCKETS = {row['buckets']}", f"    ROUTE_PARTS = {route['parts']}"]
    lines += [f"    SKETCH_BITS = {route['sketch_bits']}", ""]
    for kind, prefix in (("endpoint", "EF"), ("cluster", "CF")):
        lines += [f"# Places of a worker's figures of {'an' if kind == 'endpoint' else 'a'} {kind}.", "cdef enum:"]
        lines += [f"    {prefix}_{figure['name'].upper()} = {n}" for n, figure in enumerate(figures[f"{kind}_figure"])]
        lines += [f"    {kind.upper()}_FIGURES = {figures[kind]['places']}", ""]
    lines.insert(-1, f"    CLUSTER_DECISIONS = {figures['cluster']['decisions_at']}     # then RETRY_WORDS places")
    return "\n".join(lines)


def columns_py() -> str:
    spec, figures = table("counters.toml"), table("figures.toml")
    row, route = spec["row"], spec["route"]
    numbers = {
        "COUNTER_PLACES": row["counters"],
        "REASONS_AT": row["reasons_at"],
        "REASON_PLACES": row["reasons"],
        "HISTOGRAMS": row["histograms"],
        "BUCKETS": row["buckets"],
        "PARTS": route["parts"],
        "SKETCH_BYTES": 1 << route["sketch_bits"],
        "ENDPOINT_PLACES": figures["endpoint"]["places"],
        "CLUSTER_PLACES": figures["cluster"]["places"],
        "DECISIONS_AT": figures["cluster"]["decisions_at"],
    }
    of = ("ENDPOINT_FIGURES", "CLUSTER_FIGURES")
    names = sorted(
        ["COUNTERS", "CounterInfo", "FigureInfo", *of, *numbers], key=lambda name: (not name.isupper(), name)
    )
    note = NOTE.format(spec="counters.toml and spec/figures.toml")
    lines = [f'"""What is counted in the shared table, in order. {note}"""', ""]
    lines += ["from __future__ import annotations", "", "from typing import NamedTuple", ""]
    lines += ["__all__ = [" + ", ".join(f'"{name}"' for name in names) + "]", "", ""]
    lines += [
        "class CounterInfo(NamedTuple):",
        '    """One counter: its name, its unit (UCUM) and what it counts."""',
        "",
    ]
    lines += ["    name: str", "    unit: str", "    text: str", "", ""]
    lines += ["class FigureInfo(NamedTuple):"]
    lines += ['    """A figure of an endpoint or a cluster: `kind` is "gauge", "least" or "counter"."""', ""]
    lines += ["    name: str", "    kind: str", "    text: str", "", ""]
    lines += [*(f"{name} = {number}" for name, number in numbers.items()), ""]
    lines += ["COUNTERS: tuple[CounterInfo, ...] = ("]
    lines += [f'    CounterInfo("{c["name"]}", "{c["unit"]}", "{c["text"]}"),' for c in spec["counter"]]
    lines += [")", ""]
    for name in of:
        lines += [f"{name}: tuple[FigureInfo, ...] = ("]
        lines += [f'    FigureInfo("{f["name"]}", "{f["kind"]}", "{f["text"]}"),' for f in figures[name.lower()[:-1]]]
        lines += [")", ""]
    return "\n".join(lines)


def moves(machine: dict[str, Any]) -> list[tuple[int, int]]:
    names = [state["name"] for state in machine["states"]]
    return [(names.index(move["from"]), names.index(move["to"])) for move in machine["moves"]]


def states_pxd() -> str:
    lines = ["# " + NOTE.format(spec="states.toml"), "", "from libc.stdint cimport uint8_t, uint64_t", ""]
    machines = table("states.toml")["machine"]
    for machine in machines:
        lines += [f"# {machine['text']}", f"cdef enum {machine['name'].capitalize()}State:"]
        for number, state in enumerate(machine["states"]):
            lines += [f"    # {state['text']}", f"    {machine['prefix']}_{state['name'].upper()} = {number}"]
        lines.append("")
    lines += ["cdef enum Machine:"]
    lines += [f"    MACHINE_{machine['name'].upper()} = {number}" for number, machine in enumerate(machines)]
    lines += ["", "cdef enum:", f"    MACHINE_COUNT = {len(machines)}", "    STATE_PLACES = 8", ""]
    lines += ["# Whether the table has this move: bit 8 x old + new of a machine's mask."]
    lines += ["cdef inline bint is_legal_move(Machine machine, uint8_t old, uint8_t new) noexcept nogil:"]
    lines += ["    cdef uint64_t mask = 0"]
    for number, machine in enumerate(machines):
        mask = sum(1 << (STATE_PLACES * old + new) for old, new in moves(machine))
        keyword = "elif" if number else "if"
        lines += [
            f"    {keyword} machine == MACHINE_{machine['name'].upper()}:",
            f"        mask = <uint64_t>{mask:#018x}",
        ]
    return "\n".join([*lines, "    return mask >> (STATE_PLACES * old + new) & 1", ""])


def machines_py() -> str:
    lines = [f'"""The state machines of the plane, as data. {NOTE.format(spec="states.toml")}"""', ""]
    lines += ["from __future__ import annotations", "", "from typing import NamedTuple", ""]
    lines += ['__all__ = ["MACHINES", "STATE_PLACES", "Machine"]', "", f"STATE_PLACES = {STATE_PLACES}", "", ""]
    lines += [
        "class Machine(NamedTuple):",
        '    """States in the order of their numbers, and the moves between them."""',
        "",
    ]
    lines += ["    name: str", "    first: str", "    final: tuple[str, ...]", "    states: tuple[str, ...]"]
    lines += ["    moves: tuple[tuple[str, str], ...]", "", "", "MACHINES: tuple[Machine, ...] = ("]
    for machine in table("states.toml")["machine"]:
        names = tuple(state["name"] for state in machine["states"])
        lines += ["    Machine(", f"        {machine['name']!r},", f"        {machine['first']!r},"]
        lines += [f"        {tuple(machine['final'])!r},", f"        {names!r},", "        ("]
        lines += [f"            {(move['from'], move['to'])!r}," for move in machine["moves"]]
        lines += ["        ),", "    ),"]
    return "\n".join([*lines, ")", ""]).replace("'", '"')


def states_md() -> str:
    lines = [f"<!-- {NOTE.format(spec='states.toml')} -->", "", "# State machines", ""]
    lines += [
        "What a connection or an exchange may be in, and how it gets from one state to another. Every move is checked"
    ]
    lines += ["against this table while weir runs; the tests make each of them.", ""]
    for machine in table("states.toml")["machine"]:
        lines += [f"## {machine['name'].capitalize()}", "", machine["text"], "", "```mermaid", "stateDiagram-v2"]
        lines += [f"    [*] --> {machine['first']}"]
        lines += [f"    {move['from']} --> {move['to']}" for move in machine["moves"]]
        lines += [f"    {name} --> [*]" for name in machine["final"]]
        lines += ["```", "", "| state | meaning |", "| --- | --- |"]
        lines += [f"| {state['name']} | {state['text']} |" for state in machine["states"]]
        lines += ["", "| from | to | when |", "| --- | --- | --- |"]
        lines += [f"| {move['from']} | {move['to']} | {move['when']} |" for move in machine["moves"]]
        lines += [""]
    return "\n".join(lines)


def strictness_md() -> str:
    lines = [f"<!-- {NOTE.format(spec='strictness.toml')} -->", "", "# Strictness", ""]
    lines += [
        "What weir makes of messages that are unusual or wrong: what it refuses, with which [reason](reasons.md), and"
    ]
    lines += ["what goes on in which form. What could be read in two ways is refused, even where the RFC would allow a"]
    lines += ["recipient to repair it. Numbers are those of RFCs; Trace Context is the W3C's, PROXY is HAProxy's"]
    lines += ["specification of the PROXY protocol.", ""]
    lines += [
        "Each row is a test: `tests/plane/test_strictness.py` sends the bytes, and a second request right behind them,"
    ]
    lines += ["through the whole data plane, and compares what comes out. The bytes stand in `spec/strictness.toml`."]
    part = ""
    for row in table("strictness.toml")["row"]:
        if row["part"] != part:
            part = row["part"]
            lines += ["", f"## {part[0].upper() + part[1:]}", "", "| what | outcome | where | what is said there |"]
            lines += ["| --- | --- | --- | --- |"]
        outcome = f"refused: `{row['refused']}`" if "refused" in row else "goes on"
        if "closed" in row:
            outcome = f"closed: `{row['closed']}`"
        outcome += f"; {row['note']}" if "note" in row else ""
        said = row["says"].replace("|", "\\|")
        lines.append(f"| {row['name']} | {outcome} | {row['rfc']} | {said} |")
    return "\n".join([*lines, ""])


def metric_table_py() -> str:
    lines = [f'"""The metrics, as data. {NOTE.format(spec="metrics.toml")}"""', ""]
    lines += ["from __future__ import annotations", "", "from typing import NamedTuple", ""]
    lines += ['__all__ = ["METRICS", "Metric"]', "", "", "class Metric(NamedTuple):"]
    lines += ['    """One metric: see spec/metrics.toml."""', ""]
    lines += ["    name: str", "    kind: str", "    unit: str", "    labels: tuple[str, ...]", "    text: str", "", ""]
    lines += ["METRICS: tuple[Metric, ...] = ("]
    for metric in table("metrics.toml")["metric"]:
        labels = ", ".join(json.dumps(label) for label in metric["labels"])
        labels = f"({labels}{',' if len(metric['labels']) == 1 else ''})"
        name, kind, unit, text = (json.dumps(metric[key]) for key in ("name", "kind", "unit", "text"))
        lines.append(f"    Metric({name}, {kind}, {unit}, {labels}, {text}),")
    return "\n".join([*lines, ")", ""])


def metric_table_md() -> str:
    lines = [f"<!-- {NOTE.format(spec='metrics.toml')} -->", "", "# All metrics", ""]
    lines += ["Samples of a counter have `_total` behind the name."]
    lines += ["Labels are bounded; paths are only in `weir_path_*`, on demand."]
    lines += ["How to scrape and what the labels mean: [metrics](metrics.md).", ""]
    lines += ["| name | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for metric in table("metrics.toml")["metric"]:
        labels = ", ".join(f"`{label}`" for label in metric["labels"]) or "none"
        lines.append(f"| `{metric['name']}` | {metric['kind']} | {labels} | {metric['text']} |")
    return "\n".join([*lines, ""])


def retrywords_pxd() -> str:
    decisions = table("retries.toml")["decision"]
    lines = ["# " + NOTE.format(spec="retries.toml"), ""]
    lines += ["# What was decided about sending a request once more.", "cdef enum RetryWord:"]
    lines += [f"    RW_{one['word'].upper()} = {number}" for number, one in enumerate(decisions)]
    retried = sum(1 << number for number, one in enumerate(decisions) if one["kind"] == "retried")
    lines += ["", "cdef enum:", f"    RETRY_WORDS = {len(decisions)}"]
    lines += [f"    RETRIED_MASK = {retried:#x}     # by number: it goes on", ""]
    return "\n".join(lines)


def retrywords_py() -> str:
    lines = [f'"""What is decided about sending requests again. {NOTE.format(spec="retries.toml")}"""', ""]
    lines += ["from __future__ import annotations", "", "from typing import NamedTuple", ""]
    lines += ['__all__ = ["RETRY_WORDS", "RetryWord"]', "", "", "class RetryWord(NamedTuple):"]
    lines += ['    """One row of the table: see spec/retries.toml."""', ""]
    lines += ["    word: str", "    kind: str", "    text: str", "", ""]
    lines += ["# By number.", "RETRY_WORDS: tuple[RetryWord, ...] = ("]
    for one in table("retries.toml")["decision"]:
        lines.append(f"    RetryWord({json.dumps(one['word'])}, {json.dumps(one['kind'])}, {json.dumps(one['text'])}),")
    return "\n".join([*lines, ")", ""])


def retrywords_md() -> str:
    lines = [f"<!-- {NOTE.format(spec='retries.toml')} -->", "", "# Decisions about retries", ""]
    lines += ["Each time that a request could be sent once more, one of these words says what was decided and why."]
    lines += ["They are counted per cluster: [retries](retries.md) explains them and says where they are seen.", ""]
    lines += ["| word | kind | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{one['word']}` | {one['kind']} | {one['text']} |" for one in table("retries.toml")["decision"]]
    return "\n".join([*lines, ""])


OUTPUTS: dict[str, Callable[[], str]] = {
    "src/weir/plane/codes.pxd": codes_pxd,
    "src/weir/reasons.py": reasons_py,
    "docs/reasons.md": reasons_md,
    "src/weir/plane/columns.pxd": columns_pxd,
    "src/weir/stats/columns.py": columns_py,
    "src/weir/plane/states.pxd": states_pxd,
    "src/weir/plane/machines.py": machines_py,
    "docs/states.md": states_md,
    "docs/strictness.md": strictness_md,
    "src/weir/admin/metric_table.py": metric_table_py,
    "docs/metric-table.md": metric_table_md,
    "src/weir/plane/retrywords.pxd": retrywords_pxd,
    "src/weir/stats/retrywords.py": retrywords_py,
    "docs/retry-words.md": retrywords_md,
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
