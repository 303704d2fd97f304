"""What may happen to the history's file: it is said once, and counting goes on."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import resource
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.admin.recorded import Clock, Weir, counted, opened
from weir.admin.history import History
from weir.admin.store import Batch, Store, StoreError
from weir.config.plan import HistoryPlan
from weir.plane.counters import Counters
from weir.stats import layout
from weir.stats.frame import take
from weir.stats.names import TableNames


def damage_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def damage_middle(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(1, 12):
            file.seek(4096 * page)
            file.write(b"\xaa" * 4096)


def damage_cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_other_program(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.close()


def damage_version(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    "damage",
    [damage_garbage, damage_middle, damage_cut, damage_other_program, damage_version],
    ids=lambda f: f.__name__,
)
async def test_a_damaged_file_is_moved_aside(
    damage: object, plan: HistoryPlan, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    weir = Weir(clock)
    async with opened(weir.history(plan)):
        for path in range(50):
            weir.count(b"/%d" % path, 3)
    assert callable(damage)
    damage(Path(plan.path))
    weir.count(b"/0", 1)
    with caplog.at_level(logging.ERROR):
        async with opened(weir.history(plan)) as history:
            # What the damaged file had is gone; all that the table has is recorded anew.
            assert (await counted(history))["main /0"] == 4
            assert await history.flush()
    assert "beginning a new file; it was kept as" in caplog.text
    assert len(list(Path(plan.path).parent.glob("history.db.broken-*"))) >= 1
    async with opened(weir.history(plan)) as history:
        assert (await counted(history))["main /0"] == 4


@pytest.mark.parametrize("table", ["mark", "minute"])
async def test_a_record_that_is_damaged(
    table: str, plan: HistoryPlan, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite has no sums over what is in a page: the first to see it is who adds the numbers up."""
    weir = Weir(clock)
    async with opened(weir.history(plan)):
        weir.count(b"/a", 3)
    db = sqlite3.connect(plan.path)
    db.execute(f"UPDATE {table} SET numbers = x'ffffffff'")
    db.commit()
    db.close()
    weir.count(b"/a", 1)
    async with opened(weir.history(plan)) as history:
        if table == "minute":
            with pytest.raises(sqlite3.DatabaseError, match="a record is damaged"):
                await history.between(0)
        assert await history.flush()
        assert "a record is damaged" in caplog.text
        assert await counted(history) == {"main /a": 4 if table == "mark" else 1}


async def test_who_is_called_off_while_it_is_written_does_not_have_it_written_twice(
    plan: HistoryPlan, clock: Clock
) -> None:
    """So it is when the admin process ends in the middle of a flush: it records once more at its end."""
    weir = Weir(clock)
    async with opened(weir.history(plan)) as history:
        weir.count(b"/a", 3)
        begun, goes_on, write = threading.Event(), threading.Event(), history._store.write

        def slowly(batch: Batch) -> None:
            begun.set()
            assert goes_on.wait(10)
            write(batch)

        history._store.write = slowly  # type: ignore[method-assign]
        flushing = asyncio.create_task(history.flush())
        await asyncio.to_thread(begun.wait, 10)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        goes_on.set()
    async with opened(weir.history(plan)) as history:
        assert await counted(history) == {"main /a": 3}


