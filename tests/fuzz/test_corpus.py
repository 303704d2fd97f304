"""Past crashes and the corpus of fuzzing, through the same targets with the normal build."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.seeds import SEEDS
from fuzz.targets import CORPUS, CRASHES, TARGETS

MOST_CORPUS_BYTES = 1_000_000


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """A play ends with a collection, which need not look at all that pytest has made."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _inputs(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _failing(name: str, folder: Path) -> dict[str, str]:
    """The inputs of a folder that fail, and how."""
    failing = {}
    for path in _inputs(folder / name):
        try:
            TARGETS[name](path.read_bytes())
        except Exception as error:
            failing[path.name] = repr(error)
    return failing


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    for data in SEEDS[name]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    assert len(_inputs(CORPUS / name)) >= 5, "the corpus is not there"
    assert _failing(name, CORPUS) == {}


@pytest.mark.parametrize("name", TARGETS)
def test_past_crashes(name: str) -> None:
    assert _failing(name, CRASHES) == {}


def test_every_folder_is_of_a_target() -> None:
    folders = {path.name for place in (CORPUS, CRASHES) for path in _inputs(place) if path.is_dir()}
    assert folders <= set(TARGETS)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < MOST_CORPUS_BYTES
