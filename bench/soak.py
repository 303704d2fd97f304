"""`python -m bench.soak`: very many requests over very many paths, and what that does to memory, counts and cost.

wrk asks for paths that are all different, up to a number; the table has room for a small part of them. Between, the
same load goes to one path, for the cost of a request to compare with. What has to hold: memory does not grow, every
request is counted, `(other)` has its share and knows about how many paths it stands for, and a request costs the same
within a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from bench.measure import cpu, cpu_between, memory
from bench.peers import LOAD_CPU, PROXY_CPU, origin, tool
from bench.server import Server, free_port

ANY_PATH = "keepalive_requests 1000000000; error_page 404 =200 /1k; log_not_found off;"
CONNECTIONS = 64
# Letters only: no part of a path is taken for an identifier.
SCRIPT = """
local n, paths = %d, %d
local char, floor = string.char, math.floor
function request()
  local v = n %% paths
  n = n + 1
  local a = 97 + v %% 26; v = floor(v / 26)
  local b = 97 + v %% 26; v = floor(v / 26)
  local c = 97 + v %% 26; v = floor(v / 26)
  local d = 97 + v %% 26; v = floor(v / 26)
  return wrk.format("GET", "/p/" .. char(97 + v, d, c, b, a))
end
"""


def load(directory: Path, server: Server, seconds: float, begin: int, paths: int) -> tuple[int, float, float]:
    """Runs wrk; the requests it made, and microseconds of CPU for each of them: user, and in all."""
    script = directory / "soak.lua"
    script.write_text(SCRIPT % (begin, paths))
    command = [tool("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script)]
    before = cpu(server.tree())
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/"],
        check=True, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    ).stdout  # fmt: skip
    used = cpu_between(before, cpu(server.tree()))
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"requests failed:\n{output}")
    requests = int(output.split(" requests in")[0].split()[-1])
    return requests, used.user * 1e6 / requests, used.total * 1e6 / requests


def ask(admin: int, method: str, **request: object) -> Any:
    """What a call of the service answers."""
    call = urllib.request.Request(
        f"http://127.0.0.1:{admin}/weir.v1.Stats/{method}",
        json.dumps(request).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(call, timeout=30) as answer:
        return json.load(answer)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one run of wrk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        directory.chmod(0o755)
        backend = origin(directory, settings=ANY_PATH)
        port, admin = free_port(), free_port()
        arguments = ["--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{backend.port}", "--workers", "1"]
        command = [sys.executable, "-m", "weir", "run", *arguments, "--admin", f"127.0.0.1:{admin}"]
        server = Server("weir", command, port, PROXY_CPU, directory)
        backend.start("/1k")
        try:
            server.start("/1k")
            return soak(directory, server, admin, options)
        finally:
            server.stop()
            backend.stop()


def soak(directory: Path, server: Server, admin: int, options: argparse.Namespace) -> int:
    made, one_path = 0, 0
    costs_one, costs_many = list[float](), list[float]()
    # In MiB: of the worker, and of the supervisor and the admin process, which keeps a history of bounded size.
    sizes, others = list[float](), list[float]()
    worker = [int(each["pid"]) for each in ask(admin, "GetStatus")["workers"]]
    while made < options.requests:
        requests, _user, cost = load(directory, server, options.seconds / 2, 0, 1)
        one_path += requests
        costs_one.append(cost)
        requests, _user, cost = load(directory, server, options.seconds, made, options.paths)
        made += requests
        costs_many.append(cost)
        sizes.append(memory(worker).pss / (1 << 20))
        others.append(memory(server.tree()).pss / (1 << 20) - sizes[-1])
        print(
            f"{made:,} requests; one path {costs_one[-1]:.2f} us, many {cost:.2f} us; "
            f"worker {sizes[-1]:.1f} MiB, the others {others[-1]:.1f} MiB",
            flush=True,
        )
    answer = ask(admin, "GetStats", limit=1)
    counted = int(answer["total"]["requests"])
    (other,) = answer["others"]
    # The first paths have rows: some thousand of them, each asked for as often as every other path.
    rows = answer["matched"] - 1
    asked = min(options.paths, made)
    expected = 1 - (rows / options.paths * made + one_path) / (made + one_path)
    ratio = statistics.median(costs_many) / statistics.median(costs_one)
    growth = sizes[-1] - sizes[0]
    checks = {
        # wrk does not count what is in flight when it ends, up to one request of each connection; weir does.
        f"counted {counted:,} of {made + one_path:,} and what was in flight at the ends": (
            0 <= counted - made - one_path <= CONNECTIONS * (len(costs_one) + len(costs_many)) + 100
        ),
        f"(other) has {other['share']:.4f} of all, expected {expected:.4f}": abs(other["share"] - expected) < 0.01,
        f"(other) stands for about {int(other['distinctPaths']):,} of {asked - rows:,} paths": abs(
            int(other["distinctPaths"]) / (asked - rows) - 1
        )
        < 5 * other["distinctRelativeError"],
        f"the worker grew by {growth:.2f} MiB": growth < 1,
        f"the others took {max(others):.0f} MiB at most": max(others) < 400,
        f"a request of many paths costs {ratio:.3f} of one of one path": ratio < 1.1,
    }
    for text, holds in checks.items():
        print(f"{'ok  ' if holds else 'FAIL'} {text}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
