"""What weir stands on gives way: the network, ports, descriptors, the disk of the log, the clock."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import MakeRig
from .peers import Endpoint
from .proxy import Proxy, python_path
from .rig import Rig, tables
from .wire import eventually

pytestmark = pytest.mark.timeout(30)

GET = b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n"
TWELVE_YEARS_S = 400_000_000  # more milliseconds than 32 bits hold


def test_an_endpoint_that_swallows_connections(weir: MakeRig) -> None:
    """Nobody answers the attempt to connect: the queue of the listening socket is full."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        rig = weir(endpoints=[f"127.0.0.1:{deaf.getsockname()[1]}"], cluster={"connect_timeout": "300ms"})
        started = time.monotonic()
        client = rig.connect()
        client.send(GET % b"/swallowed")
        response = client.response()
        assert response.status == 504
        assert b"connect_timeout" in response.body
        assert time.monotonic() - started > 0.25
        assert rig.reason("/swallowed") == "connect_timeout"


def test_another_endpoint_is_asked_when_one_swallows_connections(weir: MakeRig) -> None:
    endpoint = Endpoint()
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        rig = weir(
            endpoints=[f"127.0.0.1:{deaf.getsockname()[1]}", endpoint.address],
            endpoint=endpoint,
            cluster={"connect_timeout": "200ms"},
        )
        assert [rig.get("/one-of-two").status for _ in range(4)] == [200] * 4


def test_no_descriptors_while_serving(weir: MakeRig) -> None:
    rig = weir()
    client, other = rig.connect(), rig.connect()
    for wire in (client, other):
        wire.send(GET % b"/before")
        assert wire.response().status == 200
    rig.endpoint.close_links()
    eventually(lambda: len(rig.proxy.descriptors()) == len(rig.proxy.idle_descriptors) + 2)
    before = resource.prlimit(rig.proxy.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(rig.proxy.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    client.send(GET % b"/without")
    response = client.response()
    assert response.status == 503
    assert b"out_of_descriptors" in response.body
    assert rig.reason("/without") == "out_of_descriptors"
    # ... whoever comes now waits, or takes the place of one that is idle, and is served when there is room again.
    late = rig.connect()
    late.send(GET % b"/late")
    assert late.silent(0.3)
    resource.prlimit(rig.proxy.pid, resource.RLIMIT_NOFILE, before)
    assert late.response().status == 200


def test_no_ports_to_the_endpoint(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-m", "tests.e2e.few_ports", str(tmp_path)],
        cwd=root,
        env=python_path(),
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert done.returncode == 0, f"a network of one's own (unshare) is needed: {done.stderr}"
    assert json.loads(done.stdout) == {
        "statuses": {"200": 4, "503": 4},
        "reasons": {"none": 4, "out_of_ports": 4},
    }


def test_a_disk_without_room_for_the_log(weir: MakeRig) -> None:
    rig = weir(log={"access": "/dev/full"})
    client = rig.connect()
    for n in range(200):
        client.send(GET % b"/n%d" % n)
        assert client.response().status == 200
    eventually(lambda: any("No space left" in line for line in rig.proxy.stderr))
    assert rig.get("/afterwards").status == 200
    rig.proxy.stop()  # the rest of the bookkeeping is said at the end
    told = [line for line in rig.proxy.stderr if "log" in line and "listening" not in line]
    assert 1 <= len(told) <= 3, rig.proxy.stderr
    rig.proxy.stderr[:] = [line for line in rig.proxy.stderr if line not in told]


def test_a_machine_that_has_been_up_for_twelve_years(tmp_path: Path) -> None:
    """In a time namespace of its own. Timeouts and pools work on with numbers beyond 32 bits of milliseconds."""
    prefix = ["unshare", "--time", "--monotonic", str(TWELVE_YEARS_S), "--boottime", str(TWELVE_YEARS_S)]
    endpoint = Endpoint()
    settings = tables(
        tmp_path,
        [endpoint.address],
        listener={"request_header_timeout": "300ms", "idle_timeout": "300ms"},
        cluster={"response_header_timeout": "300ms"},
    )
    rig = Rig(Proxy(tmp_path, settings, prefix=prefix), endpoint)
    try:
        for _ in range(3):
            assert rig.get("/old").status == 200
        slow, idle = rig.connect(), rig.connect()
        slow.send(b"GET /slow")
        idle.send(GET % b"/idle")
        assert slow.response().status == 408
        assert idle.response().status == 200
        assert idle.ended(2)
        rig.endpoint.reply(1.5, b"")
        assert rig.get("/never").status == 504
        assert 250 < rig.proxy.logged(target="/never")[0]["total_ms"] < 2000
        rig.finish()
    finally:
        rig.proxy.check_end()
        endpoint.close()
