"""The crash journal: uploads in an SQLite database, one row for each accepted range.

What belongs here: tables, statements and what they mean. What must not: how the database is opened, guarded and
replaced when it is broken (`_database`), what an upload does with its entry (`upload`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..models import ChunkReceipt, Fingerprint, JournalEntry, Phase
from ._alive import Presence, dead, sweep
from ._worker import Worker

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ._database import Database

__all__ = ["SqliteJournal"]

T = TypeVar("T")

#: A finished upload is remembered for this many seconds (30 days), so that it is not sent again by mistake.
FINISHED_KEPT = 30 * 86400.0

VERSION = 2

# An inode is text: some file systems count up to 2**64, SQLite's integers end at 2**63. What a range belongs to is a
# number that is never given twice: rows of a replaced entry can't come back to life.
SCHEMA = """
CREATE TABLE uploads (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    file_id TEXT NOT NULL,
    upload_url TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode TEXT NOT NULL,
    digest TEXT NOT NULL,
    phase TEXT NOT NULL,
    changed REAL NOT NULL
);
CREATE TABLE ranges (
    upload INTEGER NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    attempts INTEGER NOT NULL
);
CREATE INDEX ranges_of_upload ON ranges (upload);
CREATE TABLE leases (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    expires REAL NOT NULL,
    alive TEXT NOT NULL
);
"""


class SqliteJournal:
    """Uploads in an SQLite database of mode 0600, for any number of tasks, event loops and processes on one machine.

    What was reported as written survives the death of the process; the last moments before a loss of power may be
    missing, the rest is whole (WAL, synchronous=NORMAL). A database that is broken, or of another version, is renamed
    and a fresh one started; a warning says so. Finished uploads are forgotten after 30 days.

    Args:
        path: the database. By default `uploads.db` in the platform's state folder for `iqiyi-async`, which is kept at
            mode 0700, as are folders made on the way.
        clock: seconds since 1970; leases and the 30 days are counted by it. Processes that share a database share the
            machine's clock.

    Every method raises `OSError` if the database can't be reached or written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._given = None if path is None else Path(path)
        self._clock = clock
        self._worker = Worker("iqiyi-async-journal")
        self._database: Database | None = None
        self._presence = Presence()

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take or prolong the lease of a key for `ttl` seconds; False if another owner holds it. That of a process
        that has died counts no more, where the system tells (not on Windows)."""
        lease = partial(_acquire, key=key, owner=owner, now=self._clock(), ttl=ttl, presence=self._presence)
        return await self._do(lease)

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if `owner` holds it. Done even if the caller is cancelled."""
        await self._worker.finish(partial(self._call, partial(_release, key=key, owner=owner)))

    async def load(self, key: str) -> JournalEntry | None:
        """The entry of a key, or None."""
        return await self._do(partial(_load, key=key))

    async def begin(self, key: str, entry: JournalEntry) -> None:
        """Write a new entry, in place of whatever was there."""
        await self._do(partial(_begin, key=key, entry=entry, now=self._clock()))

    async def record(self, key: str, file_id: str, chunk: ChunkReceipt) -> None:
        """Add one accepted range; ignored if the key's entry has another file_id."""
        await self._do(partial(_record, key=key, file_id=file_id, chunk=chunk))

    async def advance(self, key: str, file_id: str, phase: Phase) -> None:
        """Note that an upload has reached a phase; ignored if the key's entry has another file_id."""
        await self._do(partial(_advance, key=key, file_id=file_id, phase=phase, now=self._clock()))

    async def forget(self, key: str) -> None:
        """Remove an entry and its ranges."""
        await self._do(partial(_forget, key=key))

    async def aclose(self) -> None:
        """Close the database. It is opened again when the journal is used again."""
        await self._worker.finish(self._close)
        self._worker.stop()

    def __repr__(self) -> str:
        return f"<SqliteJournal at {self._given or 'the default path'}>"

    async def _do(self, work: Callable[[Connection], T]) -> T:
        return await self._worker.run(partial(self._call, work))

    def _call(self, work: Callable[[Connection], T]) -> T:
        # In the thread: the first use reads the environment and the disk, and imports sqlite3.
        if self._database is None:
            from ._database import Database

            self._database = Database(
                self._given,
                name="uploads.db",
                version=VERSION,
                schema=SCHEMA,
                opened=partial(_prune, clock=self._clock),
            )
        return self._database.call(work)

    def _close(self) -> None:
        self._presence.leave()
        if self._database is not None:
            self._database.close()


