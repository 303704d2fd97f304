from __future__ import annotations

from collections.abc import Callable

import pytest

from weir.plane.head import Method
from weir.plane.parsers import (
    Refused,
    check,
    forward_request,
    forward_response,
    parse_fields,
    parse_request,
    parse_response,
    rechunk,
    request_framing,
    response_framing,
)
from weir.reasons import Reason

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
RESPONSE = b"HTTP/1.1 204 x\r\n\r\n"


@pytest.mark.parametrize("parse", [parse_request, parse_response, parse_fields, rechunk])
def test_a_piece_has_at_least_one_byte(parse: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="step"):
        parse(b"a", step=0)


def test_a_head_must_be_complete() -> None:
    for call in (request_framing, check, forward_request):
        with pytest.raises(ValueError, match="not complete"):
            call(REQUEST[:-1])
    with pytest.raises(ValueError, match="not complete"):
        response_framing(RESPONSE[:-1], Method.M_GET)
    with pytest.raises(ValueError, match="not complete"):
        forward_response(RESPONSE[:-1])


def test_a_refused_head_is_refused_by_every_call() -> None:
    for call in (parse_request, request_framing, check, forward_request):
        with pytest.raises(Refused) as caught:
            call(b"GET  / HTTP/1.1\r\n\r\n")
        assert caught.value.reason == Reason.BAD_REQUEST
        assert caught.value.sent == b""


def test_repeating_changes_nothing() -> None:
    assert check(REQUEST, repeat=3) == check(REQUEST)
    assert forward_request(REQUEST, repeat=3) == forward_request(REQUEST)
    assert forward_response(RESPONSE, repeat=3) == forward_response(RESPONSE)
    once, thrice = parse_request(REQUEST), parse_request(REQUEST, repeat=3)
    assert once is not None
    assert thrice is not None
    assert once.fields == thrice.fields == [(b"Host", b"a")]
