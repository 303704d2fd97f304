"""weir programmed in Python beside peers with the same program: one response field, `X-Served`.

    python -m bench.programmed            about ten minutes; results go to bench/results/programmed-DATE.md

Rounds alternate between all; a figure is CPU time per request (all processes of a proxy), and what counts is the median
of the ratios within each round, for the machine's speed changes from minute to minute. All are started anew several
times: where a process's memory comes to lie is worth two per cent to it, as long as it lives. mitmproxy and proxy.py
are installed into an environment of their own, for they want other versions of what weir's tests use. proxy.py is asked
both as the forward proxy that it is first of all, with a plugin for responses, and as a reverse proxy, which has
plugins for requests only.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

from bench import peers
from bench.peers import ALONE, PROXY_CPU, NotInstalled, origin, tool
from bench.run import Result, machine, measure
from bench.server import Server, free_port, raise_descriptor_limit

__all__ = ["main"]

SCENARIO = ("1k", 64, True)
ENVIRONMENT = Path(".cache/bench-programmed")
INSTALLED = ("mitmproxy==11.0.2", "proxy.py==2.4.10")
ROUTES = 10_000
# wrk's script for a proxy that wants to be told the whole URL.
FORWARD = "forward.lua"

UNMATCHED = """import weir

@weir.hook("request", path="/nobody/asks/*")
def never(request):
    request.headers["X-Served"] = "weir"
"""
PLAIN = """import weir

@weir.hook("response")
def served(response):
    response.headers["X-Served"] = "weir"
"""
AWAITED = """import weir

@weir.hook("response")
async def served(response):
    response.headers["X-Served"] = "weir"
"""
MITMPROXY = """def response(flow):
    flow.response.headers["X-Served"] = "weir"
"""
PROXY_PY = """from proxy.http.proxy import HttpProxyBasePlugin

class Served(HttpProxyBasePlugin):
    def handle_upstream_chunk(self, chunk):
        return memoryview(bytes(chunk).replace(b"\\r\\n", b"\\r\\nX-Served: weir\\r\\n", 1))
"""
REVERSE_PY = """from proxy.http.server import ReverseProxyBasePlugin

class Served(ReverseProxyBasePlugin):
    def routes(self):
        return [("/1k$", [b"http://ENDPOINT/1k"])]

    def before_routing(self, request):
        request.add_header(b"X-Served", b"weir")
        return request
