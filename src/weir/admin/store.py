"""The file with the history: minute and hour records of every series, in SQLite.

What is hard here is that nothing is counted twice. The shared table only ever grows, and what was recorded of it is
noted in the file itself, series by series (table `mark`), in the same transaction as the records: whoever opens the
file next, with the same shared table or a new one, knows exactly what is missing.

All of it blocks: it is used from one thread at a time, that of `weir.admin.history`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from weir.stats.frame import Frame, empty, from_series
from weir.stats.names import Name

__all__ = ["HOUR", "MINUTE", "SUMS", "Batch", "Store", "StoreError", "summed"]

log = logging.getLogger("weir.admin")

# Keys from here on are sums of series: no more than one for each route, and one of everything.
SUMS: Final = 1 << 40
MINUTE: Final = 60
HOUR: Final = 3600
# "weir", for file(1) and for us.
_APPLICATION: Final = 0x77656972
_VERSION: Final = 1
_BROKEN_KEPT: Final = 3
_MODE: Final = 0o640
# Of the file's bound: what is left after records were removed to keep it, so that it is not at the bound each time.
_LOW_WATER: Final = 0.9

_SCHEMA: Final = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,   -- from 2^40 on: a sum, of a route (path is NULL) or of everything (route is NULL as well)
    route TEXT,
    path TEXT,                -- printable, as weir shows it
    other INTEGER NOT NULL,   -- 1: all paths of the route that have no series of their own
    truncated INTEGER NOT NULL
);
CREATE TABLE minute (         -- start: seconds since 1970
    start INTEGER NOT NULL, series INTEGER NOT NULL, numbers BLOB NOT NULL, PRIMARY KEY (start, series)
) WITHOUT ROWID;
CREATE TABLE hour (
    start INTEGER NOT NULL, series INTEGER NOT NULL, numbers BLOB NOT NULL, PRIMARY KEY (start, series)
) WITHOUT ROWID;
CREATE TABLE mark (           -- what was recorded of the shared table so far
    row INTEGER PRIMARY KEY, numbers BLOB NOT NULL
);
CREATE TABLE origin (         -- which shared table that is
    one INTEGER PRIMARY KEY CHECK (one = 1), created_us INTEGER, seed_0 TEXT, seed_1 TEXT, taken_us INTEGER
);
"""


class StoreError(Exception):
    """The file cannot be used; the message says which, why, and what to do."""


class Batch(NamedTuple):
    """What one flush writes.

    `records` are the new numbers by the history's key (from SUMS on: sums), `series` and `sums` the names of keys that
    the file does not know yet (of a sum: the route, None: everything), `marks` the table's own numbers by row, `frame`
    what was taken (for its identity and time).
    """

    start: int
    records: Sequence[tuple[int, bytes]]
    series: Mapping[int, Name]
    sums: Mapping[int, str | None]
    marks: Sequence[tuple[int, bytes]]
    frame: Frame


