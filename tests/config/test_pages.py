"""Directories with error pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.config.conftest import Refusals
from weir.config.compile import compile_plan
from weir.config.load import load_text
from weir.config.pages import MOST_BYTES
from weir.config.plan import ErrorPagePlan

TEXT = '[[listener]]\naddress = ":8080"\nto = "127.0.0.1:8081"\nerror_pages = {}\n'


def text(directory: Path | str) -> str:
    return TEXT.format(json.dumps(str(directory)))


def test_pages_reach_the_plan(tmp_path: Path) -> None:
    (tmp_path / "502.html").write_text("<h1>{{status}} é</h1>")
    (tmp_path / "5xx.json").write_text("{}")
    (tmp_path / "404.txt").write_text("no")
    (tmp_path / ".hidden").write_text("no page")
    assert compile_plan(load_text(text(tmp_path), "f")).listeners[0].error_pages == (
        ErrorPagePlan("404", "text/plain", b"no"),
        ErrorPagePlan("502", "text/html", "<h1>{{status}} é</h1>".encode()),
        ErrorPagePlan("5xx", "application/json", b"{}"),
    )


def test_off_is_none() -> None:
    assert compile_plan(load_text(text("off"), "f")).listeners[0].error_pages == ()


@pytest.mark.parametrize("name", ["oops.html", "200.html", "5x.html", "502.htm", "502"])
def test_names_that_are_none(tmp_path: Path, refusals: Refusals, name: str) -> None:
    (tmp_path / name).write_text("x")
    (said,) = refusals(text(tmp_path))
    assert said.startswith("f:4:15: listener[0].error_pages: ")
    assert f'{name}" is not the name of an error page; for example 502.html' in said


def test_what_cannot_be_a_page(tmp_path: Path, refusals: Refusals) -> None:
    page = tmp_path / "502.html"
    page.write_bytes(b"x" * (MOST_BYTES + 1))
    assert "is larger than 64 KiB" in refusals(text(tmp_path))[0]
    page.write_bytes(b"{{text}}" * 257)
    assert "has more than 256 places" in refusals(text(tmp_path))[0]
    page.write_bytes(b"ok \xff")
    assert "is not UTF-8: byte 0xFF at 3; save it as UTF-8" in refusals(text(tmp_path))[0]
    page.unlink()
    assert "has no error page in it; files such as 502.html" in refusals(text(tmp_path))[0]
    page.mkdir()
    assert "cannot be read: is a directory" in refusals(text(tmp_path))[0]
    assert "cannot be read: no such file or directory" in refusals(text(tmp_path / "none"))[0]
    assert "wanted a directory, a string, found a whole number" in refusals(TEXT.format(5))[0]
