"""The parts of the tutorial beside weir, in one run: `python -m bench.tutorial` writes the figures into its README.

Rounds alternate between the proxies, figures are medians. All of them stand in front of the same two backends: an nginx
that keeps connections and one that closes each after its response. Each writes a line per request to a file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.peers import PROXY_CPU, origin, weir
from bench.run import Result, machine, measure
from bench.server import Server, free_port, raise_descriptor_limit

__all__ = ["main", "replaced", "table"]

TUTORIAL = Path(__file__).resolve().parent.parent / "examples" / "tutorial"
README = TUTORIAL / "README.md"
BEGIN, END = "<!-- figures: python -m bench.tutorial -->\n", "<!-- end of figures -->\n"
PARTS = ("part1", "part2", "part3", "part4", "part5_server")
CONNECTIONS = (1, 64)
KEEPS, CLOSES = "keeps", "closes"  # what the backend does with its connections

Results = dict[tuple[str, str, int], list[Result]]


def part(name: str, directory: Path, endpoint: str) -> Server:
    """A part of the tutorial on a free port."""
    port = free_port()
    command = [sys.executable, str(TUTORIAL / f"{name}.py"), "--listen", f"127.0.0.1:{port}", "--backend", endpoint]
    command += ["--rpc", "127.0.0.1:0"] if name == "part5_server" else []
    return Server(name, command, port, PROXY_CPU, directory)


def logging_weir(directory: Path, endpoint: str) -> Server:
    """weir with the access log that the parts have as well."""
    server = weir(directory, endpoint)
    server.argv += ["--access-log", str(directory / "access.log"), "--log-format", "short"]
    return server


def median(results: Sequence[Result], what: str) -> float:
    return float(statistics.median(getattr(result, what) for result in results))


def table(results: Results) -> str:
    """Requests/s of each proxy for each number of connections, with the backend that keeps connections and with the
    one that closes them; of 64 connections and the first backend also latency and CPU time per request."""
    head = ("", "1 connection", "64", "p50", "p99", "CPU each", "1, closing backend", "64, closing backend", "failed")
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for name in dict.fromkeys(name for name, _, _ in results):
        rates = {
            (backend, connections): median(found, "per_second")
            for (peer, backend, connections), found in results.items()
            if peer == name
        }
        many = results[name, KEEPS, 64]
        errors = sum(r.errors for (peer, _, _), found in results.items() if peer == name for r in found)
        cells = [f"{rates[KEEPS, connections]:.0f}/s" for connections in CONNECTIONS]
        cells += [f"{median(many, what) / 1e3:.1f} ms" for what in ("p50_us", "p99_us")]
        cells += [f"{median(many, 'total_us'):.0f} µs"]
        cells += [f"{rates[CLOSES, connections]:.0f}/s" for connections in CONNECTIONS]
        lines.append(f"| {name.removesuffix('_server')} | {' | '.join(cells)} | {errors} |")
    return "\n".join([*lines, ""])


def replaced(text: str, figures: str) -> str:
    """A document with what stands between the marks BEGIN and END replaced. Raises ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN.strip()} ... {END.strip()} in the document")
    return f"{before}{begin}{figures}{end}{after}"


def run(rounds: int, seconds: int) -> Results:
    """Starts everything, asks each proxy in turn, and ends everything."""
    results: Results = {}
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        try:
            proxies: list[tuple[str, Server]] = []
            for kind, settings in ((KEEPS, "keepalive_requests 1000000000;"), (CLOSES, "keepalive_timeout 0;")):
                home = directory / kind
                home.mkdir()
                backend = origin(home, f"origin-{kind}", settings)
                servers.append(backend)
                backend.start("/1k")
                endpoint = f"127.0.0.1:{backend.port}"
                for server in [*(part(name, home, endpoint) for name in PARTS), logging_weir(home, endpoint)]:
                    servers.append(server)
                    server.start("/1k")
                    proxies.append((kind, server))
            for number in range(rounds):
                for connections in CONNECTIONS:
                    for kind, server in proxies[:: 1 if number % 2 else -1]:
                        result = measure(server, ("1k", connections, True), seconds)
                        results.setdefault((server.name, kind, connections), []).append(result)
                        print(f"{kind:7} {connections:3} {server.name:13} {result.per_second:8.0f}/s", flush=True)
        finally:
            for server in reversed(servers):
                server.stop()
    order = [*PARTS, "weir"]
    return dict(sorted(results.items(), key=lambda item: order.index(item[0][0])))


def main() -> int:
    """Measures, prints the table, and writes it into the README."""
    parser = argparse.ArgumentParser(prog="python -m bench.tutorial", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="leave the README as it is")
    options = parser.parse_args()
    raise_descriptor_limit()
    results = run(options.rounds, options.seconds)
    used = [line for line in machine() if not line.startswith(("- HAProxy", "- go "))]
    notes = [*used, f"- {options.rounds} rounds of {options.seconds} s, alternating; medians; bodies of 1 KiB"]
    # Of other work as well: the benchmark itself keeps at most two processors busy.
    notes += [f"- load average of the last 5 minutes of it: {os.getloadavg()[1]:.1f}"]
    figures = "\n" + table(results) + "\n" + "\n".join(notes) + "\n\n"
    print(figures)
    if not options.print:
        README.write_text(replaced(README.read_text(), figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
