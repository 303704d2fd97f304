"""What makes a function a hook."""

from __future__ import annotations

from typing import Any

import pytest

import weir
from weir.hooks import Hook


def test_it_can_be_called_as_before_and_knows_its_name() -> None:
    @weir.hook("request", path="/a/*", host="*.example.com", methods=["GET"], field="X: y", timeout=1.5)
    def mine(number: int) -> int:
        return number + 1

    assert isinstance(mine, Hook)
    assert mine(1) == 2
    assert mine.name.endswith(".mine")
    assert (mine.phase, mine.path, mine.hosts, mine.methods) == ("request", "/a/*", ("*.example.com",), ("GET",))
    assert (mine.field, mine.on_error, mine.timeout_ms) == ("X: y", "fail", 1500)
    assert (mine.budget_us, mine.on_exceed) == (0, "log")


def test_budgets_are_times() -> None:
    for text, us in (("500us", 500), ("2ms", 2000), ("1.5s", 1_500_000)):
        assert weir.hook("log", budget=text, on_exceed="skip")(print).budget_us == us


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"phase": "body"}, "none of request, request_body, upstream, response, response_body, log"),
        ({"phase": "request_body", "on_error": "skip"}, "cannot be passed over"),
        ({"path": "a"}, "does not begin with a slash"),
        ({"path": "/a/*/b"}, "at the end only"),
        ({"host": "a b"}, "neither a name nor"),
        ({"host": "a.*"}, "neither a name nor"),
        ({"methods": ["G ET"]}, "not a method"),
        ({"on_error": "ignore"}, "neither 'fail' nor 'skip'"),
        ({"timeout": 0}, "0.001 to 3600"),
        ({"budget": "2"}, "budget '2' is no time"),
        ({"budget": "0us"}, "is no time"),
        ({"budget": "2h"}, "is no time"),
        ({"budget": "2ms", "on_exceed": "stop"}, "none of 'log', 'skip', 'fail'"),
        ({"on_exceed": "skip"}, "without a budget"),
        ({"phase": "response_body", "budget": "2ms"}, "what hooks of bodies take is not measured"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        weir.hook(**({"phase": "request"} | given))