"""
# Whose figure is compared with whose, and how much it may be of it.
BARS = (
    ("weir, a hook that nobody meets", "weir", 1.01),
    ("weir, a plain hook", "nginx", 1.00),
    ("weir, a plain hook", "nginx with Lua", 1.00),
    ("weir, an async hook", "nginx", 1.50),
    ("weir, a plain hook", "mitmproxy", 1 / 30),
    ("weir, a plain hook", "proxy.py", 1 / 8),
    ("weir, a plain hook", "proxy.py in reverse", 1 / 8),
    (f"weir, {ROUTES} routes", "weir, one route", 1.05),
)


def weir(name: str, source: str = "", routes: int = 0) -> Callable[[Path, str], Server]:
    """weir with the hooks of `source`, and `routes` routes of which requests meet the last."""

    def start(directory: Path, endpoint: str) -> Server:
        port = free_port()
        own = directory / name.replace(" ", "-").replace(",", "")
        lines = [f'[[listener]]\naddress = "127.0.0.1:{port}"\nto = "app"\n']
        lines += [f'[[cluster]]\nname = "app"\nendpoints = ["{endpoint}"]\n']
        if source:
            own.with_suffix(".py").write_text(source)
            lines.insert(0, f'hooks = "{own.with_suffix(".py")}"\n')
        for number in range(routes):
            path = "/1k" if number == routes - 1 else f"/tenants/{number}/orders"
            lines.append(f'[[route]]\nname = "route {number}"\npath = "{path}"\nto = "app"\n')
        own.with_suffix(".toml").write_text("\n".join(lines))
        command = [sys.executable, "-m", "weir", "run", "--config", str(own.with_suffix(".toml")), *ALONE]
        return Server(name, command, port, PROXY_CPU, directory)

    return start


def nginx_with_lua(directory: Path, endpoint: str) -> Server:
    """nginx as bench.peers has it, with a filter of one line in Lua. Raises NotInstalled."""
    modules = Path("/usr/lib/nginx/modules")
    if not (modules / "ngx_http_lua_module.so").exists():
        raise NotInstalled("libnginx-mod-http-lua")
    server = peers.nginx(directory, endpoint)
    config = directory / "nginx.conf"
    text = config.read_text()
    load = "".join(f"load_module {modules}/{name}_module.so;\n" for name in ("ndk_http", "ngx_http_lua"))
    lua = 'header_filter_by_lua_block { ngx.header["X-Served"] = "weir" } proxy_pass'
    named = directory / "lua.conf"
    named.write_text(load + text.replace("proxy_pass", lua, 1).replace(f"{directory}/nginx.", f"{directory}/lua."))
    return Server("nginx with Lua", [tool("nginx"), "-c", str(named)], server.port, PROXY_CPU, directory)


def mitmproxy(directory: Path, endpoint: str) -> Server:
    """mitmdump as a reverse proxy that keeps nothing and prints nothing."""
    port = free_port()
    addon = directory / "addon.py"
    addon.write_text(MITMPROXY)
    command = [installed("mitmdump"), "--quiet", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
    command += ["--mode", f"reverse:http://{endpoint}", "--set", f"confdir={directory}", "--scripts", str(addon)]
    return Server("mitmproxy", command, port, PROXY_CPU, directory)


def proxy_py(directory: Path, endpoint: str) -> Server:
    """proxy.py with one acceptor and one worker. Asked with FORWARD, which is written beside its plugin."""
    port = free_port()
    (directory / "served.py").write_text(PROXY_PY)
    (directory / FORWARD).write_text(f'wrk.path = "http://{endpoint}/1k"\n')
    command = [installed("proxy"), "--hostname", "127.0.0.1", "--port", str(port), "--log-level", "CRITICAL"]
    command += ["--num-acceptors", "1", "--num-workers", "1", "--plugins", "served.Served"]
    return Server("proxy.py", command, port, PROXY_CPU, directory, env={"PYTHONPATH": str(directory)})


def reverse_proxy_py(directory: Path, endpoint: str) -> Server:
    """proxy.py as a reverse proxy, as proxy_py()."""
    port = free_port()
    (directory / "reverse.py").write_text(REVERSE_PY.replace("ENDPOINT", endpoint))
    command = [installed("proxy"), "--hostname", "127.0.0.1", "--port", str(port), "--log-level", "CRITICAL"]
    command += ["--num-acceptors", "1", "--threaded", "--enable-reverse-proxy", "--plugins", "reverse.Served"]
    return Server("proxy.py in reverse", command, port, PROXY_CPU, directory, env={"PYTHONPATH": str(directory)})


def installed(name: str) -> str:
    """A program of ENVIRONMENT, which is made at the first time."""
    stamp = ENVIRONMENT / ".installed"
    if not stamp.exists() or stamp.read_text() != " ".join(INSTALLED):
        print(f"installing {' and '.join(INSTALLED)} (some minutes)", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", *INSTALLED]
        subprocess.run(pip, check=True)
        stamp.write_text(" ".join(INSTALLED))
    return str((ENVIRONMENT / "bin" / name).absolute())


PROXIES: dict[str, Callable[[Path, str], Server]] = {
    # Who is compared stands side by side.
    "weir": weir("weir"),
    "weir, a hook that nobody meets": weir("weir, a hook that nobody meets", UNMATCHED),
    "nginx with Lua": nginx_with_lua,
    "weir, a plain hook": weir("weir, a plain hook", PLAIN),
    "nginx": peers.nginx,
    "weir, an async hook": weir("weir, an async hook", AWAITED),
    "weir, one route": weir("weir, one route", routes=1),
    f"weir, {ROUTES} routes": weir(f"weir, {ROUTES} routes", routes=ROUTES),
    "mitmproxy": mitmproxy,
    "proxy.py": proxy_py,
    "proxy.py in reverse": reverse_proxy_py,
}
# So many rounds that a median tells one per cent are for those that differ by little.
SLOW = ("mitmproxy", "proxy.py", "proxy.py in reverse")
SLOW_ROUNDS = 8


def ratio(results: dict[str, list[Result]], ours: str, theirs: str) -> tuple[float, float, float] | None:
    """The median of the ratios within rounds, and between what it is in 95 of 100 runs (by the ranks of a sign test);
    None: one of them was not measured."""
    if len(results.get(ours, ())) < 1 or len(results.get(theirs, ())) < 1:
        return None
    found = sorted(a.total_us / b.total_us for a, b in zip(results[ours], results[theirs], strict=False))
    rank = max(int((len(found) - 1.96 * len(found) ** 0.5) / 2), 0)
    return statistics.median(found), found[rank], found[-1 - rank]


def report(results: dict[str, list[Result]], missing: list[str], seconds: int) -> str:
    """The results as Markdown."""
    lines = ["# weir programmed in Python", "", *machine(), f"- rounds of {seconds} s, alternating; medians", ""]
    lines += [f"Not installed, so not measured: {', '.join(missing)}.", ""] if missing else []
    lines += ["| proxy | CPU us per request | requests/s | p50 us | p99 us | errors | rounds |", "|" + "---|" * 7]
    for name, rows in results.items():
        shown = ("total_us", "per_second", "p50_us", "p99_us")
        figures = [statistics.median(getattr(r, what) for r in rows) for what in shown]
        cells = [name, f"{figures[0]:.1f}", *(f"{figure:.0f}" for figure in figures[1:])]
        lines.append(f"| {' | '.join(cells)} | {sum(r.errors for r in rows)} | {len(rows)} |")
    lines += ["", "| bar | ratio | 95 % | limit | |", "|---|---|---|---|---|"]
    for ours, theirs, limit in BARS:
        found = ratio(results, ours, theirs)
        said = "| not measured |" if found is None else f"| {found[0]:.3f} | {found[1]:.3f} to {found[2]:.3f}"
        verdict = "" if found is None else "met" if found[0] <= limit else "not met"
        lines.append(f"| {ours} / {theirs} {said} | {limit:.3f} | {verdict} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Runs it; the exit status says only whether it ran, not whether a bar was met."""
    parser = argparse.ArgumentParser(prog="python -m bench.programmed", description=__doc__)
    parser.add_argument("--starts", type=int, default=8, help="how often all are started anew [8]")
    parser.add_argument("--rounds", type=int, default=5, help="of each start [5]")
    parser.add_argument("--seconds", type=int, default=1, help="of each round [1]")
    parser.add_argument("--only", default="", help="names with one of these parts, comma between them")
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    options = parser.parse_args()
    raise_descriptor_limit()
    parts = options.only.split(",")
    results: dict[str, list[Result]] = {}
    missing: dict[str, None] = {}
    chosen = [name for name in PROXIES if any(part in name for part in parts)]
    for start in range(options.starts):
        names = [name for name in chosen if start * options.rounds < SLOW_ROUNDS or name not in SLOW]
        one_start(names, start * options.rounds, options, results, missing)
    text = report(results, list(missing), options.seconds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"programmed-{time.strftime('%Y-%m-%d')}.md").write_text(text)
    print(text)
    return 0