# Each of these is one transaction; the database begins and ends it.


def _prune(database: Connection, *, clock: Callable[[], float]) -> None:
    now = clock()
    database.execute("DELETE FROM uploads WHERE phase = ? AND changed < ?", (Phase.FINISHED.value, now - FINISHED_KEPT))
    database.execute("DELETE FROM leases WHERE expires < ?", (now,))
    database.executemany("DELETE FROM leases WHERE alive = ?", [(name,) for name in sweep(_path_of(database))])


def _acquire(database: Connection, *, key: str, owner: str, now: float, ttl: float, presence: Presence) -> bool:
    path = _path_of(database)
    held = database.execute("SELECT alive FROM leases WHERE key = ? AND owner != ?", (key, owner)).fetchone()
    if held is not None and dead(str(held[0]), path):
        database.execute("DELETE FROM leases WHERE alive = ?", held)
    taken = database.execute(
        """INSERT INTO leases (key, owner, expires, alive) VALUES (?, ?, ?, ?)
        ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires = excluded.expires, alive = excluded.alive
        WHERE leases.owner = excluded.owner OR leases.expires <= ?""",
        (key, owner, now + ttl, presence.name(path), now),
    )
    return taken.rowcount == 1


def _path_of(database: Connection) -> Path:
    return Path(database.execute("PRAGMA database_list").fetchone()[2])


def _release(database: Connection, *, key: str, owner: str) -> None:
    database.execute("DELETE FROM leases WHERE key = ? AND owner = ?", (key, owner))


def _load(database: Connection, *, key: str) -> JournalEntry | None:
    row = database.execute(
        "SELECT id, file_id, upload_url, size, mtime_ns, inode, digest, phase FROM uploads WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    ranges = database.execute(
        "SELECT first, last, md5, attempts FROM ranges WHERE upload = ? ORDER BY rowid", (row[0],)
    ).fetchall()
    return _entry(row, ranges)


def _entry(row: tuple[Any, ...], ranges: list[tuple[Any, ...]]) -> JournalEntry | None:
    """What the rows say; None if they can't be read, since an SQLite column keeps whatever it is given."""
    _, file_id, upload_url, size, mtime_ns, inode, digest, phase = row
    try:
        return JournalEntry(
            file_id=str(file_id),
            upload_url=str(upload_url),
            fingerprint=Fingerprint(int(size), int(mtime_ns), int(inode), str(digest)),
            phase=Phase(phase),
            accepted=tuple(ChunkReceipt(int(a), int(b), str(md5), int(n)) for a, b, md5, n in ranges),
        )
    except (ValueError, TypeError):
        return None


def _begin(database: Connection, *, key: str, entry: JournalEntry, now: float) -> None:
    _forget(database, key=key)
    mark = entry.fingerprint
    row = (key, entry.file_id, entry.upload_url, mark.size, mark.mtime_ns, str(mark.inode), mark.digest)
    added = database.execute(
        """INSERT INTO uploads (key, file_id, upload_url, size, mtime_ns, inode, digest, phase, changed)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (*row, entry.phase.value, now),
    )
    database.executemany(
        "INSERT INTO ranges (upload, first, last, md5, attempts) VALUES (?, ?, ?, ?, ?)",
        [(added.lastrowid, each.first, each.last, each.md5, each.attempts) for each in entry.accepted],
    )


def _record(database: Connection, *, key: str, file_id: str, chunk: ChunkReceipt) -> None:
    database.execute(
        """INSERT INTO ranges (upload, first, last, md5, attempts)
        SELECT id, ?, ?, ?, ? FROM uploads WHERE key = ? AND file_id = ?""",
        (chunk.first, chunk.last, chunk.md5, chunk.attempts, key, file_id),
    )


def _advance(database: Connection, *, key: str, file_id: str, phase: Phase, now: float) -> None:
    database.execute(
        "UPDATE uploads SET phase = ?, changed = ? WHERE key = ? AND file_id = ?", (phase.value, now, key, file_id)
    )


def _forget(database: Connection, *, key: str) -> None:
    database.execute("DELETE FROM uploads WHERE key = ?", (key,))
