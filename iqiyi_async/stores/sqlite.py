"""The upload journal in SQLite: one row for each upload, one for each accepted range, one for each lease."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..models import ChunkReceipt, JournalEntry, Phase
from . import _gateway_table
from ._alive import Presence, dead, sweep
from ._rows import COLUMNS, columns_of, entry_of, moment, number
from ._worker import BackgroundThread, Batches, Job
from .gateway import GatewayRecord

if TYPE_CHECKING:
    from sqlite3 import Connection

    from ._database import Database

__all__ = ["SqliteJournal"]

T = TypeVar("T")

#: The version stands in the file's name, so that two releases of this library never open each other's file.
VERSION = 3
FILE = f"uploads-{VERSION}.db"

#: So many old rows are removed at a time, with every so many new uploads.
LOT, EVERY = 50, 20

# An inode is text: some file systems count up to 2**64, SQLite's integers end at 2**63. What a range belongs to is a
# number that is never given twice: rows of a replaced entry can't come back to life. The row of a lease stays when it
# is given back: the next fence must be greater.
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
    device TEXT NOT NULL,
    ctime_ns INTEGER NOT NULL,
    phase TEXT NOT NULL,
    name TEXT NOT NULL,
    account TEXT NOT NULL,
    grp TEXT NOT NULL,
    file_type TEXT NOT NULL,
    metadata TEXT NOT NULL,
    remember REAL NOT NULL,
    changed REAL NOT NULL
);
CREATE INDEX uploads_by_content ON uploads (size, digest);
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
    fence INTEGER NOT NULL,
    expires REAL NOT NULL,
    alive TEXT NOT NULL
);
"""

# Done when the database is opened: there are databases without this index. By it old rows are found without a look at
# others; it has finished uploads only, so that one under way costs nothing. The other two are of earlier releases.
INDEX = f"""
CREATE INDEX IF NOT EXISTS uploads_over ON uploads (changed + remember) WHERE phase = '{Phase.FINISHED.value}';
DROP INDEX IF EXISTS uploads_by_phase;
DROP INDEX IF EXISTS uploads_by_end;
"""

_COLUMNS = f"{COLUMNS}, changed"