def one_start(
    names: list[str],
    first: int,
    options: argparse.Namespace,
    results: dict[str, list[Result]],
    missing: dict[str, None],
) -> None:
    """Starts an origin and the proxies, measures some rounds, of which `first` is the first one's number, ends them."""
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        directory.chmod(0o755)
        try:
            source = origin(directory)
            servers.append(source)
            source.start("/1k")
            for name in names:
                try:
                    server = PROXIES[name](directory, f"127.0.0.1:{source.port}")
                except NotInstalled as error:
                    missing[str(error)] = None
                    continue
                servers.append(server)
                server.start(f"http://127.0.0.1:{source.port}/1k" if name == "proxy.py" else "/1k", timeout=60)
                print(f"{name}: ready after {server.ready_seconds:.1f} s", flush=True)
            for number in range(first, first + options.rounds):
                one_round(servers[1:], number, options, directory / FORWARD, results)
        finally:
            for server in reversed(servers):
                server.stop()


def one_round(
    proxies: list[Server], number: int, options: argparse.Namespace, forward: Path, results: dict[str, list[Result]]
) -> None:
    """Measures all in turn, in the opposite order in every other round."""
    for server in proxies if number % 2 == 0 else proxies[::-1]:
        if server.name in SLOW and number >= SLOW_ROUNDS:
            continue
        result = measure(server, SCENARIO, options.seconds, forward if server.name == "proxy.py" else None)
        results.setdefault(server.name, []).append(result)
        print(
            f"[{number + 1}/{options.rounds * options.starts}] {server.name:32} {result.total_us:9.1f} us/request "
            f"{result.per_second:8.0f}/s {result.errors} errors", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
