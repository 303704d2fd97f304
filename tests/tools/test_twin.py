"""The second builds: what is copied, what is left alone, and that nothing old stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import twin


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "twin"


def source(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "original.pyx"
    path.write_text(text)
    return path


def test_every_source_of_the_plane_is_in_both() -> None:
    for name in twin.SWITCHES:
        found = twin.sources(name)
        assert {path.name for path in (twin.ROOT / "src" / "weir" / "plane").glob("*.p[yx]*")} <= {
            Path(path).name for path in found
        }
        assert not [path for path in found if path.endswith((".so", ".c", ".pyc"))]


def test_only_the_sanitized_build_has_faults_on_purpose() -> None:
    assert "src/weir/plane/canary.pyx" in twin.sources("sanitize")
    assert "src/weir/plane/canary.pyx" not in twin.sources("trace")


def test_what_is_equal_keeps_its_time_and_what_has_changed_does_not(place: Path, tmp_path: Path) -> None:
    files = {"src/a.pyx": source(tmp_path, "a = 1")}
    twin.copy(place, files)
    copied = place / "src" / "a.pyx"
    first = copied.stat().st_mtime_ns
    twin.copy(place, files)
    assert copied.stat().st_mtime_ns == first
    twin.copy(place, {"src/a.pyx": source(tmp_path, "a = 2")})
    assert copied.read_text() == "a = 2"
    assert copied.stat().st_mtime_ns > first


def test_a_source_that_is_gone_goes_with_what_was_made_of_it(place: Path, tmp_path: Path) -> None:
    twin.copy(place, {"src/a.pyx": source(tmp_path, "a = 1"), "src/ab.pyx": source(tmp_path, "a = 1")})
    for made in ("a.c", "a.cpython-311.so", "ab.c"):
        (place / "src" / made).touch()
    twin.copy(place, {"src/ab.pyx": source(tmp_path, "a = 1")})
    assert sorted(path.name for path in (place / "src").iterdir()) == ["ab.c", "ab.pyx"]


def test_what_cython_has_written_is_younger_than_what_it_was_written_from(place: Path, tmp_path: Path) -> None:
    twin.copy(place, {"src/a.pyx": source(tmp_path, "a = 1"), "src/a.c": source(tmp_path, "a = 1")})
    twin.copy(place, {"src/a.pyx": source(tmp_path, "a = 2")})
    twin.update(place, {"src/a.c": source(tmp_path, "int a = 2;")})
    assert (place / "src" / "a.c").stat().st_mtime_ns >= (place / "src" / "a.pyx").stat().st_mtime_ns
    assert (place / "src" / "a.c").read_text() == "int a = 2;"


def test_line_tracing_is_written_anew() -> None:
    assert not twin.written("trace")
    assert "src/weir/plane/head.c" in twin.written("sanitize")
    assert "src/weir/plane/canary.c" not in twin.written("sanitize")