class Store:
    """One file, or the memory if `path` is None.

    `minutes_for_s` is how long minute records are kept before they are folded into hours, `max_age_s` how long
    anything is, `max_bytes` how large the file may become (the oldest records go first). StoreError if the file cannot
    be opened. A file that is damaged, or no history at all, is moved aside (`NAME.broken-TIME`) and a new one begun.
    """

    def __init__(self, path: Path | None, *, minutes_for_s: int, max_age_s: int, max_bytes: int) -> None:
        self.path = path
        self.minutes_for_s = minutes_for_s
        self.max_age_s = max_age_s
        self.max_bytes = max_bytes
        self._lock: int | None = None
        try:
            if path is not None:
                self._lock = take_lock(path)
            self._open()
        except BaseException:
            self.close()
            raise

    _db: sqlite3.Connection | None = None
    _file: tuple[int, int] | None = None

    def names(self) -> dict[int, Name]:
        """All series of the file by key, without the sums."""
        rows = self._read("SELECT id, route, path, other, truncated FROM series WHERE path IS NOT NULL")
        return {key: Name(route, path, bool(other), bool(truncated)) for key, route, path, other, truncated in rows}

    def sums(self) -> dict[int, str | None]:
        """The routes that have sums, by key; None: the sum of everything."""
        return dict(self._read("SELECT id, route FROM series WHERE path IS NULL"))

    def recorded(self, table: tuple[int, int, int]) -> Frame:
        """What was recorded of this shared table so far: a frame without series if nothing was."""
        rows = self._read("SELECT created_us, seed_0, seed_1, taken_us FROM origin")
        if not rows or tuple(map(str, rows[0][:3])) != tuple(map(str, table)):
            return empty(table)
        return summed(self._read("SELECT row, numbers FROM mark"), table).spanning(table[0], rows[0][3])

    def write(self, batch: Batch) -> None:
        """All of the batch or nothing of it. sqlite3.Error if it could not be written."""
        table = batch.frame.table
        with self._transaction() as db:
            known = db.execute("SELECT created_us, seed_0, seed_1 FROM origin").fetchone()
            origin = (table[0], str(table[1]), str(table[2]))
            if known != origin:
                db.execute("DELETE FROM mark")
            db.execute("INSERT OR REPLACE INTO origin VALUES (1, ?, ?, ?, ?)", (*origin, batch.frame.taken_us))
            db.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?)", batch.marks)
            db.executemany(
                "INSERT OR IGNORE INTO series VALUES (?, ?, ?, ?, ?)",
                [
                    *((key, *name[:2], int(name.other), int(name.truncated)) for key, name in batch.series.items()),
                    *((key, route, None, 0, 0) for key, route in batch.sums.items()),
                ],
            )
            add_records(db, "minute", batch.start, batch.records)

    def read(self, keys: Sequence[int] | None, since: int, until: int) -> Iterator[tuple[int, int, bytes]]:
        """(start, key, numbers) of what lies in [since, until): of some series, or of all that are no sums."""
        db = self._open_db()
        for table, width in (("hour", HOUR), ("minute", MINUTE)):
            first = since // width * width
            if keys is None:
                yield from db.execute(
                    f"SELECT start, series, numbers FROM {table} WHERE start >= ? AND start < ? AND series < ?",
                    (first, until, SUMS),
                )
                continue
            starts = [
                start
                for (start,) in db.execute(
                    # Each step jumps to the next start: the records between are not looked at.
                    f"WITH RECURSIVE s(start) AS (SELECT min(start) FROM {table} WHERE start >= :first UNION ALL "
                    f"SELECT (SELECT min(start) FROM {table} WHERE start > s.start) FROM s WHERE s.start IS NOT NULL) "
                    "SELECT start FROM s WHERE start < :until",
                    {"first": first, "until": until},
                )
            ]
            for start in starts:
                for key in keys:
                    query = f"SELECT start, series, numbers FROM {table} WHERE start = ? AND series = ?"
                    yield from db.execute(query, (start, key))

    def first_start(self) -> int | None:
        """When the oldest record begins."""
        starts = self._read("SELECT min(start) FROM hour UNION ALL SELECT min(start) FROM minute")
        return min((start for (start,) in starts if start is not None), default=None)

    # Set when series were removed that no record names any more: keys that somebody remembers may be among them.
    forgot = False

    def tidy(self, now_s: int) -> bool:
        """Folds minutes into an hour, forgets what is too old and what is too much.

        One step at a time: True if there is more to do.
        """
        with self._transaction() as db:
            if fold_hour(db, now_s - self.minutes_for_s):
                return True
            removed = 0
            for table in ("minute", "hour"):
                removed += db.execute(f"DELETE FROM {table} WHERE start < ?", (now_s - self.max_age_s,)).rowcount
        more = self._shrink()
        if removed or more:
            with self._transaction() as db:
                used = "SELECT series FROM minute UNION SELECT series FROM hour"
                gone = db.execute(f"DELETE FROM series WHERE id NOT IN ({used})").rowcount
            self.forgot = self.forgot or gone > 0
        return more

    def used_bytes(self) -> int:
        """Of the file, what is not free."""
        ((pages,),), ((free,),), ((size,),) = (
            self._read(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @property
    def is_open(self) -> bool:
        """Not so after a new file could not be begun."""
        return self._db is not None

    def is_gone(self) -> bool:
        """Whether somebody has removed the file, or put another in its place, or none could be begun the last time."""
        if self.path is None:
            return False
        if self._db is None:
            return True
        try:
            about = self.path.stat()
        except OSError:
            return True
        return (about.st_dev, about.st_ino) != self._file

    def start_anew(self, why: str) -> None:
        """Moves the file aside, if it is still there, and begins a new one.

        StoreError or sqlite3.Error if that cannot be done: then there is no file until it is done again.
        """
        self._close_db()
        assert self.path is not None
        aside = move_aside(self.path)
        try:
            self._open_file()
        except (sqlite3.Error, OSError):
            self._close_db()
            # Half a file is nobody's; it would be kept as a broken one, and in the end push out those that are.
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            raise
        where = f"; it was kept as {aside}" if aside is not None else ""
        log.error("history: %s: %s; beginning a new file%s", self.path, why, where)

    def close(self) -> None:
        self._close_db()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open(self) -> None:
        if self.path is None:
            self._db = connect(":memory:")
            self._db.executescript(_SCHEMA)
            return
        try:
            self._open_file()
        except (sqlite3.OperationalError, OSError) as error:
            self._close_db()
            raise StoreError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self.start_anew(str(error))

    def _open_file(self) -> None:
        assert self.path is not None
        # As the access log: the same paths are in it. SQLite gives the files beside it the same permissions.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
        self._db = db = connect(str(self.path))
        (application,), (version,) = (
            db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == 0:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION}; "
                             f"PRAGMA user_version = {_VERSION}; COMMIT;")  # fmt: skip
        elif application != _APPLICATION:
            raise sqlite3.DatabaseError("a database of some other program")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"a history of version {version}; this weir reads version {_VERSION}")
        elif (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(problem)
        about = self.path.stat()
        self._file = (about.st_dev, about.st_ino)

    def _close_db(self) -> None:
        if self._db is not None:
            try:
                self._db.close()
            except sqlite3.Error as error:
                log.warning("history: %s: %s", self.path, error)
            self._db = None

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.OperationalError("there is no file")
        return self._db

    def _read(self, query: str) -> list[Any]:
        return self._open_db().execute(query).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._open_db()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _shrink(self) -> bool:
        """Removes the oldest start, if the file is too large. True if there is more to remove."""
        if self.used_bytes() <= self.max_bytes:
            return False
        removed = False
        with self._transaction() as db:
            while self.used_bytes() > self.max_bytes * _LOW_WATER:
                for table in ("hour", "minute"):
                    (start,) = db.execute(f"SELECT min(start) FROM {table}").fetchone()
                    if start is not None:
                        db.execute(f"DELETE FROM {table} WHERE start = ?", (start,))
                        removed = True
                        break
                else:
                    break
        if self.path is not None:
            assert self._db is not None
            self._db.execute("PRAGMA incremental_vacuum").fetchall()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return removed


def connect(where: str) -> sqlite3.Connection:
    # Threads: one at a time, but not always the same. Transactions are begun by hand.
    db = sqlite3.connect(where, timeout=2.0, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = NORMAL")
    # Of the log beside the file: it is cut back to this after each checkpoint.
    db.execute("PRAGMA journal_size_limit = 16777216")
    return db


def summed(records: Iterable[tuple[int, bytes]], table: tuple[int, int, int] = (0, 0, 0)) -> Frame:
    """A frame of records, those of the same key added up. sqlite3.DatabaseError if one of them is damaged.

    SQLite finds pages that are damaged, but has no sums over what is in them.
    """
    try:
        return from_series(records, table, 0, 0)
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"a record is damaged: {error}") from error


def add_records(db: sqlite3.Connection, table: str, start: int, records: Iterable[tuple[int, bytes]]) -> None:
    """Adds numbers to those of a start that are there already."""
    new = dict(records)
    there = db.execute(f"SELECT series, numbers FROM {table} WHERE start = ?", (start,))
    old = [(key, numbers) for key, numbers in there if key in new]
    both = summed([*old, *((key, new[key]) for key, _numbers in old)])
    new.update((key, both.pack_series(index)) for index, key in enumerate(both.keys))
    rows = [(start, key, numbers) for key, numbers in new.items()]
    db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows)


