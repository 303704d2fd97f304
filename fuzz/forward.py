"""What is forwarded: the head that goes on is well-formed and means what the head that came meant."""

from __future__ import annotations

from fuzz.reading import members, split_lines
from weir.plane.fields import ForwardedPolicy
from weir.plane.framing import BodyKind
from weir.plane.head import Method, TargetForm
from weir.plane.parsers import (
    ParsedHead,
    Refused,
    check,
    forward_request,
    forward_response,
    parse_request,
    parse_response,
    request_framing,
    response_framing,
)

__all__ = ["forward"]

FORWARDED = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"forwarded"}
REQUEST_ENDS_HERE = {
    *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy", b"te"),
    *(b"transfer-encoding", b"content-length", b"upgrade", b"http2-settings"),
}
RESPONSE_ENDS_HERE = {
    *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authentication-info"),
    *(b"te", b"transfer-encoding", b"upgrade"),
}
# Nobody may nominate these: they say where the message goes, where it ends and where it came from.
NOT_NOMINATED = {b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"via", *FORWARDED}

# CGI takes an underscore for a hyphen: these cannot be said so either.
NOT_ALIASED = REQUEST_ENDS_HERE | FORWARDED | {b"host", b"expect"}
# Weir's own lines come on top: with more fields than this the composed head could be past the limit (100) that the
# reading here has.
MOST_FIELDS = 90
OWN_HOST = b"in.side:81"
COUNTER = b"X-Bytes"


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].strip(b" \t")


def _is_alias(name: bytes) -> bool:
    return b"_" in name and name.replace(b"_", b"-") in NOT_ALIASED


def _nominated(head: ParsedHead) -> set[bytes]:
    values = [value for name, value in head.fields if name.lower() == b"connection"]
    return set(members(values)) - NOT_NOMINATED


def _own_lines(lines: list[bytes], kept: list[bytes], host: bytes | None) -> dict[bytes, bytes]:
    """What weir wrote beside the lines that it kept, each name once: its Host first, the rest at the end."""
    if host is not None:
        assert lines[1] == b"Host: " + host
        lines = [lines[0], *lines[2:]]
    assert lines[1 : 1 + len(kept)] == kept, "fields that go on are not those that came, in their order"
    own = {_name(line): _value(line) for line in lines[1 + len(kept) :]}
    assert len(own) == len(lines) - 1 - len(kept), f"a name twice in {lines}"
    return own


def _target(head: ParsedHead) -> bytes:
    if head.target_form != TargetForm.T_ABSOLUTE:
        return head.target
    if head.path:
        return head.path + head.query
    return b"*" if head.method == Method.M_OPTIONS and not head.query else b"/" + head.query


def _request_drops(head: ParsedHead, policy: ForwardedPolicy, upgrade: bool, host: bytes) -> set[bytes]:
    drops = REQUEST_ENDS_HERE | _nominated(head)
    if upgrade:
        drops.discard(b"upgrade")
    if policy in (ForwardedPolicy.FWD_REPLACE, ForwardedPolicy.FWD_OFF):
        drops |= FORWARDED
    if policy == ForwardedPolicy.FWD_APPEND:
        drops.add(b"x-forwarded-for")
    if host:
        drops.add(b"host")
    if head.version_minor == 0:
        drops.add(b"expect")
    return drops


