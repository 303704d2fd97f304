"""Paths that are forwarded as other ones: prefixes and patterns, whatever the encoding, and never another host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import weir
from tests.plane.scene import OK, Scene
from weir.config.action_plan import ActionPlan
from weir.config.plan import MatchPlan, RoutePlan
from weir.plane.filters import plain
from weir.plane.retarget import Retarget

RETARGET_BYTES = 1024  # weir.plane.retarget
STRIP = Retarget(1)
MOVE = Retarget(1, "/v1")
ADD = Retarget(0, "/v1")
PATTERN = Retarget(2, "", ["/people/", 1, "/card"], rest=True)

# Pieces of paths that somebody reads differently from somebody else.
PIECES = st.sampled_from(
    [
        *(b"/", b"//", b"%2F", b"%2f", b".", b"..", b"%2e", b"%2E", b"a", b"api", b"%41", b"%", b"%2", b"~", b"\xff"),
        *(b"\\", b"%5C", b"%5c", b";", b";x", b"%3b"),
    ]
)
SLASHES = (b"//", b"/%2f", b"/%2F", b"/\\", b"/%5c", b"/%5C")
PATHS = st.lists(PIECES, max_size=12).map(lambda pieces: b"/" + b"".join(pieces))


@pytest.mark.parametrize(
    ("retarget", "path", "becomes"),
    [
        (STRIP, b"/api/users", b"/users"),
        (STRIP, b"/api", b"/"),
        (STRIP, b"/api/", b"/"),
        (STRIP, b"/a%70i/a%2Fb%20c", b"/a%2Fb%20c"),
        (STRIP, b"//api//host/x", b"/host/x"),
        (STRIP, b"/api%2Fx//y", b"/x//y"),
        (STRIP, b"/api/%2fhost", b"/host"),
        (STRIP, b"/x/../api/users/./me", b"/users/me"),
        (STRIP, b"/api/a/..", b"/"),
        (MOVE, b"/api/users", b"/v1/users"),
        (MOVE, b"/api", b"/v1"),
        (MOVE, b"/api/", b"/v1/"),
        (MOVE, b"/api/a/../../api/x", b"/v1/x"),
        (MOVE, b"/api/a%2F%2e%2E%2f..%2fapi/x", b"/v1/x"),
        (ADD, b"/", b"/v1/"),
        (ADD, b"", b"/v1"),
        (ADD, b"/x/../../admin", b"/v1/admin"),
        (ADD, b"/x/", b"/v1/x/"),
        (Retarget(0), b"", b"/"),
        (PATTERN, b"/users/17/a/b", b"/people/17/card/a/b"),
        (PATTERN, b"/users/a%2fb/", b"/people/a/card/b/"),
        (PATTERN, b"/users/%C3%A4", b"/people/%C3%A4/card"),
        (PATTERN, b"/users/x/../y/z", b"/people/y/card/z"),
        (Retarget(2, "", ["/people/", 1], rest=False), b"/users/17/a/b", b"/people/17"),
        (STRIP, b"/api;v=1/users;x", b"/users;x"),
        (STRIP, b"/api\\\\host\\x", b"/host\\x"),
        (ADD, b"/x;a/..;/..;b/admin", b"/v1/admin"),
        (ADD, b"/x\\..%5c..\\admin", b"/v1/admin"),
        (PATTERN, b"/users/17;a=b/c", b"/people/17;a=b/card/c"),
    ],
)
def test_what_a_path_becomes(retarget: Retarget, path: bytes, becomes: bytes) -> None:
    assert retarget.path_of(path) == becomes


def stripped(path: bytes, strips: int) -> bytes:
    """What a path leads to, without its first segments."""
    parts = plain(path).split(b"/")[1:]
    return b"/" + b"/".join(parts[strips:])


@given(PATHS, st.integers(0, 3))
def test_a_stripped_path_leads_where_the_rest_of_the_path_does(path: bytes, strips: int) -> None:
    assert plain(Retarget(strips).path_of(path)).rstrip(b"/") == stripped(path, strips).rstrip(b"/")


@given(PATHS, st.integers(0, 3))
def test_nothing_leaves_an_added_prefix(path: bytes, strips: int) -> None:
    became = Retarget(strips, "/v1/x").path_of(path)
    assert plain(became).rstrip(b"/") == (b"/v1/x" + stripped(path, strips)).rstrip(b"/")


@given(PATHS, st.sampled_from([STRIP, MOVE, ADD, PATTERN, Retarget(3), Retarget(0)]))
def test_the_result_begins_with_one_slash_and_is_bounded(path: bytes, retarget: Retarget) -> None:
    became = retarget.path_of(path)
    assert became.startswith(b"/")
    assert not became.startswith(SLASHES)
    assert len(became) <= len(path) + 20


@given(PATHS)
def test_what_has_no_dot_segments_goes_on_as_it_came(path: bytes) -> None:
    if b"." in path or b"%2e" in path.lower() or path.startswith(SLASHES):
        return
    assert Retarget(0).path_of(path) == path


@given(
    PATHS.filter(lambda path: b"\xff" not in path and b"\\" not in path),
    st.sampled_from([b"", b"?", b"?a=/../b&c=%00"]),
)
def test_a_rewritten_target_is_read_as_it_was_written(path: bytes, query: bytes) -> None:
    action = ActionPlan(strip_segments=1, add_prefix="/v1")
    scene = Scene(route={"action": action})
    again = Scene()
    client = scene.client(b"GET %s%s HTTP/1.1\r\nHost: h\r\n\r\n" % (path, query))
    sent = scene.endpoint().take_sent()
    assert sent.split(b" ")[1] == MOVE.path_of(path) + query
    again.client(sent)
    assert again.endpoint().take_sent() == sent, "the next proxy takes it for the same request"
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()
    again.close()


def test_texts_are_no_longer_than_there_is_room_for() -> None:
    most = RETARGET_BYTES - 1
    assert len(Retarget(0, "x" * most).path_of(b"/a")) == most + 2
    with pytest.raises(ValueError, match="longer by 1024 bytes"):
        Retarget(0, "x" * RETARGET_BYTES)
    with pytest.raises(ValueError, match="longer by 1024 bytes"):
        Retarget(1, "", ["x" * most, 0, "y"])


@pytest.mark.parametrize(
    ("target", "goes_on"),
    [
        (b"/admin/../public", b"/public"),
        # To who does not decode a slash this is below /admin.
        (b"/admin/x%2f..%2F..%2fpublic", b"/public"),
        # To who resolves before it merges slashes, as the URL of browsers and Node does, this is /admin/secret/.
        (b"/admin/secret///../..", b"/"),
        (b"/public/..;/admin", b"/admin"),
        (b"/public\\..\\admin", b"/admin"),
        (b"/a/./b?c=/../d", b"/a/b?c=/../d"),
        # To the same, and to Python's urlsplit, x is a host.
        (b"//x/admin", b"/x/admin"),
        (b"/\\x/admin", b"/x/admin"),
        (b"http://h//x/..", b"/"),
        (b"/a%20b//c;d/%2Fe/.f", b"/a%20b//c;d/%2Fe/.f"),
        (b"http://h?q", b"/?q"),
    ],
)
def test_where_there_are_routes_endpoints_read_the_path_as_routes_do(target: bytes, goes_on: bytes) -> None:
    matches = (MatchPlan("other", ((1, 1),), path="/other"),)
    for action in (None, ActionPlan(host="h")):
        scene = Scene(routes=(RoutePlan("other", 0),), matches=matches, route={"action": action})
        scene.client(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
        assert scene.endpoint().take_sent() == b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % goes_on
        scene.close()


def test_without_routes_a_path_goes_on_as_it_came() -> None:
    scene = Scene()
    scene.client(b"GET //a/../b HTTP/1.1\r\nHost: h\r\n\r\n")
    assert scene.endpoint().take_sent() == b"GET //a/../b HTTP/1.1\r\nHost: h\r\n\r\n"
    scene.close()


def test_the_asterisk_of_options_goes_on_where_there_are_routes() -> None:
    scene = Scene(routes=(RoutePlan("other", 0),), matches=(MatchPlan("other", ((1, 1),), path="/other"),))
    scene.client(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
    assert scene.endpoint().take_sent() == b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
    scene.close()


def test_where_there_are_hooks_too_unless_one_of_them_says_what_goes_on() -> None:
    @weir.hook("request", path="/guarded/*")
    def guard(_request: weir.Request) -> weir.Answer:
        return weir.Answer(403)

    @weir.hook("request", path="/free")
    def choose(request: weir.Request) -> None:
        request.target = "/a/../b"

    for target, goes_on in ((b"/guarded/../a", b"/a"), (b"/x/../free", b"/a/../b")):
        scene = Scene(hooks=(guard, choose))
        scene.client(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
        assert scene.endpoint().take_sent() == b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % goes_on
        scene.close()


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("length", [100_000, 124_000, 131_000])
def test_the_longest_target_that_a_listener_takes_is_rewritten(length: int, hooked: bool) -> None:
    @weir.hook("request")
    def sees(_request: weir.Request) -> None:
        pass

    line = ("X-A", (("text", "b" * 32_000),))
    scene = Scene(
        hooks=[sees] * hooked,
        listener={"max_head_bytes": 131_072, "max_target_bytes": 131_072},
        route={"action": ActionPlan(strip_segments=1, add_prefix="/" + "v" * 1000, request_lines=(line,))},
    )
    rest = b"/" + b"a" * (length - 3)
    client = scene.client(b"GET /x" + rest + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    assert scene.endpoint().take_sent() == (
        b"GET /" + b"v" * 1000 + rest + b" HTTP/1.1\r\nHost: h\r\nX-A: " + b"b" * 32_000 + b"\r\n\r\n"
    )
    scene.send(scene.endpoint(), OK)
    assert client.take_sent() == OK
    scene.close()


def test_the_longest_target_is_settled_where_there_are_routes() -> None:
    scene = Scene(
        listener={"max_head_bytes": 131_072, "max_target_bytes": 131_072},
        routes=(RoutePlan("other", 0),),
        matches=(MatchPlan("other", ((1, 1),), path="/other"),),
    )
    rest = b"/" + b"a" * 131_000
    scene.client(b"GET /." + rest + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    assert scene.endpoint().take_sent() == b"GET " + rest + b" HTTP/1.1\r\nHost: h\r\n\r\n"
    scene.close()