def fold_hour(db: sqlite3.Connection, before: int) -> bool:
    """Makes one hour record of the oldest hour that ended before a moment; False if there is none."""
    (oldest,) = db.execute("SELECT min(start) FROM minute").fetchone()
    if oldest is None:
        return False
    start = oldest // HOUR * HOUR
    if start + HOUR > before:
        return False
    minutes = db.execute("SELECT series, numbers FROM minute WHERE start < ?", (start + HOUR,))
    hour = summed(minutes)
    add_records(db, "hour", start, ((key, hour.pack_series(index)) for index, key in enumerate(hour.keys)))
    db.execute("DELETE FROM minute WHERE start < ?", (start + HOUR,))
    return True


def take_lock(path: Path) -> int:
    """The descriptor of a lock that other processes of weir respect. StoreError if one of them has it."""
    name = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; give history.path a directory that weir may write to") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StoreError(f"{path} is in use by another weir; give each its own history.path") from None
    return lock


def move_aside(path: Path) -> Path | None:
    """Renames a file and its log; the name it has now, or None if it was gone. Keeps a few of the kind, no more.

    StoreError if it cannot be renamed.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.broken-{stamp}-{number}")
    moved = None
    try:
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
                moved = aside
        kept = sorted(path.parent.glob(f"{path.name}.broken-*"), key=lambda old: old.stat().st_mtime)
        whole = [old for old in kept if not old.name.endswith(("-wal", "-shm"))]
        for old in whole[:-_BROKEN_KEPT]:
            for suffix in ("", "-wal", "-shm"):
                old.with_name(old.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; it cannot be moved aside") from error
    return moved
