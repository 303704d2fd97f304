"""Which kind of error answer a client would rather have."""

from __future__ import annotations

import pytest

from weir.plane.parsers import prefers


def preferred(*fields: str) -> str:
    lines = "".join(f"Accept: {field}\r\n" for field in fields)
    return prefers(f"GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode())


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text"),  # curl, wrk, requests
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "text"),  # browsers
        ("application/json", "json"),
        ("application/json, text/plain, */*", "json"),  # axios
        ("text/plain, application/json", "text"),
        ("application/json, */*", "json"),
        ("application/json;q=0.5, text/*", "text"),
        ("application/json;q=0.5, text/*;q=0.4", "json"),
        ("application/json;q=0.5, */*", "text"),
        ("application/*", "json"),
        ("application/problem+json", "problem"),
        ("application/problem+json, application/json", "problem"),
        ("application/json, application/problem+json", "json"),
        ("application/problem+json;q=0.9, application/json;q=0.8, text/html;q=0.1", "problem"),
        ("application/json;q=0", "text"),
        ("text/plain;q=0, */*", "json"),
        ("APPLICATION/JSON ; Q=1.000", "json"),
        ("application/json;charset=utf-8;q=1", "json"),
        ("application/json;q=1.001, text/plain;q=0.1", "text"),  # not a weight: as if it were not there
        ("application/json;q=0.9999, text/plain;q=0.1", "text"),
        ("application/json;q=, text/plain;q=0.1", "text"),
        ("application/jsonx", "text"),
        ("", "text"),
        (",,;;,/,", "text"),
        ("image/png", "text"),
    ],
)
def test_one_field(accept: str, kind: str) -> None:
    assert preferred(accept) == kind


def test_several_fields_are_one_list() -> None:
    assert preferred("text/plain;q=0.1", "application/json") == "json"
    assert preferred("text/plain", "application/json") == "text"
    assert preferred() == "text"


def test_a_list_without_end_is_read_so_far() -> None:
    assert preferred(",".join(["image/png"] * 63), "application/json") == "json"
    assert preferred(",".join(["image/png"] * 64), "application/json") == "text"