def _check_request(data: bytes, policy: ForwardedPolicy, via: bool, host: bytes) -> None:
    try:
        out = forward_request(data, forwarded=policy, via=via, host=host)
        upgrade, te_trailers, expect = check(data)
    except (Refused, ValueError):
        return
    came = parse_request(data)
    assert came is not None
    if len(came.fields) > MOST_FIELDS:
        return
    goes = parse_request(out)
    assert goes is not None
    assert goes.length == len(out), "the head ends before its end"
    lines = split_lines(out)
    assert lines[0] == came.method_name + b" " + _target(came) + b" HTTP/1.1"
    drops = _request_drops(came, policy, upgrade, host)
    drops |= {_name(line) for line in split_lines(data[: came.length])[1:] if _is_alias(_name(line))}
    kept = [line for line in split_lines(data[: came.length])[1:] if _name(line) not in drops]
    has_host = any(name.lower() == b"host" for name, _ in came.fields)
    own = _own_lines(lines, kept, host or (None if has_host else came.authority))
    assert [name.lower() for name, _ in goes.fields].count(b"host") == 1
    kind, length, has_length, _ = request_framing(data)
    assert request_framing(out)[:3] == (kind, length, has_length), "the body has another length"
    if host or has_host or came.authority:
        # (The empty Host that stands for an HTTP/1.0 client's missing one, weir would not take from a client.)
        assert check(out) == (upgrade, te_trailers, expect), "it asks for something else"
    options = [b"TE"] * te_trailers + [b"upgrade"] * upgrade
    assert own.pop(b"connection", b"") == b", ".join(options)
    assert own.pop(b"te", b"") == (b"trailers" if te_trailers else b"")
    assert own.pop(b"content-length", None) == (b"%d" % length if has_length else None)
    assert own.pop(b"transfer-encoding", None) == (b"chunked" if kind == BodyKind.B_CHUNKED else None)
    assert own.pop(b"via", None) == (b"1.%d weir" % came.version_minor if via else None)
    says_who = policy in (ForwardedPolicy.FWD_REPLACE, ForwardedPolicy.FWD_APPEND)
    assert (b"x-forwarded-for" in own) == says_who
    assert own.pop(b"x-forwarded-for", b"192.0.2.1").endswith(b"192.0.2.1")
    assert own.keys() <= ({b"x-forwarded-proto", b"x-forwarded-host"} if says_who else set())


def _check_response(data: bytes, *, chunked: bool, interim: bool, upgrade: bool, close: bool, via: bool) -> None:
    try:
        kind, length, _, _ = response_framing(data, Method.M_GET, upgrade=True)  # what has none never goes on
        out = forward_response(
            data, chunked=chunked, interim=interim, upgrade=upgrade, close=close, via=via, counter=COUNTER
        )
    except (Refused, ValueError):
        return
    came = parse_response(data)
    assert came is not None
    if len(came.fields) > MOST_FIELDS:
        return
    goes = parse_response(out)
    assert goes is not None
    assert goes.length == len(out), "the head ends before its end"
    assert (goes.status, goes.version_minor) == (came.status, 1)
    assert goes.reason_phrase == came.reason_phrase
    names = {name.lower() for name, _ in came.fields}
    upgrades = (upgrade or came.status == 426) and b"upgrade" in names
    no_length = chunked or interim or came.status < 200 or came.status == 204
    drops = RESPONSE_ENDS_HERE | _nominated(came) | {COUNTER.lower()}
    if upgrades:
        drops.discard(b"upgrade")
    lengths = [] if no_length else [value for name, value in came.fields if name.lower() == b"content-length"]
    odd_length = bool(lengths) and len(lengths[0]) > 1 and lengths[0].startswith(b"0")
    if no_length or odd_length:
        drops.add(b"content-length")
    kept = [line for line in split_lines(data[: came.length])[1:] if _name(line) not in drops]
    own = _own_lines(split_lines(out), kept, None)
    options = [b"upgrade"] * upgrades + [b"close"] * (close and not interim)
    assert own.pop(b"connection", b"") == b", ".join(options)
    assert own.pop(b"transfer-encoding", None) == (b"chunked" if chunked and not interim else None)
    assert own.pop(b"content-length", None) == (lengths[0][:-1].lstrip(b"0") + lengths[0][-1:] if odd_length else None)
    assert own.pop(COUNTER.lower(), None) == (None if interim else b"0")
    assert own.pop(b"via", None) == (b"1.%d weir" % came.version_minor if via else None)
    assert own == {}
    if not no_length and kind in (BodyKind.B_NONE, BodyKind.B_LENGTH):
        # Where weir leaves the framing alone, the response is as long for the client as for weir.
        assert response_framing(out, Method.M_GET, upgrade=True)[:2] == (kind, length), "the body has another length"


def forward(data: bytes) -> None:
    """A head that goes on is well-formed, has the same meaning and framing, one Host, and nothing of one hop."""
    if not data:
        return
    choice, head = data[0], data[1:]
    if choice & 128:
        _check_response(
            head,
            chunked=bool(choice & 1),
            interim=bool(choice & 2),
            upgrade=bool(choice & 4),
            close=bool(choice & 8),
            via=bool(choice & 16),
        )
    else:
        host = OWN_HOST if choice & 4 else b""
        _check_request(head, ForwardedPolicy(choice & 3), via=bool(choice & 8), host=host)
