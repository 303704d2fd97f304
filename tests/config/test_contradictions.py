"""What no single value gets wrong: the exact place and the exact words."""

from __future__ import annotations

import pytest

from tests.config.conftest import Refusals
from weir.config.load import load_text

LISTENER = '[[listener]]\naddress = ":8080"\nto = "app"\n'
CLUSTER = '[[cluster]]\nname = "app"\nendpoints = ["app.internal:8081"]\n'
POOL = CLUSTER + "[cluster.pool]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # listeners
        ("listener = []", "1:12: listener: no listener: nothing is served; add a [[listener]]"),
        (
            LISTENER + LISTENER + CLUSTER,
            "5:11: listener[1].address: another listener has this address (line 2)",
        ),
        (
            LISTENER + LISTENER.replace(":8080", "[0::0]:8080") + CLUSTER,
            "5:11: listener[1].address: another listener has this address (line 2)",
        ),
        (
            (LISTENER + LISTENER).replace(":8080", "unix:/run/w") + CLUSTER,
            "5:11: listener[1].address: another listener has this address (line 2)",
        ),
        (
            LISTENER + 'unix_mode = "0660"\n' + CLUSTER,
            '4:1: listener[0].unix_mode: without effect: ":8080" is not a Unix socket; take it out',
        ),
        (
            LISTENER + 'max_head = "4KiB"\nmax_target = "8KiB"\n' + CLUSTER,
            '5:14: listener[0].max_target: a target is a part of the head, and max_head is "4KiB"; raise max_head too',
        ),
        (
            LISTENER + 'max_target = "33KiB"\n' + CLUSTER,
            '4:14: listener[0].max_target: a target is a part of the head, and max_head is "32KiB"; raise max_head too',
        ),
        # where they lead
        (LISTENER.replace("app", "ap") + CLUSTER, '3:6: listener[0].to: there is no cluster "ap"; did you mean "app"?'),
        (LISTENER.replace("app", "web") + CLUSTER, '3:6: listener[0].to: there is no cluster "web"; there is "app"'),
        (
            LISTENER,
            '3:6: listener[0].to: there is no cluster "app"; add a [[cluster]] of that name, or write an address: '
            '"127.0.0.1:8081"',
        ),
        (
            LISTENER.replace("app", "127.0.0.1"),
            '3:6: listener[0].to: there is no cluster "127.0.0.1"; for an endpoint add the port: "127.0.0.1:80"',
        ),
        (
            LISTENER.replace("app", "localhost"),
            '3:6: listener[0].to: there is no cluster "localhost"; for an endpoint add the port: "localhost:80"',
        ),
        (
            LISTENER.replace("app", "8081"),
            '3:6: listener[0].to: "8081" is neither a cluster\'s name nor an address; write "127.0.0.1:8081"',
        ),
        (
            LISTENER.replace("app", ""),
            '3:6: listener[0].to: wanted a cluster\'s name or an address, found nothing; for example "127.0.0.1:8081"',
        ),
        (
            LISTENER.replace("app", "10.0.0.1:80") + CLUSTER,
            '5:8: cluster.app.name: nothing sends requests to this cluster; write to = "app" in a [[listener]] or '
            "[[route]], hooks if they choose it, or take it out",
        ),
        (
            LISTENER.replace(":8080", "unix:/w") + 'notsent_lowat = "64KiB"\n' + CLUSTER,
            "4:1: listener[0].notsent_lowat: without effect: it is for TCP, not for Unix sockets; take it out",
        ),
        (
            LISTENER + 'min_request_rate = "off"\nmin_response_rate = "off"\nrate_grace = "5s"\n' + CLUSTER,
            "6:1: listener[0].rate_grace: without effect: both rates are off; take it out",
        ),
        # clusters
        (LISTENER + CLUSTER + CLUSTER, "8:8: cluster[1].name: another cluster has this name (line 5)"),
        (
            LISTENER + '[[cluster]]\nname = "app"\nendpoints = []',
            '6:13: cluster.app.endpoints: no endpoint; for example ["127.0.0.1:8081"]',
        ),
        (
            LISTENER + '[[cluster]]\nname = "app"\nendpoints = ["a:1", "b:1",\n  "http://A:1"]',
            '7:3: cluster.app.endpoints[2]: "http://A:1" is there twice (line 6)',
        ),
        (
            LISTENER + CLUSTER.replace("app.internal", "10.0.0.1") + 'resolve_interval = "1s"',
            "7:1: cluster.app.resolve_interval: without effect: no endpoint has a name to look up; take it out",
        ),
        (
            LISTENER + CLUSTER.replace("app.internal", "10.0.0.1") + 'resolve = "each"',
            "7:1: cluster.app.resolve: without effect: no endpoint has a name to look up; take it out",
        ),
        (
            POOL + "min_idle = 5\nmax_idle = 4\n" + LISTENER,
            "5:12: cluster.app.pool.min_idle: 5 idle connections are more than max_idle, which is 4; raise max_idle or "
            "lower min_idle",
        ),
        (
            POOL + "max_idle = 5\nmax_connections = 4\n" + LISTENER,
            "5:12: cluster.app.pool.max_idle: 5 idle connections are more than max_connections, which is 4; raise "
            "max_connections or lower max_idle",
        ),
        (
            POOL + "max_idle = 2000\n" + LISTENER,
            "5:12: cluster.app.pool.max_idle: 2000 idle connections are more than max_connections, which is 1024; "
            "raise max_connections or lower max_idle",
        ),
        (
            POOL + "min_idle = 5\nmax_connections = 4\n" + LISTENER,
            "5:12: cluster.app.pool.min_idle: 5 idle connections are more than max_connections, which is 4; raise "
            "max_connections or lower min_idle",
        ),
        (
            CLUSTER + '[cluster.queue]\nsize = 0\ntimeout = "1s"\n' + LISTENER,
            "6:1: cluster.app.queue.timeout: without effect: the queue's size is 0; take it out",
        ),
        (
            CLUSTER + '[cluster.retry]\nattempts = 1\nratio = "1%"\n' + LISTENER,
            "6:1: cluster.app.retry.ratio: without effect: attempts is 1, nothing is repeated; take it out",
        ),
        (
            CLUSTER + '[cluster.health]\npath = "/up"\n' + LISTENER,
            '5:1: cluster.app.health.path: without effect: no checks are made; add type = "http" or "tcp"',
        ),
        (
            CLUSTER + '[cluster.health]\ntype = "tcp"\npath = "/up"\n' + LISTENER,
            '6:1: cluster.app.health.path: without effect: type is "tcp", only a connection is made; take it out, '
            'or write type = "http"',
        ),
        (
            CLUSTER + '[cluster.health]\ntype = "http"\nmethod = "HEAD"\nbody = "up"\n' + LISTENER,
            "7:8: cluster.app.health.body: the answer to HEAD has no body (line 6); take it out, or the method",
        ),
        (
            CLUSTER + '[cluster.ejection]\ninterval = "30s"\n' + LISTENER,
            "5:1: cluster.app.ejection.interval: without effect: error_rate and latency are off; set one of them, or "
            "take it out",
        ),
        (
            CLUSTER + '[cluster.ejection]\nfailures = "off"\ntime = "30s"\n' + LISTENER,
            "6:1: cluster.app.ejection.time: without effect: nothing ejects an endpoint; take it out",
        ),
        (
            CLUSTER + '[cluster.ejection]\ntime = "30s"\nmax_time = "20s"\n' + LISTENER,
            "6:12: cluster.app.ejection.max_time: the first ejection takes longer: that is time; raise max_time or "
            "lower time",
        ),
        (
            CLUSTER + "[cluster.retry]\nmin_per_second = 1\nattempts = 1\n" + LISTENER,
            "5:1: cluster.app.retry.min_per_second: without effect: attempts is 1, nothing is repeated; take it out",
        ),
        (
            CLUSTER + "[cluster.retry]\nattempts = 1\nsame_endpoint = true\n" + LISTENER,
            "6:1: cluster.app.retry.same_endpoint: without effect: attempts is 1, nothing is repeated; take it out",
        ),
        (
            CLUSTER + '[cluster.retry]\nattempts = 1\n[cluster.hedge]\nafter = "p95"\n' + LISTENER,
            "7:1: cluster.app.hedge.after: without effect: attempts is 1, nothing is repeated; take it out",
        ),
        (
            CLUSTER + 'response_header_timeout = "1s"\n[cluster.retry]\nattempt_timeout = "1s"\n' + LISTENER,
            '6:19: cluster.app.retry.attempt_timeout: "1s" for an attempt is not below response_header_timeout; '
            "lower it, or raise response_header_timeout",
        ),
        (
            CLUSTER + '[cluster.retry]\nattempt_timeout = "1s"\non = ["reused"]\n' + LISTENER,
            '5:1: cluster.app.retry.attempt_timeout: without effect: "timeout" is not in `on`; '
            "take it out, or add it there",
        ),
        # the log
        (
            '[log]\nformat = "json"\n' + LISTENER + CLUSTER,
            '2:1: log.format: without effect: no access log is written; add access = "stdout"',
        ),
        (
            '[log]\nflush = "1s"\n' + LISTENER + CLUSTER,
            '2:1: log.flush: without effect: no access log is written; add access = "stdout"',
        ),
        # statistics
        (
            "[stats]\nrows = 16\n" + "".join(LISTENER.replace("8080", str(n)) for n in range(1, 17)) + CLUSTER,
            "2:8: stats.rows: 16 rows are not enough for 16 listeners, which take one each; write 32 or more",
        ),
        # round and round
        (
            LISTENER.replace("app", "127.0.0.1:8080"),
            '3:6: listener[0].to: "127.0.0.1:8080" is the listener itself: requests would go round for ever (line 2)',
        ),
        (
            LISTENER + CLUSTER.replace("app.internal:8081", 'a:1", "localhost:8080'),
            '6:21: cluster.app.endpoints[1]: "localhost:8080" is the listener itself: requests would go round for ever '
            "(line 2)",
        ),
        (
            LISTENER + CLUSTER + '[[route]]\nlistener = ":8080"\npath = "/x"\nto = "127.0.0.1:8080"\n',
            '10:6: route[0].to: "127.0.0.1:8080" is the listener itself: requests would go round for ever (line 2)',
        ),
        (
            LISTENER.replace("app", "unix:/w").replace(":8080", "unix:/w"),
            '3:6: listener[0].to: "unix:/w" is the listener itself: requests would go round for ever (line 2)',
        ),
    ],
)
def test_contradictions(refusals: Refusals, text: str, said: str) -> None:
    assert refusals(text) == [f"f:{said}"]


