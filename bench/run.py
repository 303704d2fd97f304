"""The whole proxy beside its peers: rounds that alternate between them, ratios to nginx, a table and a plot."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import cpu, cpu_between, peak_rss, reset_peak
from bench.peers import LOAD_CPU, PEERS, NotInstalled, origin, tool
from bench.server import Server, ServerError, raise_descriptor_limit

__all__ = ["main"]

# body, connections, keep-alive. 16 MiB on 1000 connections is left out: 16 GiB in flight measure the memory bus.
SCENARIOS = [
    *((body, connections, True) for body in ("0", "1k", "64k") for connections in (1, 64, 1000)),
    ("16m", 1, True),
    ("16m", 64, True),
    ("1k", 64, False),
]
QUICK = [("1k", 1, True), ("1k", 64, True), ("64k", 64, True), ("16m", 64, True), ("1k", 64, False)]
BARS = (
    ("1k-64", "total_us", "nginx", 0.85),
    ("1k-64", "total_us", "haproxy", 0.80),
    ("1k-64", "user_us", "nginx", 0.60),
    ("64k-64", "total_us", "nginx", 0.65),
    ("16m-64", "total_us", "nginx", 0.40),
    ("1k-1", "p50_us", "nginx", 1.00),
    ("1k-64-close", "total_us", "nginx", 1.00),
)


@dataclass(frozen=True)
class Result:
    """One run of one proxy: CPU time per request, rate, latency, peak memory, and answers that were no 200."""

    peer: str
    scenario: str
    user_us: float
    system_us: float
    total_us: float
    per_second: float
    p50_us: float
    p99_us: float
    peak_mib: float
    errors: int


def name_of(scenario: tuple[str, int, bool]) -> str:
    """The scenario's name in tables: body-connections, and -close for a new connection per request."""
    body, connections, keep = scenario
    return f"{body}-{connections}" + ("" if keep else "-close")


def microseconds(text: str) -> float:
    """A duration as wrk prints it."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def measure(server: Server, scenario: tuple[str, int, bool], seconds: float, script: Path | None = None) -> Result:
    """Runs wrk against a proxy, with a `script` if it needs one. Raises ServerError if nothing was answered."""
    body, connections, keep = scenario
    pids = server.tree()
    command = [tool("wrk"), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "--latency"]
    command += [] if keep else ["-H", "Connection: close"]
    command += [] if script is None else ["-s", str(script)]
    reset_peak(pids)
    before = cpu(pids)
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/{body}"],
        check=True, capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    ).stdout  # fmt: skip
    used = cpu_between(before, cpu(server.tree()))
    found = re.search(r"(\d+) requests in", output)
    requests = int(found[1]) if found else 0
    percentiles = dict(re.findall(r"^\s+(50|99)%\s+(\S+)$", output, re.MULTILINE))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0)
    if requests == 0:
        raise ServerError(f"{server.name} answered nothing in {seconds:g} s\n{output}")
    each = 1e6 / requests
    return Result(
        server.name, name_of(scenario), used.user * each, used.system * each, used.total * each, requests / seconds,
        microseconds(percentiles.get("50", "0us")), microseconds(percentiles.get("99", "0us")),
        peak_rss(pids) / (1 << 20), errors,
    )  # fmt: skip


def machine() -> list[str]:
    """What the figures were measured on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    lines = [f"- {model[1] if model else platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}"]
    lines.append(f"- Python {platform.python_version()}; the proxy on one processor, load and origin on the other")
    for command in (["nginx", "-v"], ["haproxy", "-v"], ["go", "version"], ["wrk", "-v"]):
        try:
            done = subprocess.run([tool(command[0]), *command[1:]], capture_output=True, text=True)
            lines.append(f"- {(done.stdout + done.stderr).splitlines()[0]}")
        except NotInstalled:
            lines.append(f"- {command[0]}: not installed")
    return lines


def median(results: list[Result], peer: str, scenario: str, what: str) -> float | None:
    """The median over rounds of one figure; None: not measured."""
    values = [getattr(r, what) for r in results if r.peer == peer and r.scenario == scenario]
    return statistics.median(values) if values else None


