"""Weir in a network of its own that has four ports for outgoing connections: run as the root of a new namespace.

Run as `unshare --map-root-user --net python -m tests.e2e.few_ports DIRECTORY`. Clients come through a Unix socket,
so that only weir needs ports. Prints what became of eight requests at a time, as JSON.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
import threading
from collections import Counter
from pathlib import Path

from tests.e2e.peers import Endpoint, Link, dial, ok
from tests.e2e.proxy import Proxy, free_port
from tests.e2e.rig import tables

PORTS = "50000 50003"
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
REQUESTS = 8


def network() -> None:
    """Loopback up, and few ports."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(PORTS)


def main() -> None:
    directory = Path(sys.argv[1])
    network()
    endpoint = Endpoint(("127.0.0.1", free_port()))
    go_on = threading.Event()

    def script(link: Link) -> None:
        while (request := link.request()) is not None:
            endpoint.record(request, link)
            go_on.wait(10)
            link.send(ok(b"served"))

    endpoint.handle(script)
    listener = {"address": f"unix:{directory}/weir.sock"}
    proxy = Proxy(directory, tables(directory, [endpoint.address], listener=listener))
    clients = [dial(proxy.address()) for _ in range(REQUESTS)]
    for client in clients:
        client.send(b"GET /few HTTP/1.1\r\nHost: test\r\n\r\n")
    endpoint.wait_requests(4)
    proxy.logged(REQUESTS - 4, target="/few")  # those that got no port have their answer at once
    go_on.set()
    during = Counter(client.response().status for client in clients)
    for client in clients:
        client.send(b"GET /later HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.response().status == 200
        client.close()
    reasons = Counter(record["reason"] for record in proxy.logged(REQUESTS, target="/few"))
    endpoint.close()
    proxy.check_ledger()
    proxy.check_end()
    print(json.dumps({"statuses": during, "reasons": reasons}))


if __name__ == "__main__":
    main()