@pytest.mark.parametrize(
    "text",
    [
        # one port, different addresses
        LISTENER.replace(":8080", "127.0.0.1:8080") + LISTENER.replace(":8080", "[::1]:8080") + CLUSTER,
        LISTENER.replace(":8080", ":0") + LISTENER.replace(":8080", ":0") + CLUSTER,
        # the address of one listener stands in that of another, whose route sends requests to the first
        LISTENER
        + LISTENER.replace(":8080", ":80")
        + CLUSTER
        + '[[route]]\nlistener = ":8080"\npath = "/x"\nto = "127.0.0.1:80"\n',
        # hooks may choose any cluster
        'hooks = "app.hooks"\n' + LISTENER + CLUSTER + CLUSTER.replace('"app"', '"other"'),
        # a log that is visibly off
        '[log]\naccess = "off"\nformat = "json"\n' + LISTENER + CLUSTER,
        # one of several endpoints has a name
        LISTENER + CLUSTER.replace('["', '["10.0.0.1:80", "') + 'resolve_interval = "1s"',
        "[stats]\nrows = 17\n" + "".join(LISTENER.replace("8080", str(n)) for n in range(1, 17)) + CLUSTER,
        # one of the rates is enough
        LISTENER + 'min_request_rate = "off"\nrate_grace = "5s"\n' + CLUSTER,
        # equal is not more
        LISTENER + 'max_head = "8KiB"\nmax_target = "8KiB"\n' + CLUSTER,
        POOL + "min_idle = 4\nmax_idle = 4\nmax_connections = 4\n" + LISTENER,
        CLUSTER + '[cluster.retry]\nattempts = 2\nratio = "0%"\n' + LISTENER,
        # another listener of this process, another host, another port
        LISTENER.replace("app", "127.0.0.1:8090") + LISTENER.replace(":8080", ":8090") + CLUSTER,
        LISTENER.replace("app", "10.0.0.1:8080"),
        LISTENER.replace(":8080", "127.0.0.1:8080").replace("app", "127.0.0.2:8080"),
        LISTENER.replace(":8080", ":0").replace("app", "127.0.0.1:1"),
    ],
)
def test_no_contradictions(text: str) -> None:
    assert load_text(text, "f").listener


