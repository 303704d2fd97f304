"""What the commands that ask have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from weir.cli.admin import caller, failures, filter_of, read_token
from weir.cli.answers import AnswerError
from weir.cli.call import CallError


def test_a_filter_has_only_what_is_given() -> None:
    assert filter_of() == {}
    assert filter_of("main", contains="x") == {"route": "main", "contains": "x"}


def test_a_token_is_a_line_of_a_file_or_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("  abc \n")
    assert read_token(file) == "abc"
    monkeypatch.setenv("WEIR_TOKEN", "xyz\n")
    assert read_token(None) == "xyz"
    monkeypatch.delenv("WEIR_TOKEN")
    assert read_token(None) == ""


@pytest.mark.parametrize("content", ["", "two\nlines", "a b", "é", "x" * 5000])
def test_what_is_no_token_is_refused_and_not_shown(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(SystemExit):
        read_token(file)
    said = capsys.readouterr().err
    assert str(file) in said
    assert not content or content not in said


def test_a_token_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        caller(None, tmp_path / "none", 1.0)
    assert left.value.code == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("error", [CallError("nobody there", "unavailable"), AnswerError("path is no text")])
def test_failures_are_messages(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, failures():
        raise error
    assert left.value.code == 1
    assert str(error) in capsys.readouterr().err


def test_the_default_address() -> None:
    assert caller(None, None, 1.0).target.text == "127.0.0.1:8079"
