"""From one attempt to the next: the decision table on whole exchanges, and what is sent again, when and where."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.plane.scene import GET, OK, Scene
from weir.plane.fake import FakeStream
from weir.stats.reader import clusters
from weir.stats.retrywords import RETRY_WORDS

Stage = Callable[..., Scene]

POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
KEYED = b'POST /a HTTP/1.1\r\nHost: h\r\nIdempotency-Key: "k"\r\nContent-Length: 5\r\n\r\nhello'
PUT = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
ALL = ("connect", "reused", "reset", "timeout", "bad_response", "429", "502", "503", "504")
GRANTED = {**{failure: failure for failure in ALL[1:5]}, "connect": "unsent", **dict.fromkeys(ALL[5:], "status")}
ANSWERS = {"timeout": 504, "429": 429, "503": 503, "504": 504}  # of a failure that stays one; else 502
TIMEOUT_MS = 1000
BUSY = b"HTTP/1.1 %b Busy\r\nContent-Length: 4\r\n\r\nbusy"


def fail(scene: Scene, stream: FakeStream, failure: str) -> None:
    """What an endpoint does to a request that it has been sent."""
    if failure in ("reused", "reset"):
        scene.end(stream)
    elif failure == "bad_response":
        scene.send(stream, b"no HTTP at all\r\n\r\n")
    elif failure == "timeout":
        scene.wait_ms(TIMEOUT_MS + 10)
    else:
        scene.send(stream, BUSY % failure.encode())


def provoke(scene: Scene, failure: str, request: bytes, endpoints: int) -> tuple[FakeStream, int]:
    """A client whose request fails in this way; with it, how many connections there were before."""
    if failure not in ("connect", "reused"):
        client = scene.client(request)
        before = scene.dials
        assert scene.endpoint().take_sent() == request
        fail(scene, scene.endpoint(), failure)
        return client, before
    clients = [scene.client(GET) for _ in range(endpoints)]
    for number, client in enumerate(clients):
        scene.send(scene.endpoint(number), OK)
        assert scene.endpoint(number).take_sent() == GET
        assert client.take_sent() == OK
    client = clients[0]
    client.feed(request)
    if failure == "connect":
        # The connection breaks with the request's arrival: the write fails before epoll has told of it.
        scene.endpoint(0).hides_its_end = True
        scene.endpoint(0).break_off()
        scene.turn()
    else:
        scene.turn()
        assert scene.endpoint(0).take_sent() == request
        fail(scene, scene.endpoint(0), failure)
    return client, endpoints


def wanted_word(failure: str, row: dict[str, Any]) -> str:
    repeatable = row["request"] in (GET, KEYED)
    if failure == "timeout" and not (row["named"] and repeatable):
        return ""  # it is not held to attempt_timeout: it has all the time that one attempt has
    if failure in ("429", "502", "503", "504", "timeout", "connect") and not row["named"]:
        return ""  # an answer is an answer; a broken connection has its other word
    if not row["named"]:
        return "not_chosen"
    if failure != "connect" and not repeatable:
        return "not_idempotent"
    if not row["attempts_left"]:
        return "attempts"
    if failure not in ("connect", "reused") and row["endpoints"] == 1 and not row["same_endpoint"]:
        return "no_endpoint"
    return GRANTED[failure] if row["paid"] else "budget"


@pytest.mark.parametrize("failure", ALL)
def test_the_table_on_whole_exchanges(failure: str) -> None:
    """Each row plays: what is decided, what the endpoints see, and what the client gets."""
    rows = itertools.product((GET, POST, KEYED), itertools.product((True, False), repeat=4), (1, 2))
    for request, (named, attempts_left, same_endpoint, paid), endpoints in rows:
        row = {
            "request": request,
            "named": named,
            "attempts_left": attempts_left,
            "same_endpoint": same_endpoint,
            "paid": paid,
            "endpoints": endpoints,
        }
        if failure == "connect" and not named:
            continue  # then it is one of the next two
        scene = Scene(
            endpoints=endpoints,
            cluster={"response_header_timeout_ms": 10_000},
            retry={
                "on": ALL if named else tuple(one for one in ALL if one != failure),
                "attempts": 2 if attempts_left else 1,
                "same_endpoint": same_endpoint,
                "ratio_percent": 0,
                "min_per_second": 10 if paid else 0,
                "attempt_timeout_ms": TIMEOUT_MS,
                "idempotency_key": True,
            },
        )
        client, before = provoke(scene, failure, request, endpoints)
        word = wanted_word(failure, row)
        assert scene.retries() == ({word: 1} if word else {}), row
        if word == GRANTED[failure]:
            check_it_is_sent_again(scene, client, before, failure, row)
        elif failure == "timeout" and not word:
            assert client.take_sent() == b""
            scene.send(scene.endpoint(), OK)
            assert client.take_sent() == OK
        else:
            assert scene.dials == before, row
            status = ANSWERS.get(failure, 502)
            assert client.take_sent().startswith(b"HTTP/1.1 %d " % status), row
        scene.close()


def check_it_is_sent_again(scene: Scene, client: FakeStream, before: int, failure: str, row: dict[str, Any]) -> None:
    innocent = failure in ("connect", "reused")
    pauses = row["endpoints"] == 1 and not innocent
    assert scene.dials == before + (not pauses), row
    assert client.take_sent() == b""
    scene.wait_ms(40)
    assert scene.dials == before + 1, row
    again = scene.endpoint()
    assert again.take_sent() == row["request"], row
    if row["endpoints"] == 2 and not innocent:
        assert again.peer != scene.endpoint(0).peer, "at the other endpoint"
    scene.send(again, OK)
    assert client.take_sent() == OK, row
    assert scene.counters()["retries"] == 1


# -- what is sent again -----------------------------------------------------------------------------------


BODIES = {
    "a length": (PUT % 9000, [b"a" * 3000, b"b" * 3000, b"c" * 3000]),
    "chunks": (CHUNKED, [b"5\r\nhello\r\n", b"3\r\nyou", b"\r\n1;x=y\r\n!\r\n", b"0\r\n\r\n"]),
    "chunks with half a header": (CHUNKED, [b"5\r\nhello\r\n1", b"0\r\n0123456789abcdef\r\n", b"0\r\n\r\n"]),
    "nothing yet": (PUT % 5, [b"", b"hello"]),
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("first", range(4))
def test_a_body_in_pieces_is_sent_again_from_its_beginning(stage: Stage, what: str, first: int) -> None:
    """The endpoint breaks when it has `first` pieces behind those that came with the head."""
    head, pieces = BODIES[what]
    whole = stage(endpoints=2)
    client = whole.client(head + b"".join(pieces))
    canonical = whole.endpoint().take_sent()
    whole.send(whole.endpoint(), OK)

    scene = stage(endpoints=2)
    client = scene.client(head + pieces[0])
    for piece in pieces[1 : 1 + first]:
        scene.send(client, piece)
    seen = scene.endpoint(0).take_sent()
    assert canonical.startswith(seen)
    scene.reset(scene.endpoint(0))
    assert scene.dials == 2
    for piece in pieces[1 + first :]:
        scene.send(client, piece)
    assert scene.endpoint(1).take_sent() == canonical
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    scene.send(client, GET)
    assert scene.retries() == {"reset": 1}
    assert scene.endpoint(1).take_sent() + b"".join(s.take_sent() for s in scene.dialer.dialled[2:]) == GET


def test_what_stands_behind_the_body_is_the_next_request(stage: Stage) -> None:
    scene = stage(endpoints=2)
    client = scene.client(CHUNKED)
    scene.send(client, b"2\r\nhi\r\n0\r\n\r\n" + GET)
    assert scene.endpoint(0).take_sent() == CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"
    scene.end(scene.endpoint(0))
    assert scene.endpoint(1).take_sent() == CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    later = [stream for stream in scene.dialer.dialled[1:] if not stream.is_closed]
    assert b"".join(stream.take_sent() for stream in later) == GET
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


@pytest.mark.parametrize("in_one", [True, False])
def test_the_next_request_is_not_lost_when_no_connection_is_left(stage: Stage, in_one: bool) -> None:
    """The request was taken whole, the retry finds nobody: the error is its answer, and the next one has its own."""
    scene = stage()
    client = scene.client(GET)
    scene.send(scene.endpoint(), OK)
    client.take_sent()
    body = b"2\r\nhi\r\n0\r\n\r\n" + GET
    if in_one:
        scene.send(client, CHUNKED + body)
    else:
        scene.send(client, CHUNKED)
        scene.send(client, body)
    scene.dialer.mode = 111
    scene.end(scene.endpoint(0))
    assert client.take_sent().count(b"HTTP/1.1 502 ") == 2
    assert scene.retries() == {"reused": 1, "no_endpoint": 2}
    assert not client.is_closed


@pytest.mark.parametrize(
    ("limit", "size", "word"), [(8192, 8192, "reset"), (8192, 8193, "body_gone"), (0, 10, "body_gone")]
)
@pytest.mark.parametrize("chunked", [True, False])
def test_a_larger_body_is_not_kept(stage: Stage, limit: int, size: int, word: str, chunked: bool) -> None:
    scene = stage(endpoints=2, retry={"max_replay_body_bytes": limit})
    client = scene.client(CHUNKED if chunked else PUT % size)
    overhead = len(b"%x\r\n\r\n0\r\n\r\n" % size) if chunked else 0
    if chunked and word == "reset":
        size -= overhead
    scene.send(client, b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size) if chunked else b"x" * size)
    assert len(scene.endpoint(0).take_sent()) >= size
    scene.end(scene.endpoint(0))
    assert scene.retries() == {word: 1}
    assert scene.dials == (2 if word == "reset" else 1)


def test_what_came_with_the_head_is_never_gone(stage: Stage) -> None:
    scene = stage(endpoints=2, retry={"max_replay_body_bytes": 0})
    scene.client(PUT % 5 + b"hello")
    scene.end(scene.endpoint(0))
    assert scene.endpoint(1).take_sent() == PUT % 5 + b"hello"


def test_a_large_body_of_which_nothing_more_was_read_is_still_there(stage: Stage) -> None:
    scene = stage(endpoints=2, retry={"max_replay_body_bytes": 0})
    scene.dialer.mode = "wait"
    client = scene.client(PUT % 50_000 + b"begin")
    scene.endpoint(0).room = 0
    scene.endpoint(0).connect()
    scene.turn()
    client.feed(b"x" * 49_995)
    scene.endpoint(0).break_off()
    scene.turn()
    client.take_sent()
    assert scene.retries() in ({"reset": 1}, {"body_gone": 1}, {"unsent": 1})


def test_nothing_is_kept_of_what_cannot_be_repeated(stage: Stage) -> None:
    scene = stage()
    client = scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n")
    before = scene.plane.ledger()["buffers"]
    put = stage()
    put.client(PUT % 100)
    assert put.plane.ledger()["buffers"] == before + 1
    scene.send(client, b"x" * 100)
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK


def test_the_copy_is_let_go_when_the_response_begins(stage: Stage) -> None:
    scene = stage()
    client = scene.client(PUT % 20_000)
    scene.send(client, b"x" * 10_000)
    held = scene.plane.ledger()["buffer_bytes"]
    scene.send(scene.endpoint(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
    assert scene.plane.ledger()["buffer_bytes"] <= held - 16_384


def test_no_copy_when_memory_is_short(stage: Stage) -> None:
    scene = stage(endpoints=2)
    scene.plane.save_memory()
    client = scene.client(PUT % 100)
    scene.send(client, b"x" * 100)
    scene.end(scene.endpoint(0))
    assert scene.retries() == {"body_gone": 1}


@pytest.mark.parametrize("refusals", range(1, 6))
def test_no_memory_for_the_copy(stage: Stage, refusals: int) -> None:
    scene = stage(endpoints=2)
    client = scene.client(PUT % 60_000 + b"a" * 1000)
    scene.send(client, b"x" * 1000)
    scene.plane.refuse_memory(refusals)
    scene.send(client, b"x" * 9000)
    scene.reset(scene.endpoint(0))
    scene.plane.refuse_memory(0)
    scene.turn()


# -- where and when -----------------------------------------------------------------------------------------


def test_each_attempt_is_at_an_endpoint_that_has_not_failed(stage: Stage) -> None:
    scene = stage(endpoints=3)
    client = scene.client(GET)
    scene.end(scene.endpoint(0))
    assert scene.dials == 2, "the first retry does not wait"
    scene.end(scene.endpoint(1))
    assert scene.dials == 2, "the second one does"
    scene.wait_ms(40)
    assert scene.dials == 3
    scene.send(scene.endpoint(2), OK)
    assert client.take_sent() == OK
    assert len({stream.peer.text for stream in scene.dialer.dialled if stream.peer}) == 3
    assert scene.retries() == {"reset": 2}


def test_an_endpoint_that_failed_is_asked_again_when_the_others_cannot_be_reached(stage: Stage) -> None:
    scene = stage(endpoints=2, retry={"same_endpoint": True})
    client = scene.client(GET)
    scene.dialer.mode = 111
    scene.end(scene.endpoint(0))
    scene.dialer.mode = "connect"
    assert client.take_sent() == b""
    scene.wait_ms(40)
    assert scene.dials == 2
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK


def test_but_not_unless_that_is_wanted(stage: Stage) -> None:
    scene = stage(endpoints=2)
    client = scene.client(GET)
    scene.dialer.mode = 111
    scene.end(scene.endpoint(0))
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.retries() == {"reset": 1, "no_endpoint": 1}


def test_a_failed_connection_is_no_attempt(stage: Stage) -> None:
    scene = stage(endpoints=3, retry={"attempts": 1, "ratio_percent": 0, "min_per_second": 0})
    scene.dialer.mode = "wait"
    client = scene.client(POST)
    for number in range(2):
        scene.endpoint(number).connect(111)
        scene.turn()
    scene.endpoint(2).connect()
    scene.turn()
    scene.send(scene.endpoint(2), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {"connect": 2}


def test_no_other_endpoint_is_asked_when_connect_is_not_named(stage: Stage) -> None:
    scene = stage(endpoints=2, retry={"on": ("reused",)})
    scene.dialer.mode = "wait"
    client = scene.client(GET)
    scene.endpoint(0).connect(111)
    scene.turn()
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    scene.dialer.mode = 111
    assert scene.client(GET).take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.retries() == {"not_chosen": 2}


def test_a_client_that_goes_in_a_pause(stage: Stage) -> None:
    scene = stage(endpoints=1, retry={"same_endpoint": True}, listener={"half_close": "abort"})
    for leave in (scene.end, scene.reset):
        client = scene.client(GET)
        before = scene.dials
        scene.end(scene.endpoint())
        leave(client)
        scene.wait_ms(40)
        assert scene.dials == before
        assert client.is_closed


def test_all_attempts_together_have_the_time_of_one(stage: Stage) -> None:
    scene = stage(
        endpoints=2,
        cluster={"response_header_timeout_ms": 2000},
        retry={"attempts": 10, "attempt_timeout_ms": 800, "same_endpoint": True},
    )
    client = scene.client(GET)
    scene.wait_ms(810)
    assert scene.dials == 2
    scene.wait_ms(810)
    scene.wait_ms(60)
    assert scene.dials == 3
    scene.wait_ms(300)
    assert b"504" not in client.take_sent()
    scene.wait_ms(100)
    assert client.take_sent().startswith(b"HTTP/1.1 504 ")
    assert scene.retries() == {"timeout": 2, "deadline": 1}


def test_no_pause_reaches_beyond_the_deadline(stage: Stage) -> None:
    scene = stage(
        cluster={"response_header_timeout_ms": 1000},
        retry={"backoff_ms": 500, "same_endpoint": True},
    )
    client = scene.client(GET)
    scene.wait_ms(900)
    scene.end(scene.endpoint())
    assert client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.retries() == {"deadline": 1}


def test_attempts_used_up_by_timeouts_are_a_504(stage: Stage) -> None:
    scene = stage(endpoints=3, retry={"attempts": 2, "attempt_timeout_ms": 100})
    client = scene.client(GET)
    scene.wait_ms(110)
    scene.wait_ms(110)
    assert client.take_sent().startswith(b"HTTP/1.1 504 ")
    assert scene.retries() == {"timeout": 1, "attempts": 1}
    assert scene.reasons() == {"response_timeout": 1}


def test_a_response_that_has_begun_is_not_begun_again(stage: Stage) -> None:
    scene = stage(endpoints=2)
    client = scene.client(GET)
    scene.send(scene.endpoint(0), b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    scene.end(scene.endpoint(0))
    assert client.is_closed
    assert scene.dials == 1
    assert scene.retries() == {"response_begun": 1}


@pytest.mark.parametrize("named", [True, False])
def test_a_head_that_waits_for_its_body_was_not_sent_yet(stage: Stage, named: bool) -> None:
    scene = stage(endpoints=2, retry={"on": ALL} if named else {})
    client = scene.client(GET)
    scene.send(scene.endpoint(0), b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    scene.reset(scene.endpoint(0))
    assert client.take_sent() == b"" if named else client.take_sent().startswith(b"HTTP/1.1 502 ")
    assert scene.retries() == ({"bad_response": 1} if named else {"not_chosen": 1})


def test_a_hint_is_passed_on_from_each_attempt(stage: Stage) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    scene = stage(endpoints=2, retry={"on": ALL})
    client = scene.client(GET)
    scene.send(scene.endpoint(0), hint)
    scene.end(scene.endpoint(0))
    scene.send(scene.endpoint(1), hint + OK)
    assert client.take_sent() == hint + hint + OK
    assert scene.retries() == {"bad_response": 1}


@pytest.mark.parametrize(
    "keys",
    [
        b"",
        b"Idempotency-Key: \r\n",
        b"Idempotency-Key: a\r\nIdempotency-Key: a\r\n",
        b"Idempotency-Key: " + b"k" * 256 + b"\r\n",
    ],
)
def test_what_is_no_key(stage: Stage, keys: bytes) -> None:
    scene = stage(endpoints=2, retry={"idempotency_key": True})
    scene.client(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n" + keys + b"\r\n")
    scene.end(scene.endpoint(0))
    assert scene.retries() == {"not_idempotent": 1}


def test_a_key_counts_only_where_the_cluster_says_so(stage: Stage) -> None:
    scene = stage(endpoints=2)
    scene.client(KEYED)
    scene.end(scene.endpoint(0))
    assert scene.retries() == {"not_idempotent": 1}


def test_half_a_chunk_behind_a_response_head_is_a_bad_response(stage: Stage) -> None:
    scene = stage(endpoints=2, retry={"on": ("bad_response",)})
    client = scene.client(GET)
    scene.send(scene.endpoint(0), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
    scene.send(scene.endpoint(1), OK)
    assert client.take_sent() == OK
    assert scene.retries() == {"bad_response": 1}


def test_all_attempts_are_in_the_log_as_one_request(stage: Stage) -> None:
    scene = stage(endpoints=3)
    scene.client(GET)
    scene.end(scene.endpoint(0))
    scene.end(scene.endpoint(1))
    scene.wait_ms(40)
    scene.send(scene.endpoint(2), OK)
    counted = scene.counters()
    assert (counted["requests"], counted["retries"], counted["errors"]) == (1, 2, 0)


def test_decisions_are_counted_in_the_shared_table(stage: Stage) -> None:
    scene = stage(endpoints=2)
    scene.client(GET)
    scene.end(scene.endpoint(0))
    (cluster,) = clusters(scene.memory)
    counted = {one.word: count for one, count in zip(RETRY_WORDS, cluster.decisions, strict=True) if count}
    assert counted == scene.retries() == {"reset": 1}
    assert (cluster.retries, cluster.retries_denied) == (1, 0)
