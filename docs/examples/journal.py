"""A journal of your own: uploads in tables of your application's database, here SQLite.

`test_journal.py` proves it with the suite that the library's own journals pass.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

import attrs
from cattrs.preconf.json import make_converter

from iqiyi_async import ChunkReceipt
from iqiyi_async.stores import JournalEntry, Phase

SCHEMA = """
CREATE TABLE IF NOT EXISTS fences (last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS leases (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, fence INTEGER NOT NULL, ends REAL NOT NULL);
CREATE TABLE IF NOT EXISTS uploads (
    key TEXT PRIMARY KEY, account TEXT NOT NULL, size INTEGER NOT NULL, digest TEXT NOT NULL, entry TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ranges (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, range TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS uploads_by_bytes ON uploads (size, digest);
CREATE INDEX IF NOT EXISTS ranges_by_key ON ranges (key);
"""
json = make_converter()
Result = TypeVar("Result")


class TableJournal:
    """Each method is one transaction: the fence is compared and the change is made in one step."""

    #: Only processes of this machine use the file. With a database server this is True, or left out.
    shared = False

    def __init__(self, path: Path) -> None:
        self._path = path

    # Who may act

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        def claim(database: Connection) -> int | None:
            now = time.time()
            held = database.execute("SELECT 1 FROM leases WHERE key = ? AND owner <> ? AND ends > ?", (key, owner, now))
            if held.fetchone():
                return None
            (last,) = database.execute("SELECT max(last) FROM fences").fetchone()
            fence = max((last or 0) + 1, int(now * 1_000_000))
            database.execute("DELETE FROM fences")
            database.execute("INSERT INTO fences VALUES (?)", (fence,))
            database.execute("REPLACE INTO leases VALUES (?, ?, ?, ?)", (key, owner, fence, now + ttl))
            return fence

        return await self._transaction(claim)

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        statement = "UPDATE leases SET ends = ? WHERE key = ? AND fence = ?"
        return await self._changes(statement, time.time() + ttl, key, fence)

    async def release(self, key: str, fence: int) -> bool:
        return await self._changes("DELETE FROM leases WHERE key = ? AND fence = ?", key, fence)

    # What is known of an upload

    async def load(self, key: str) -> JournalEntry | None:
        found = await self._transaction(lambda database: _entries(database, "key = ?", key))
        return found[0] if found else None

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        return await self._transaction(lambda database: _entries(database, "size = ? AND digest = ?", size, digest))

    async def unfinished(self, account: str) -> tuple[tuple[str, JournalEntry], ...]:
        """Not required: `iter_unfinished` needs it."""
        found = await self._transaction(lambda database: _entries(database, "account = ?", account))
        return tuple((entry.key, entry) for entry in found if entry.phase is not Phase.FINISHED)

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        def write(database: Connection) -> bool:
            if not _holds(database, key, fence):
                return False
            database.execute("DELETE FROM ranges WHERE key = ?", (key,))
            _put(database, attrs.evolve(entry, key=key, accepted=()))
            for each in entry.accepted:
                database.execute("INSERT INTO ranges (key, range) VALUES (?, ?)", (key, json.dumps(each)))
            return True

        return await self._transaction(write)

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        return await self._changes(
            """INSERT INTO ranges (key, range) SELECT key, ? FROM uploads JOIN leases USING (key)
               WHERE key = ? AND fence = ?""",
            json.dumps(chunk),
            key,
            fence,
        )

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        def write(database: Connection) -> bool:
            found = _entries(database, "key = ?", key)
            if not found or not _holds(database, key, fence):
                return False
            _put(database, attrs.evolve(found[0], phase=phase, accepted=()))
            return True

        return await self._transaction(write)

    async def forget(self, key: str, fence: int | None = None) -> bool:
        def remove(database: Connection) -> bool:
            if fence is None:
                held = database.execute("SELECT 1 FROM leases WHERE key = ? AND ends > ?", (key, time.time()))
                allowed = held.fetchone() is None
            else:
                allowed = _holds(database, key, fence)
            if allowed:
                database.execute("DELETE FROM uploads WHERE key = ?", (key,))
                database.execute("DELETE FROM ranges WHERE key = ?", (key,))
            return allowed

        return await self._transaction(remove)

    async def aclose(self) -> None:
        """Nothing is open between the calls."""

    async def _changes(self, statement: str, *values: object) -> bool:
        return await self._transaction(lambda database: database.execute(statement, values).rowcount > 0)

    async def _transaction(self, work: Callable[[Connection], Result]) -> Result:
        return await asyncio.to_thread(self._in_thread, work)

    def _in_thread(self, work: Callable[[Connection], Result]) -> Result:
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as database:
                database.executescript(SCHEMA)
                database.execute("BEGIN IMMEDIATE")
                with database:  # commits, which SQLite puts on the disk; rolls back after an exception
                    return work(database)
        except sqlite3.Error as problem:
            raise OSError(f"the tables of uploads can't be used: {problem}") from problem


def _holds(database: Connection, key: str, fence: int) -> bool:
    return database.execute("SELECT 1 FROM leases WHERE key = ? AND fence = ?", (key, fence)).fetchone() is not None


def _put(database: Connection, entry: JournalEntry) -> None:
    """`changed` says when a finished upload may be forgotten: after `remember` seconds."""
    mark, written = entry.fingerprint, json.dumps(attrs.evolve(entry, changed=time.time()))
    values = (entry.key, entry.account, mark.size, mark.digest, written)
    database.execute("REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)", values)


def _entries(database: Connection, condition: str, *values: object) -> tuple[JournalEntry, ...]:
    rows = database.execute(f"SELECT key, entry FROM uploads WHERE {condition}", values).fetchall()  # noqa: S608
    found: list[JournalEntry] = []
    for key, text in rows:
        ranges = database.execute("SELECT range FROM ranges WHERE key = ? ORDER BY number", (key,))
        accepted = tuple(json.loads(each, ChunkReceipt) for (each,) in ranges)
        found.append(attrs.evolve(json.loads(text, JournalEntry), accepted=accepted))
    return tuple(found)
