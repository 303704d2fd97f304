"""What commands say alike."""

from __future__ import annotations

import pytest

from weir.cli.common import config_path_type, fail, print_listeners


def test_fail_prints_each_line_behind_the_name_and_exits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        fail("first\nsecond", status=2)
    assert left.value.code == 2
    assert capsys.readouterr() == ("", "weir: first\nweir: second\n")


def test_listeners_are_printed_one_by_one_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_listeners(["127.0.0.1:8080", "unix:/run/weir.sock"])
    assert capsys.readouterr().err == "weir: listening on 127.0.0.1:8080\nweir: listening on unix:/run/weir.sock\n"


def test_a_configuration_path_need_not_exist_to_be_parsed() -> None:
    assert str(config_path_type().convert("/nonexistent/weir.toml", None, None)) == "/nonexistent/weir.toml"