async def test_a_file_that_cannot_be_begun_anew_is_begun_later(
    plan: HistoryPlan, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    weir = Weir(clock)
    async with opened(weir.history(plan)) as history:
        weir.count(b"/a", 3)
        await history.flush()
        monkeypatch.setattr("weir.admin.store.connect", refuse)
        Path(plan.path).unlink()
        for _ in range(5):
            weir.count(b"/a", 1)
            assert not await history.flush()
        with pytest.raises(sqlite3.OperationalError, match="there is no file"):
            await counted(history)
        assert len(caplog.messages) == 1, "it is said once"
        assert "is recorded when that is over" in caplog.text
        monkeypatch.undo()
        assert await history.flush()
        assert await counted(history) == {"main /a": 5}


async def test_half_a_file_does_not_push_out_a_broken_one(
    plan: HistoryPlan, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    weir, folder = Weir(clock), Path(plan.path).parent
    async with opened(weir.history(plan)) as history:
        weir.count(b"/a", 3)
        await history.flush()
        Path(plan.path).unlink()
        Path(plan.path).write_bytes(b"what is left of a history" * 1000)
        with monkeypatch.context() as patched:
            patched.setattr("weir.admin.store._SCHEMA", "CREATE TABLE series (id); CREATE TABLE series (id);")
            for _ in range(6):
                weir.count(b"/a", 1)
                assert not await history.flush()
        assert await history.flush()
    kept = [path for path in folder.glob("history.db.broken-*") if not path.name.endswith(("-wal", "-shm"))]
    assert [path.read_bytes()[:4] for path in kept] == [b"what"]


async def test_only_some_broken_files_are_kept(plan: HistoryPlan, clock: Clock) -> None:
    for _ in range(6):
        Path(plan.path).write_bytes(b"no history at all" * 1000)
        async with opened(Weir(clock).history(plan)):
            pass
    assert len(list(Path(plan.path).parent.glob("history.db.broken-*"))) == 3


async def test_a_file_that_breaks_while_it_is_open(
    plan: HistoryPlan, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    weir = Weir(clock)
    async with opened(weir.history(plan)) as history:
        for path in range(40):
            weir.count(b"/%d" % path, 3)
        await history.flush()
        history._store._read("PRAGMA wal_checkpoint(TRUNCATE)")
        damage_middle(Path(plan.path))
        history._store._read("PRAGMA shrink_memory")
        for path in range(40):
            weir.count(b"/%d" % path, 2)
        assert await history.flush()
        assert "beginning a new file" in caplog.text
        found = await counted(history)
        assert set(found.values()) == {2}, "what was recorded before is in the file that was moved aside"
    async with opened(weir.history(plan)) as history:
        assert set((await counted(history)).values()) == {2}


async def test_a_file_that_is_removed_or_replaced(
    plan: HistoryPlan, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    weir = Weir(clock)
    async with opened(weir.history(plan)) as history:
        weir.count(b"/a", 3)
        await history.flush()
        Path(plan.path).unlink()
        weir.count(b"/a", 2)
        assert await history.flush()
        assert "removed or replaced" in caplog.text
        assert await counted(history) == {"main /a": 2}
    async with opened(weir.history(plan)) as history:
        assert await counted(history) == {"main /a": 2}


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process grows beyond 300 KB: EFBIG, which SQLite takes as it takes a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_full_disk_loses_nothing(plan: HistoryPlan, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    weir, chance = Weir(clock, rows=1000), random.Random(1)
    async with opened(weir.history(plan)) as history:
        failed = 0
        with small_files():
            for _ in range(30):
                for path in range(300):
                    weir.count(b"/%d" % path, 1, us=int(chance.lognormvariate(7, 2)))
                failed += not await history.flush()
                clock.now += 60
        assert failed > 5
        assert caplog.text.count("is recorded when that is over") == 1
        assert await history.flush()
        assert "can be written again; nothing was lost" in caplog.text
        assert await counted(history) == {f"main /{path}": 30 for path in range(300)}
    async with opened(weir.history(plan)) as history:
        assert await counted(history) == {f"main /{path}": 30 for path in range(300)}


async def test_a_place_that_cannot_be_used(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    weir = Weir(clock)
    async with opened(weir.history(HistoryPlan(path=str(tmp_path / "file" / "history.db")))) as history:
        weir.count(b"/a", 3)
        assert await history.flush()
        assert await counted(history) == {"main /a": 3}
    assert "it is kept in memory until weir is started again" in caplog.text
    assert os.strerror(errno.ENOTDIR) in caplog.text or os.strerror(errno.EEXIST) in caplog.text


async def test_two_weirs_do_not_share_a_file(plan: HistoryPlan, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    one, other = Weir(clock), Weir(clock)
    async with opened(one.history(plan)):
        async with opened(other.history(plan)) as history:
            other.count(b"/other", 1)
            await history.flush()
            assert await counted(history) == {"main /other": 1}
        one.count(b"/one", 1)
    assert "in use by another weir; give each its own history.path" in caplog.text
    async with opened(Weir(clock).history(plan)) as history:
        assert await counted(history) == {"main /one": 1}


async def test_without_a_file_it_is_kept_in_memory(clock: Clock) -> None:
    weir = Weir(clock)
    async with opened(weir.history(HistoryPlan())) as history:
        weir.count(b"/a", 3)
        await history.flush()
        clock.now += 120
        weir.count(b"/a", 1)
        assert await counted(history) == {"main /a": 4}
        assert [point.counts.requests for point in await history.points(clock.now - 120, clock.now)] == [3, 0]


async def test_run_records_at_each_interval_until_it_is_cancelled(plan: HistoryPlan) -> None:
    table = layout.create(8, ["main"], workers=1)
    Counters(table, 0).add(0, 0, 7)
    plan = replace(plan, flush_ms=100)
    history = History(plan, lambda: take(table), TableNames(table))
    await history.open()
    running = asyncio.create_task(history.run())
    reader = sqlite3.connect(plan.path)
    for _ in range(100):
        await asyncio.sleep(0.05)
        if reader.execute("SELECT count(*) FROM minute").fetchone() != (0,):
            break
    else:
        pytest.fail("nothing was recorded within 5 s")
    reader.close()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await history.close()


def test_a_store_says_why_it_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"give history\.path a directory that weir may write to"):
        Store(Path("/proc/history.db"), minutes_for_s=1, max_age_s=1, max_bytes=1)


async def test_not_everybody_reads_the_paths_in_it(plan: HistoryPlan, clock: Clock) -> None:
    before = os.umask(0o022)
    try:
        async with opened(Weir(clock).history(plan)):
            found = {path.name: path.stat().st_mode & 0o777 for path in Path(plan.path).parent.iterdir()}
    finally:
        os.umask(before)
    assert found == {"history.db": 0o640, "history.db-wal": 0o640, "history.db-shm": 0o640, "history.db.lock": 0o600}