def test_contradictions_are_found_beside_other_mistakes(refusals: Refusals) -> None:
    text = LISTENER + "max_fields = 0\n" + POOL + "min_idle = 5\nmax_idle = 4\nmax_age = 1\n" + LISTENER
    assert [line.split(": ")[1] for line in refusals(text)] == [
        "listener[0].max_fields",
        "cluster.app.pool.min_idle",
        "cluster.app.pool.max_age",
        "listener[1].address",
    ]


def test_what_cannot_be_read_contradicts_nothing(refusals: Refusals) -> None:
    assert refusals(POOL + 'min_idle = 5\nmax_idle = "4"\n' + LISTENER) == [
        'f:6:12: cluster.app.pool.max_idle: wanted a whole number, found "4"; write 4, without quotes'
    ]


def test_thousands_of_wrong_names_are_refused_without_thousands_of_comparisons(refusals: Refusals) -> None:
    listeners = "".join(f'[[listener]]\naddress = "10.0.0.1:{n + 1}"\nto = "wrong-{n}"\n' for n in range(2000))
    clusters = "".join(f'[[cluster]]\nname = "right-{n}"\nendpoints = ["a:1"]\n' for n in range(2000))
    said = refusals(listeners + clusters)
    assert len(said) == 2000
    assert said[-1] == (
        'f:6000:6: listener[1999].to: there is no cluster "wrong-1999"; there is "right-0", "right-1", "right-2", '
        '"right-3", "right-4", "right-5", "right-6", "right-7" and others'
    )
