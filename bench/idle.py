"""`python -m bench.idle`: very many idle connections over several workers, and what each of them costs in memory.

A process has a limit of descriptors, and an address a limit of ports: so there are several workers, several processes
of clients, and each of these has a source address of its own. Every connection has made a request before it is idle,
and makes another one at the end: all of them have to be answered.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REQUEST = b"GET /idle HTTP/1.1\r\nHost: bench\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WINDOW = 200  # requests of one process at a time
OWN = 500  # descriptors that a process of clients keeps for other uses
SETTLE_S = 3.0


def endpoint() -> None:
    """Answers every request, and says on which port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    links: dict[int, socket.socket] = {}
    while True:
        for number, _events in poll.poll():
            if number == listening.fileno():
                link, _address = listening.accept()
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                links[link.fileno()] = link
                poll.register(link.fileno(), select.EPOLLIN)
                continue
            heads = 0
            with contextlib.suppress(OSError):
                heads = links[number].recv(65_536).count(b"\r\n\r\n")
            if heads:
                links[number].sendall(RESPONSE * heads)
            else:
                links.pop(number).close()


def crowd(port: int, count: int, source: str) -> None:
    """Connects, asks once on each connection, and again for each line of standard input; says how many were right."""
    sockets = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen by the connect
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        sockets.append(sock)
        if len(sockets) % WINDOW == 0:
            ask(sockets[-WINDOW:])
    print(ask(sockets), flush=True)
    for _line in sys.stdin:
        print(ask(sockets), flush=True)


def ask(sockets: list[socket.socket]) -> int:
    """One request on each; how many were answered whole, and with 200."""
    good = 0
    poll = select.epoll()
    by_number = {sock.fileno(): sock for sock in sockets}
    waiting, open_, partial = list(sockets), 0, dict.fromkeys(by_number, b"")
    while waiting or open_:
        while waiting and open_ < WINDOW:
            sock = waiting.pop()
            sock.send(REQUEST)
            poll.register(sock.fileno(), select.EPOLLIN)
            open_ += 1
        ready = poll.poll(20)
        if not ready:
            break
        for number, _events in ready:
            data = b""
            with contextlib.suppress(OSError):
                data = by_number[number].recv(65_536)
            partial[number] += data
            if partial[number].endswith(b"ok") or not data:
                good += partial[number].startswith(b"HTTP/1.1 200 ")
                poll.unregister(number)
                open_ -= 1
    poll.close()
    return good


def memory(pids: set[int]) -> int:
    """Bytes of some processes together, shared pages by share (Pss)."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def children(pid: int) -> set[int]:
    return {int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.idle", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def weir(directory: Path, workers: int, to: str) -> tuple[subprocess.Popen[str], int]:
    """A running weir, and its port."""
    config = directory / "weir.toml"
    config.write_text(
        f'workers = {workers}\n[admin]\naddress = "off"\n[[listener]]\naddress = "127.0.0.1:0"\nto = "127.0.0.1:{to}"\n'
        'idle_timeout = "1h"\n'
    )
    command = [sys.executable, "-m", "weir", "run", "-c", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.readline()
    if "listening" not in said:
        raise SystemExit(f"weir does not start: {said}")
    return process, int(said.rpartition(":")[2])


def run(connections: int, workers: int) -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    each = min(limit - OWN, 25_000)  # descriptors, and ports of one source address
    sizes = [each] * (connections // each) + ([connections % each] if connections % each else [])
    # Of its descriptors a worker gives 80 % to clients, and the kernel does not divide them evenly.
    fit = (limit - 32) * 8 // 10
    if connections / workers > 0.95 * fit:
        raise SystemExit(f"{workers} workers take about {workers * fit} clients with {limit} descriptors: more workers")
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as ends:

        def ended(process: subprocess.Popen[str]) -> None:
            process.kill()
            process.communicate()

        server = start("endpoint")
        ends.callback(ended, server)
        proxy, port = weir(Path(directory), workers, line(server))
        ends.callback(proxy.wait)
        ends.callback(proxy.terminate)
        few = start("crowd", port, 2000, "127.0.1.1")  # what is made at first use
        line(few)
        ended(few)
        time.sleep(SETTLE_S)
        pids = {proxy.pid, *children(proxy.pid)}
        before, started = memory(pids), time.monotonic()
        crowds = [start("crowd", port, size, f"127.0.{2 + n}.1") for n, size in enumerate(sizes)]
        for process in crowds:
            ends.callback(ended, process)
        good = sum(int(line(process) or 0) for process in crowds)
        connected = time.monotonic() - started
        time.sleep(5 + SETTLE_S)  # connections to the endpoint go, and buffers with them
        used = memory(pids) - before
        spread = Counter(len(list(Path(f"/proc/{pid}/fd").iterdir())) // 1000 for pid in children(proxy.pid))
        again = 0
        for process in crowds:
            assert process.stdin is not None
            process.stdin.write("ask\n")
            process.stdin.flush()
        again = sum(int(line(process) or 0) for process in crowds)
        shown = ", ".join(f"{number} with {thousands},000" for thousands, number in sorted(spread.items()))
        print(f"{connections} connections from {len(crowds)} processes in {connected:.0f} s; workers: {shown} and more")
        print(f"answered: {good} at first, {again} after the rest")
        print(f"memory of weir: {used / connections:.0f} bytes for each connection, {used >> 20} MiB in all")
        return int((good, again) != (connections, connections))


def main() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[1:2] == ["endpoint"]:
        endpoint()
    if sys.argv[1:2] == ["crowd"]:
        crowd(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
        return 0
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description="Memory of idle connections.")
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=max(8, os.cpu_count() or 1))
    options = parser.parse_args()
    return run(options.connections, options.workers)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