def report(results: list[Result], missing: list[str], rounds: int, seconds: float) -> str:
    """The results as Markdown."""
    lines = ["# Benchmark", "", *machine(), f"- {rounds} rounds of {seconds:g} s, alternating; medians", ""]
    lines += [f"Not installed, so not measured: {', '.join(missing)}.", ""] if missing else []
    head = (
        "| scenario | proxy | user us | system us | total us | x nginx | requests/s | p50 us | p99 us | MiB | errors |"
    )
    lines += [head, "|" + "---|" * 11]
    for scenario in dict.fromkeys(r.scenario for r in results):
        base = median(results, "nginx", scenario, "total_us")
        for peer in dict.fromkeys(r.peer for r in results if r.scenario == scenario):
            f = {
                k: median(results, peer, scenario, k) or 0.0
                for k in asdict(results[0])
                if k not in ("peer", "scenario")
            }
            ratio = f"{f['total_us'] / base:.2f}" if base else ""
            lines.append(
                f"| {scenario} | {peer} | {f['user_us']:.1f} | {f['system_us']:.1f} | {f['total_us']:.1f} | {ratio} "
                f"| {f['per_second']:.0f} | {f['p50_us']:.0f} | {f['p99_us']:.0f} | {f['peak_mib']:.0f} "
                f"| {f['errors']:.0f} |"
            )
    lines += ["", "| bar | ratio | limit | |", "|---|---|---|---|"]
    for scenario, what, peer, limit in BARS:
        ours, theirs = median(results, "weir", scenario, what), median(results, peer, scenario, what)
        if ours is None or not theirs:
            lines.append(f"| {scenario} {what} / {peer} | not measured | {limit:.2f} | |")
        else:
            verdict = "met" if ours / theirs <= limit else "not met"
            lines.append(f"| {scenario} {what} / {peer} | {ours / theirs:.2f} | {limit:.2f} | {verdict} |")
    return "\n".join([*lines, ""])


def plot(results: list[Result], path: Path) -> None:
    """CPU per request as bars, user and system stacked, by scenario."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    scenarios = list(dict.fromkeys(r.scenario for r in results))
    peers = list(dict.fromkeys(r.peer for r in results))
    columns = min(4, len(scenarios))
    rows = -(-len(scenarios) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.8 * columns, 2.8 * rows), squeeze=False)
    for axis in axes.flat[len(scenarios) :]:
        axis.remove()
    for axis, scenario in zip(axes.flat, scenarios, strict=False):
        user = [median(results, peer, scenario, "user_us") or 0.0 for peer in peers]
        system = [median(results, peer, scenario, "system_us") or 0.0 for peer in peers]
        axis.bar(peers, system, color="#8aa4c8", label="system")
        axis.bar(peers, user, bottom=system, color="#d08770", label="user")
        axis.set_title(title(scenario), fontsize=9)
        axis.tick_params(labelsize=8)
    axes[0][0].legend(fontsize=8)
    figure.suptitle("CPU time per request in microseconds", fontsize=11)
    plt.tight_layout()
    plt.savefig(path)


def title(scenario: str) -> str:
    """A scenario's name in words."""
    body, connections, *close = scenario.split("-")
    size = {"0": "no body", "1k": "1 KiB", "64k": "64 KiB", "16m": "16 MiB"}[body]
    words = "a new connection each" if close else f"{connections} connection{'s' if connections != '1' else ''}"
    return f"{size}, {words}"


def main() -> int:
    """Runs it; the exit status says only whether it ran, not whether a bar was met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer scenarios, 3 rounds of 2 s")
    parser.add_argument("--peers", default=",".join(PEERS), help="of " + ",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    options = parser.parse_args()
    rounds = options.rounds or 3
    seconds = options.seconds or (2.0 if options.quick else 4.0)
    scenarios = QUICK if options.quick else SCENARIOS
    raise_descriptor_limit()
    results: list[Result] = []
    missing: list[str] = []
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        try:
            source = origin(directory)
            servers.append(source)
            source.start("/1k")
            for name in options.peers.split(","):
                try:
                    server = PEERS[name](directory, f"127.0.0.1:{source.port}")
                except NotInstalled:
                    missing.append(name)
                    continue
                servers.append(server)
                server.start("/1k")
                print(f"{name}: ready after {server.ready_seconds * 1e3:.0f} ms", flush=True)
            proxies = servers[1:]
            total = rounds * len(scenarios) * len(proxies)
            for number in range(rounds):
                for scenario in scenarios:
                    for turn in range(len(proxies)):
                        server = proxies[(turn + number) % len(proxies)]
                        result = measure(server, scenario, seconds)
                        results.append(result)
                        left = (total - len(results)) * (seconds + 0.1)
                        print(
                            f"[{len(results)}/{total}, {left:.0f} s left] {result.scenario:12} {result.peer:8}"
                            f" {result.total_us:9.1f} us/request {result.per_second:8.0f}/s {result.errors} errors",
                            flush=True,
                        )
        finally:
            for server in reversed(servers):
                server.stop()
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / time.strftime("%Y-%m-%d")
    text = report(results, missing, rounds, seconds)
    stem.with_suffix(".md").write_text(text)
    stem.with_suffix(".json").write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    plot(results, stem.with_suffix(".svg"))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