class SqliteJournal:
    """Uploads in an SQLite database of mode 0600, for any number of tasks, event loops and processes on one machine.

    What was reported as written survives the death of the process; the beginning of an upload and its phases also
    survive a loss of power. Writes of all uploads that come at the same time are committed together. A database that
    is broken is renamed and a fresh one started; a warning says so. A file that is not this library's is refused, and
    left as it is.

    Args:
        path: the database. By default one in the platform's state folder for `iqiyi-async`, which is kept at mode
            0700, as are folders made on the way. Where an earlier release has left its own there, one beside it whose
            name ends with the version is used.
        clock: seconds since 1970; leases and the age of entries are counted by it. Processes that share a database
            share the machine's clock.

    Every method raises `OSError` if the database can't be reached or written.
    """

    shared = False
    ordered = True
    completes = True

    def __init__(self, path: str | os.PathLike[str] | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._given = None if path is None else Path(path)
        self._clock = clock
        self._thread = BackgroundThread("iqiyi-async-journal")
        self._batches: Batches[Connection] = Batches(self._thread, self._commit)
        self._database: Database | None = None
        self._presence = Presence()
        self._begun = 0

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        """Claim a key for `ttl` seconds: its fence, or None while another owner holds it. The claim of a process that
        has died counts no more, where the system tells (not on Windows)."""
        now = self._clock()
        return await self._do(
            partial(_acquire, key=key, owner=owner, now=now, ttl=ttl, presence=self._presence, path=self._path)
        )

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        """Hold a key for `ttl` more seconds."""
        return await self._do(partial(_renew, key=key, fence=fence, expires=self._clock() + ttl))

    async def release(self, key: str, fence: int) -> bool:
        """Give a claim back."""
        return await self._do(partial(_release, key=key, fence=fence))

    async def load(self, key: str) -> JournalEntry | None:
        """The entry of a key, or None."""
        return await self._do(partial(_load, key=key))

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        """Write an entry with its ranges, in place of whatever was there. It survives a loss of power."""
        self._begun += 1
        prune = self._begun % EVERY == 1
        work = partial(_begin, key=key, fence=fence, entry=entry, now=self._clock(), prune=prune)
        return await self._do(work, durable=True)

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        """Add one accepted range."""
        return await self._do(partial(_record, key=key, fence=fence, chunk=chunk))

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        """Note that an upload has reached a phase. It survives a loss of power, but for `Phase.FINISHED`, which can be
        asked for again."""
        work = partial(_advance, key=key, fence=fence, phase=phase, now=self._clock())
        return await self._do(work, durable=phase is not Phase.FINISHED)

    async def forget(self, key: str, fence: int | None = None) -> bool:
        """Remove an entry and its ranges; without a fence only while nobody holds the key."""
        return await self._do(partial(_forget, key=key, fence=fence, now=self._clock()))

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        """The entries whose sources have this size and this digest of samples."""
        return await self._do(partial(_find, size=size, digest=digest))

    async def unfinished(self, account: str) -> tuple[tuple[str, JournalEntry], ...]:
        """Keys and entries of an account's uploads that are not finished, the oldest first."""
        return await self._do(partial(_unfinished, account=account))

    async def create_upload(self, record: GatewayRecord) -> bool:
        """Add the record of an upload through a gateway; False if its key is taken. It survives a loss of power."""
        return await self._do(partial(_gateway_table.create, record=record), durable=True)

    async def load_upload(self, key: str) -> GatewayRecord | None:
        """The record of an upload through a gateway, or None."""
        return await self._do(partial(_gateway_table.load, key=key))

    async def set_offset(self, key: str, fence: int, offset: int, received: int, expires: float) -> bool:
        """Note how far an upload through a gateway is."""
        work = partial(
            _gateway_table.set_offset, key=key, fence=fence, offset=offset, received=received, expires=expires
        )
        return await self._do(work)

    async def update_upload(self, record: GatewayRecord, fence: int) -> bool:
        """Write the record of an upload through a gateway again. It survives a loss of power."""
        return await self._do(partial(_gateway_table.update, record=record, fence=fence), durable=True)

    async def request_release(self, key: str) -> bool:
        """Ask the holder of the lease of an upload through a gateway to give it back."""
        return await self._do(partial(_gateway_table.request_release, key=key))

    async def expire_uploads(self, limit: int = 50) -> tuple[GatewayRecord, ...]:
        """End uploads through a gateway whose time is over: those that have ended by this call."""
        return await self._do(partial(_gateway_table.expire, now=self._clock(), limit=limit))

    async def aclose(self) -> None:
        """Close the database. It is opened again when the journal is used again."""
        await self._batches.finish(self._close)
        self._thread.stop()

    def __repr__(self) -> str:
        return f"<SqliteJournal at {self._given or 'the default path'}>"

    async def _do(self, work: Callable[[Connection], T], *, durable: bool = False) -> T:
        return await self._batches.run(work, durable=durable, whole=True)

    def _commit(self, jobs: list[Job[Connection]]) -> None:
        # In the thread: the first use reads the environment and the disk, and imports sqlite3.
        if self._database is None:
            from ._database import Database

            self._database = Database(self._given, name=FILE, version=VERSION, schema=SCHEMA, opened=_opened)
        self._database.call_all(jobs)

    def _path(self) -> Path:
        """Where the database is; known in the thread."""
        assert self._database is not None
        return self._database.path

    def _close(self) -> None:
        try:
            self._presence.leave()
        finally:
            if self._database is not None:
                self._database.close()


def _opened(database: Connection) -> None:
    _gateway_table.make(database)
    for statement in INDEX.split(";"):
        database.execute(statement)
    _remove_leases_of_the_dead(database)


def _remove_leases_of_the_dead(database: Connection) -> None:
    names = [(name,) for name in sweep(_path_of(database))]
    database.executemany("UPDATE leases SET owner = '', expires = 0, alive = '' WHERE alive = ?", names)


def _path_of(database: Connection) -> Path:
    return Path(database.execute("PRAGMA database_list").fetchone()[2])


def _acquire(
    database: Connection, *, key: str, owner: str, now: float, ttl: float, presence: Presence, path: Callable[[], Path]
) -> int | None:
    row = database.execute("SELECT owner, fence, expires, alive FROM leases WHERE key = ?", (key,)).fetchone()
    last = 0
    if row is not None:
        holder, last, expires, alive = str(row[0]), number(row[1]), moment(row[2]), str(row[3])
        if holder not in ("", owner) and expires > now and not (alive and dead(alive, path())):
            return None
    fence = max(last + 1, int(now * 1e6))
    database.execute(
        "INSERT OR REPLACE INTO leases (key, owner, fence, expires, alive) VALUES (?, ?, ?, ?, ?)",
        (key, owner, fence, now + ttl, presence.name(path())),
    )
    return fence


def _holds(database: Connection, key: str, fence: int) -> bool:
    row = database.execute("SELECT 1 FROM leases WHERE key = ? AND fence = ? AND owner != ''", (key, fence))
    return row.fetchone() is not None


def _renew(database: Connection, *, key: str, fence: int, expires: float) -> bool:
    done = database.execute(
        "UPDATE leases SET expires = ? WHERE key = ? AND fence = ? AND owner != ''", (expires, key, fence)
    )
    return done.rowcount == 1


def _release(database: Connection, *, key: str, fence: int) -> bool:
    done = database.execute(
        "UPDATE leases SET owner = '', expires = 0, alive = '' WHERE key = ? AND fence = ? AND owner != ''",
        (key, fence),
    )
    return done.rowcount == 1


def _load(database: Connection, *, key: str) -> JournalEntry | None:
    row = database.execute(f"SELECT id, key, {_COLUMNS} FROM uploads WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return None if row is None else _entry(database, row)


def _find(database: Connection, *, size: int, digest: str) -> tuple[JournalEntry, ...]:
    rows = database.execute(
        f"SELECT id, key, {_COLUMNS} FROM uploads WHERE size = ? AND digest = ? ORDER BY id LIMIT 100",  # noqa: S608
        (size, digest),
    ).fetchall()
    found = [_entry(database, row) for row in rows]
    return tuple(entry for entry in found if entry is not None)


def _unfinished(database: Connection, *, account: str) -> tuple[tuple[str, JournalEntry], ...]:
    rows = database.execute(
        f"SELECT id, key, {_COLUMNS} FROM uploads WHERE account = ? AND phase != ? ORDER BY changed",  # noqa: S608
        (account, Phase.FINISHED.value),
    ).fetchall()
    found = [(str(row[1]), _entry(database, row)) for row in rows]
    return tuple((key, entry) for key, entry in found if entry is not None)


def _entry(database: Connection, row: tuple[Any, ...]) -> JournalEntry | None:
    number, *columns = row
    ranges = database.execute(
        "SELECT first, last, md5, attempts FROM ranges WHERE upload = ? ORDER BY rowid", (number,)
    )
    return entry_of(columns, ranges.fetchall())


def _begin(database: Connection, *, key: str, fence: int, entry: JournalEntry, now: float, prune: bool) -> bool:
    if not _holds(database, key, fence):
        return False
    if prune:
        _prune(database, now)
    database.execute("DELETE FROM uploads WHERE key = ?", (key,))
    row = (key, *columns_of(entry), now)
    places = ", ".join("?" * len(row))
    added = database.execute(f"INSERT INTO uploads (key, {_COLUMNS}) VALUES ({places})", row)  # noqa: S608
    database.executemany(
        "INSERT INTO ranges (upload, first, last, md5, attempts) VALUES (?, ?, ?, ?, ?)",
        [(added.lastrowid, each.first, each.last, each.md5, each.attempts) for each in entry.accepted],
    )
    return True


def _record(database: Connection, *, key: str, fence: int, chunk: ChunkReceipt) -> bool:
    done = database.execute(
        """INSERT INTO ranges (upload, first, last, md5, attempts)
        SELECT uploads.id, ?, ?, ?, ? FROM uploads JOIN leases ON leases.key = uploads.key
        WHERE uploads.key = ? AND leases.fence = ? AND leases.owner != ''""",
        (chunk.first, chunk.last, chunk.md5, chunk.attempts, key, fence),
    )
    return done.rowcount == 1


def _advance(database: Connection, *, key: str, fence: int, phase: Phase, now: float) -> bool:
    done = database.execute(
        """UPDATE uploads SET phase = ?, changed = ? WHERE key = ?
        AND EXISTS (SELECT 1 FROM leases WHERE leases.key = uploads.key AND fence = ? AND owner != '')""",
        (phase.value, now, key, fence),
    )
    return done.rowcount == 1


def _forget(database: Connection, *, key: str, fence: int | None, now: float) -> bool:
    if fence is None:
        held = database.execute("SELECT alive, expires FROM leases WHERE key = ? AND owner != ''", (key,)).fetchone()
        if held is not None and moment(held[1]) > now and not (held[0] and dead(str(held[0]), _path_of(database))):
            return False
    elif not _holds(database, key, fence):
        return False
    database.execute("DELETE FROM uploads WHERE key = ?", (key,))
    return True


def _prune(database: Connection, now: float) -> None:
    """Remove a few of the rows whose time is over."""
    database.execute(
        f"""DELETE FROM uploads WHERE id IN (
            SELECT id FROM uploads WHERE phase = '{Phase.FINISHED.value}' AND changed + remember < ?
            ORDER BY changed + remember LIMIT ?)""",  # noqa: S608
        (now, LOT),
    )
    database.execute(
        "DELETE FROM leases WHERE key IN (SELECT key FROM leases WHERE expires < ? LIMIT ?)", (now - 86400, LOT)
    )
