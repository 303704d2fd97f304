"""`python -m bench.keepalive`: the random 502, counted for weir, nginx and HAProxy in one run.

Each proxy stands before gunicorn, uvicorn and Node at their default keep-alive, and before nginx with its own made
shorter; each is configured for keep-alive to endpoints as its users do. Clients ask in bursts; the time between two of
them lies around the time after which the endpoint closes, so that requests and closes meet. Half of the requests are
POSTs. All endpoints are well all the time: whatever answer is not 200, and a connection closed without one, is wrong.

The endpoints note each request that they have seen. At the end both ledgers are compared: an answer of 200 was seen
once, a POST never twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import LOAD_CPU, PROXY_CPU, tool
from bench.server import Server, free_port, get, raise_descriptor_limit

HERE = Path(__file__).parent / "noting"
RESULTS = Path(__file__).parent / "results"
ANSWER_SECONDS = 10.0

# After how many seconds of rest each endpoint closes: gunicorn looks once a second, Node says 5 and waits for one more.
CLOSES_AFTER = {"gunicorn": 2.0, "uvicorn": 5.0, "node": 6.0, "nginx": 3.0}


# -- endpoints and proxies


def start_endpoints(directory: Path) -> dict[str, Server]:
    ports = {name: free_port() for name in CLOSES_AFTER}
    config = directory / "endpoint.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/endpoint.pid; error_log {directory}/endpoint.log;\n"
        "events { worker_connections 4000; }\n"
        "http { log_format noted '$request_method $uri'; default_type text/plain;\n"
        f"access_log {directory}/seen noted; keepalive_timeout {CLOSES_AFTER['nginx']:g}s;\n"
        f"client_body_temp_path {directory}/eb; proxy_temp_path {directory}/ep; fastcgi_temp_path {directory}/ef;\n"
        f"uwsgi_temp_path {directory}/eu; scgi_temp_path {directory}/es;\n"
        f"server {{ listen 127.0.0.1:{ports['nginx']} backlog=4096; location / {{ return 200 ok; }} }} }}\n"
    )
    bind = f"127.0.0.1:{ports['gunicorn']}"
    python = [sys.executable, "-m"]
    commands = {
        "gunicorn": [*python, "gunicorn", "apps:wsgi", "-b", bind, "-k", "gthread", "--threads", "8"],
        "uvicorn": [*python, "uvicorn", "apps:asgi", "--port", str(ports["uvicorn"]), "--log-level", "warning"],
        "node": [tool("node"), str(HERE / "server.js"), str(ports["node"])],
        "nginx": [tool("nginx"), "-c", str(config)],
    }
    commands["gunicorn"] += ["--no-control-socket", "--worker-tmp-dir", str(directory)]
    environment = {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    return {
        name: Server(name, command, ports[name], LOAD_CPU, directory, env=environment)
        for name, command in commands.items()
    }


@dataclass
class Proxy:
    """A proxy and its ports before each endpoint: each has a pool of its own."""

    server: Server
    ports: dict[tuple[str, int], int]


Pools = dict[tuple[str, int], int]  # endpoint and number -> the endpoint's port


def start_weir(directory: Path, pools: Pools) -> Proxy:
    """weir with its defaults."""
    ports = {pool: free_port() for pool in pools}
    config = directory / "weir.toml"
    config.write_text(
        'single_process = true\n[admin]\naddress = "off"\n'
        + "".join(
            f'[[listener]]\naddress = "127.0.0.1:{ports[name, copy]}"\nto = "{name}{copy}"\n'
            f'[[cluster]]\nname = "{name}{copy}"\nendpoints = ["127.0.0.1:{port}"]\n'
            for (name, copy), port in pools.items()
        )
    )
    command = [sys.executable, "-m", "weir", "run", "--config", str(config)]
    return Proxy(Server("weir", command, next(iter(ports.values())), PROXY_CPU, directory), ports)


def start_nginx(directory: Path, pools: Pools) -> Proxy:
    """nginx as its documentation shows keep-alive to endpoints: `keepalive 32`, HTTP/1.1, no Connection field."""
    ports = {pool: free_port() for pool in pools}
    config = directory / "proxy.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/proxy.pid; error_log {directory}/proxy.log;\n"
        "events { worker_connections 4000; }\nhttp { access_log off;\n"
        f"client_body_temp_path {directory}/pb; proxy_temp_path {directory}/pp; fastcgi_temp_path {directory}/pf;\n"
        f"uwsgi_temp_path {directory}/pu; scgi_temp_path {directory}/ps;\n"
        + "".join(
            f"upstream {name}{copy} {{ server 127.0.0.1:{port}; keepalive 32; }}\n"
            f"server {{ listen 127.0.0.1:{ports[name, copy]}; location / {{ proxy_pass http://{name}{copy};"
            ' proxy_http_version 1.1; proxy_set_header Connection ""; } }\n'
            for (name, copy), port in pools.items()
        )
        + "}\n"
    )
    server = Server("nginx-proxy", [tool("nginx"), "-c", str(config)], next(iter(ports.values())), PROXY_CPU, directory)
    return Proxy(server, ports)


def start_haproxy(directory: Path, pools: Pools) -> Proxy:
    """HAProxy with its default retries, and connections shared by all clients."""
    ports = {pool: free_port() for pool in pools}
    config = directory / "haproxy.cfg"
    config.write_text(
        "global\n  nbthread 1\n  maxconn 4000\n"
        "defaults\n  mode http\n  timeout connect 3s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n"
        + "".join(
            f"frontend f{copy}_{name}\n  bind 127.0.0.1:{ports[name, copy]}\n  default_backend b{copy}_{name}\n"
            f"backend b{copy}_{name}\n  server s 127.0.0.1:{port}\n"
            for (name, copy), port in pools.items()
        )
    )
    command = [tool("haproxy"), "-db", "-f", str(config)]
    return Proxy(Server("haproxy", command, next(iter(ports.values())), PROXY_CPU, directory), ports)


PROXIES: dict[str, Callable[[Path, Pools], Proxy]] = {
    "weir": start_weir,
    "nginx": start_nginx,
    "haproxy": start_haproxy,
}


# -- clients


@dataclass
class Ledger:
    """What the clients have sent to one endpoint through one proxy, and what came of it."""

    sent: dict[str, str] = field(default_factory=dict)  # "POST /weir/node/17" -> "200", "502", "no answer"
    wrong: Counter[str] = field(default_factory=Counter)  # by method and outcome
    unseen: int = 0  # answered with 200, and not seen by the endpoint
    doubles: Counter[str] = field(default_factory=Counter)  # seen more than once, by method

    def compare(self, seen: Counter[str]) -> None:
        for line, outcome in self.sent.items():
            times = seen[line]
            method = line.partition(" ")[0]
            if outcome != "200":
                self.wrong[f"{method} {outcome}"] += 1
            elif times == 0:
                self.unseen += 1
            if times > 1:
                self.doubles[method] += 1


class Client:
    """One client: a connection to the proxy, kept open as long as the proxy does."""

    def __init__(self, port: int, label: str, ledger: Ledger) -> None:
        self.port, self.label, self.ledger = port, label, ledger
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, number: int) -> None:
        line = f"{method} /{self.label}/{number}"
        length = "Content-Length: 5\r\n\r\nhello" if method == "POST" else "\r\n"
        if self.streams is not None and self.streams[0].at_eof():
            self.close()
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        self.ledger.sent[line] = "no answer"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                writer.write(f"{line} HTTP/1.1\r\nHost: keep.test\r\n{length}".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(part.partition(b": ")[::2] for part in head.lower().split(b"\r\n"))
                await reader.readexactly(int(fields.get(b"content-length", b"0")))
                self.ledger.sent[line] = head[9:12].decode()
                if fields.get(b"connection") == b"close":
                    self.close()
        except (OSError, EOFError, TimeoutError):
            self.close()

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


async def bursts(
    label: str, port: int, closes_after: float, ledger: Ledger, clients: int, until: float, chance: random.Random
) -> None:
    """Bursts of requests, with rests between them around the time after which the endpoint closes."""
    crowd = [Client(port, label, ledger) for _ in range(clients)]
    number = 0

    async def later(client: Client, wait: float, method: str, number: int) -> None:
        await asyncio.sleep(wait)
        await client.ask(method, number)

    while time.monotonic() < until:
        rest, spread = closes_after + chance.uniform(-0.012, 0.008), 0.004
        if chance.random() < 0.3:
            # Elsewhere, too: around the limits that weir sets itself, and anywhere.
            rest, spread = closes_after * chance.choice([0.8, 0.5, chance.uniform(0.0, 1.2)]), 0.4
        async with asyncio.TaskGroup() as group:
            for client in crowd:
                number += 1
                wait = max(rest + chance.uniform(-spread, spread) / 2, 0.0)
                group.create_task(later(client, wait, chance.choice(["GET", "POST"]), number))
    for client in crowd:
        client.close()


async def play(proxies: dict[str, Proxy], seconds: float, clients: int, seed: int) -> dict[tuple[str, str], Ledger]:
    ledgers = {(proxy, endpoint): Ledger() for proxy in proxies for endpoint in CLOSES_AFTER}
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for name, proxy in proxies.items():
            for (endpoint, copy), port in proxy.ports.items():
                label, chance = f"{name}/{endpoint}/{copy}", random.Random(f"{seed} {name} {endpoint} {copy}")
                ledger = ledgers[name, endpoint]
                group.create_task(bursts(label, port, CLOSES_AFTER[endpoint], ledger, clients, until, chance))
    return ledgers


def seen_by(directory: Path, endpoints: dict[str, Server]) -> Counter[str]:
    """How often each request was seen by its endpoint."""
    seen: Counter[str] = Counter((directory / "seen").read_text().splitlines())
    for name in ("gunicorn", "uvicorn", "node"):
        seen.update(json.loads(get(endpoints[name].port, "/seen")[1]))
    return seen


# -- the result


def table(ledgers: dict[tuple[str, str], Ledger]) -> list[list[str]]:
    rows = [["proxy", "endpoint", "requests", "wrong answers to GET", "to POST", "GET seen twice", "POST seen twice"]]
    for (proxy, endpoint), ledger in ledgers.items():
        wrong = {
            method: sum(count for outcome, count in ledger.wrong.items() if outcome.startswith(method))
            for method in ("GET", "POST")
        }
        counts = (len(ledger.sent), wrong["GET"], wrong["POST"], ledger.doubles["GET"], ledger.doubles["POST"])
        rows.append([proxy, endpoint, *(str(count) for count in counts)])
    return rows


def main(arguments: list[str] | None = None) -> int:
    """1 if weir gave a wrong answer, or a POST was seen twice behind it."""
    parser = argparse.ArgumentParser(prog="python -m bench.keepalive", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--pools", type=int, default=4, help="of each proxy for each endpoint")
    parser.add_argument("--clients", type=int, default=24, help="of each pool; nginx keeps 32 connections")
    parser.add_argument("--peers", default="weir,nginx,haproxy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", action="store_true", help="write the result to bench/results")
    options = parser.parse_args(arguments)
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        servers: list[Server] = []
        directory.chmod(0o755)
        try:
            endpoints = start_endpoints(directory)
            servers += endpoints.values()
            for server in endpoints.values():
                server.start()
            pools = {(name, copy): server.port for name, server in endpoints.items() for copy in range(options.pools)}
            proxies = {peer: PROXIES[peer](directory, pools) for peer in options.peers.split(",")}
            for proxy in proxies.values():
                servers.append(proxy.server)
                proxy.server.start()
            ledgers = asyncio.run(play(proxies, options.seconds, options.clients, options.seed))
            seen = seen_by(directory, endpoints)
        finally:
            for server in reversed(servers):
                server.stop()
    return report(ledgers, seen, options)


def report(ledgers: dict[tuple[str, str], Ledger], seen: Counter[str], options: argparse.Namespace) -> int:
    for ledger in ledgers.values():
        ledger.compare(seen)
    rows = table(ledgers)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for names, ledger in ledgers.items():
        if ledger.wrong or ledger.unseen:
            print(*names, dict(ledger.wrong), f"unseen {ledger.unseen}" if ledger.unseen else "")
    if options.save:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|---|---|" + "---:|" * (len(rows[0]) - 2))
        asked = f"--seconds {options.seconds:g} --pools {options.pools} --clients {options.clients}"
        head = f"`python -m bench.keepalive {asked}`\n\n"
        (RESULTS / f"keepalive-{time.strftime('%Y-%m-%d')}.md").write_text(head + "\n".join(lines) + "\n")
    bad = [
        names
        for names, ledger in ledgers.items()
        if ledger.unseen or (names[0] == "weir" and (ledger.wrong or ledger.doubles["POST"]))
    ]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
