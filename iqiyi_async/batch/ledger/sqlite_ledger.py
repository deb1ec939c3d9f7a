"""A ledger in an SQLite file: for any number of runners on one machine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ...models import ChunkReceipt, JournalEntry, Phase
from ..models import (
    BatchStatus,
    Claim,
    Ending,
    ItemRecord,
    ItemState,
    NewItem,
    Outlook,
)
from . import sqlite_statements as statements
from .base import Held, Ledger
from .rows import entry_to_json, record_of
from .sqlite_file import LedgerFile

T = TypeVar("T")

_HELD = "batch = ? AND n = ? AND fence = ? AND owner IS NOT NULL"


class SqliteLedger(Ledger):
    """A batch in an SQLite file of mode 0600. Writes that come at the same time are committed together.

    Args:
        path: the file; it is made if it is missing.
        name: of the batch.
        must_exist: a file that is missing is an error.
        clock: seconds since 1970. Processes that share the file share the machine's clock.
    """

    shared = False
    completes = True

    def __init__(
        self, path: Path, name: str, *, must_exist: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._file = LedgerFile(path, name, must_exist=must_exist)

    def __repr__(self) -> str:
        return f"<SqliteLedger {self._file.path}>"

    async def open(self) -> None:
        await self._do(_nothing)

    async def aclose(self) -> None:
        await self._file.aclose()

    async def add(self, items: Sequence[NewItem]) -> int:
        return await self._do(lambda database: statements.add(database, self._batch, items), durable=True)

    async def clear_invalid(self, manifest: str) -> None:
        await self._write("DELETE FROM item WHERE state = 'invalid' AND manifest = ? AND batch = ?", manifest)

    async def claim(self, limit: int, ttl: float) -> list[Claim]:
        now = self._clock()
        return await self._do(partial(self._claim, statements.claim, limit, now, ttl))

    async def claim_uploaded(self, limit: int, ttl: float) -> list[Claim]:
        now = self._clock()
        return await self._do(partial(self._claim, statements.claim_uploaded, limit, now, ttl))

    async def renew(self, held: Sequence[Held], ttl: float) -> set[int]:
        expires = self._clock() + ttl

        def work(database: sqlite3.Connection) -> set[int]:
            sql = f"UPDATE item SET expires = ? WHERE {_HELD}"  # noqa: S608
            return {
                number
                for number, fence in held
                if database.execute(sql, (expires, self._batch, number, fence)).rowcount
            }

        return await self._do(work)

    async def end(self, held: Held, ending: Ending) -> bool:
        now = self._clock()
        work = partial(statements.end, held=held, ending=ending, now=now)
        return await self._do(work, durable=ending.durable)

    async def release(self, held: Sequence[Held]) -> None:
        def work(database: sqlite3.Connection) -> None:
            before = "CASE state WHEN 'held' THEN 'waiting' ELSE state END"
            sql = f"UPDATE item SET state = {before}, owner = NULL, expires = 0 WHERE {_HELD}"  # noqa: S608
            database.executemany(sql, [(self._batch, number, fence) for number, fence in held])

        await self._do(work)

    # The journal of an item

    async def load(self, number: int, key: str) -> JournalEntry | None:
        def work(database: sqlite3.Connection) -> JournalEntry | None:
            row = database.execute(
                "SELECT n, file_id, phase, entry, changed FROM item WHERE batch = ? AND n = ? AND entry != ''",
                (self._batch, number),
            ).fetchone()
            return None if row is None else statements.entry_of(database, row, key)

        return await self._do(work)

    async def begin(self, held: Held, entry: JournalEntry) -> bool:
        now = self._clock()

        def work(database: sqlite3.Connection) -> bool:
            mark = entry.fingerprint
            row = (entry.file_id, entry.phase.value, entry_to_json(entry), mark.digest, mark.size, now)
            done = database.execute(
                f"UPDATE item SET file_id = ?, phase = ?, entry = ?, digest = ?, size = ?, changed = ? WHERE {_HELD}",  # noqa: S608
                (*row, self._batch, *held),
            )
            if not done.rowcount:
                return False
            database.execute("DELETE FROM chunk WHERE n = ?", (held[0],))
            database.executemany(
                statements.INSERT_CHUNK, [self._chunk(held[0], entry.file_id, each) for each in entry.accepted]
            )
            return True

        return await self._do(work, durable=True)

    async def record(self, held: Held, file_id: str, chunk: ChunkReceipt) -> bool:
        def work(database: sqlite3.Connection) -> bool:
            if database.execute(f"SELECT 1 FROM item WHERE {_HELD}", (self._batch, *held)).fetchone() is None:  # noqa: S608
                return False
            database.execute(statements.INSERT_CHUNK, self._chunk(held[0], file_id, chunk))
            return True

        return await self._do(work)

    async def advance(self, held: Held, phase: Phase) -> bool:
        changed = await self._write(
            f"UPDATE item SET phase = ?, changed = ? WHERE {_HELD}",  # noqa: S608
            *(phase.value, self._clock()),
            held=held,
            durable=phase is not Phase.FINISHED,
        )
        return changed == 1

    async def forget(self, held: Held) -> bool:
        def work(database: sqlite3.Connection) -> bool:
            sql = f"UPDATE item SET file_id = '', phase = '', entry = '', digest = '' WHERE {_HELD}"  # noqa: S608
            if not database.execute(sql, (self._batch, *held)).rowcount:
                return False
            database.execute("DELETE FROM chunk WHERE n = ?", (held[0],))
            return True

        return await self._do(work, durable=True)

    async def find(self, number: int, size: int, digest: str) -> tuple[JournalEntry, ...]:
        def work(database: sqlite3.Connection) -> tuple[JournalEntry, ...]:
            rows = database.execute(
                "SELECT n, file_id, phase, entry, changed FROM item WHERE digest = ? AND digest != '' AND size = ?"
                " AND phase = ? AND n != ? LIMIT 100",
                (digest, size, Phase.FINISHED.value, number),
            ).fetchall()
            found = [statements.entry_of(database, row, f"item {row[0]}") for row in rows]
            return tuple(entry for entry in found if entry is not None)

        return await self._do(work)

    # The batch

    async def outlook(self) -> Outlook:
        now = self._clock()

        def work(database: sqlite3.Connection) -> Outlook:
            stopping, problem = self._stopping(database)
            waiting, first = database.execute(
                "SELECT count(*), min(not_before) FROM item WHERE batch = ? AND state = 'waiting'", (self._batch,)
            ).fetchone()
            held, expires = database.execute(
                "SELECT count(*), min(expires) FROM item WHERE batch = ? AND state = 'held'", (self._batch,)
            ).fetchone()
            (reviewed,) = database.execute(
                "SELECT count(*) FROM item WHERE batch = ? AND state = 'uploaded'", (self._batch,)
            ).fetchone()
            due = min((each for each in (first, expires) if each is not None), default=now)
            return Outlook(waiting, held, reviewed, max(0.0, due - now), stopping, problem)

        return await self._do(work)

    async def status(self) -> BatchStatus:
        now = self._clock()

        def work(database: sqlite3.Connection) -> BatchStatus:
            stopping, problem = self._stopping(database)
            counts = dict(
                database.execute("SELECT state, count(*) FROM item WHERE batch = ? GROUP BY state", (self._batch,))
            )
            (size,) = database.execute(
                "SELECT coalesce(sum(size), 0) FROM item WHERE batch = ? AND state IN"
                " ('uploaded', 'published', 'review_failed', 'publish_failed')",
                (self._batch,),
            ).fetchone()
            (runners,) = database.execute(
                "SELECT count(*) FROM slot WHERE batch = ? AND expires > ?", (self._batch, now)
            ).fetchone()
            return BatchStatus(**counts, bytes=size, runners=runners, stopping=stopping, problem=problem)

        return await self._do(work)

    async def records(self, after: int, limit: int) -> list[ItemRecord]:
        def work(database: sqlite3.Connection) -> list[ItemRecord]:
            rows = database.execute(
                "SELECT n, source, metadata, state, file_id, page, size, seconds, attempts, error, hint, key FROM item"
                " WHERE batch = ? AND n > ? ORDER BY n LIMIT ?",
                (self._batch, after, limit),
            ).fetchall()
            return [record_of(row) for row in rows]

        return await self._do(work)

    async def states_of(self, sources: Sequence[str]) -> list[tuple[str, ItemState]]:
        def work(database: sqlite3.Connection) -> list[tuple[str, ItemState]]:
            found: list[tuple[str, ItemState]] = []
            for start in range(0, len(sources), statements.LOT):
                lot = sources[start : start + statements.LOT]
                places = ", ".join("?" * len(lot))
                sql = f"SELECT source, state FROM item WHERE batch = ? AND source IN ({places})"  # noqa: S608
                found += [(row[0], ItemState(row[1])) for row in database.execute(sql, (self._batch, *lot))]
            return found

        return await self._do(work)

    async def set_pages(self, pages: Sequence[tuple[int, str]]) -> None:
        def work(database: sqlite3.Connection) -> None:
            sql = "UPDATE item SET page = ? WHERE batch = ? AND n = ?"
            database.executemany(sql, [(page, self._batch, number) for number, page in pages])

        await self._do(work)

    async def retry_failed(self) -> int:
        def work(database: sqlite3.Connection) -> int:
            # What was a video and is none that is shown: a new one is uploaded.
            over = database.execute(
                "UPDATE item SET file_id = '', phase = '', entry = '', digest = '', page = '', size = 0"
                " WHERE batch = ? AND state IN ('review_failed', 'publish_failed') RETURNING n",
                (self._batch,),
            ).fetchall()
            database.executemany("DELETE FROM chunk WHERE n = ?", over)
            return database.execute(
                "UPDATE item SET state = 'waiting', attempts = 0, not_before = 0, error = '', hint = '', owner = NULL"
                " WHERE batch = ? AND state IN ('failed', 'review_failed', 'publish_failed')",
                (self._batch,),
            ).rowcount

        return await self._do(work, durable=True)

    async def stop(self, problem: str = "") -> None:
        def work(database: sqlite3.Connection) -> None:
            database.execute("UPDATE batch SET stopping = 1, problem = ? WHERE id = ?", (problem, self._batch))

        await self._do(work, durable=True)

    async def clear_stop(self) -> None:
        def work(database: sqlite3.Connection) -> None:
            database.execute("UPDATE batch SET stopping = 0, problem = '' WHERE id = ?", (self._batch,))

        await self._do(work)

    # The runners

    async def take_slot(self, ttl: float) -> Held:
        now = self._clock()

        def work(database: sqlite3.Connection) -> Held:
            sql = "SELECT k, fence FROM slot WHERE batch = ? AND expires <= ? ORDER BY k LIMIT 1"
            row = database.execute(sql, (self._batch, now)).fetchone()
            if row is None:
                (k,) = database.execute(
                    "SELECT coalesce(max(k), 0) + 1 FROM slot WHERE batch = ?", (self._batch,)
                ).fetchone()
                row = (k, 0)
            slot = (int(row[0]), max(int(row[1]) + 1, int(now * 1e6)))
            database.execute(
                "INSERT OR REPLACE INTO slot (batch, k, fence, expires, taken, renewed) VALUES (?, ?, ?, ?, ?, ?)",
                (self._batch, *slot, now + ttl, now, now),
            )
            return slot

        return await self._do(work)

    async def renew_slot(self, slot: Held, ttl: float) -> tuple[bool, int, bool]:
        now = self._clock()

        def work(database: sqlite3.Connection) -> tuple[bool, int, bool]:
            mine = (self._batch, *slot)
            kept = database.execute(
                "UPDATE slot SET expires = ?, renewed = ? WHERE batch = ? AND k = ? AND fence = ?",
                (now + ttl, now, *mine),
            ).rowcount
            others = database.execute(
                "SELECT renewed > (SELECT taken FROM slot WHERE batch = ? AND k = ?) FROM slot"
                " WHERE batch = ? AND k != ? AND expires > ?",
                (self._batch, slot[0], self._batch, slot[0], now),
            ).fetchall()
            return bool(kept), len(others) + 1, all(row[0] for row in others)

        return await self._do(work)

    async def free_slot(self, slot: Held) -> None:
        def work(database: sqlite3.Connection) -> None:
            sql = "UPDATE slot SET expires = 0 WHERE batch = ? AND k = ? AND fence = ?"
            database.execute(sql, (self._batch, *slot))

        await self._do(work)

    def _claim(
        self, claim: statements.ClaimStatement, limit: int, now: float, ttl: float, database: sqlite3.Connection
    ) -> list[Claim]:
        return [] if self._stopping(database)[0] else claim(database, self._batch, limit, now, ttl)

    def _stopping(self, database: sqlite3.Connection) -> tuple[bool, str]:
        sql = "SELECT stopping, problem FROM batch WHERE id = ?"
        row = database.execute(sql, (self._batch,)).fetchone()
        return (bool(row[0]), str(row[1])) if row is not None else (True, "the ledger was replaced")

    @staticmethod
    def _chunk(number: int, file_id: str, chunk: ChunkReceipt) -> tuple[Any, ...]:
        return (number, file_id, chunk.first, chunk.last, chunk.md5, chunk.attempts)

    async def _write(self, sql: str, *values: Any, held: Held | None = None, durable: bool = False) -> int:
        """Change rows: behind the values stand the batch and what is held.

        Returns:
            How many.
        """

        def work(database: sqlite3.Connection) -> int:
            return database.execute(sql, (*values, self._batch, *(held or ()))).rowcount

        return await self._do(work, durable=durable)

    async def _do(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        return await self._file.run(work, durable=durable)

    @property
    def _batch(self) -> int:
        """The number of the batch; known in the file's thread only."""
        return self._file.batch


def _nothing(_: sqlite3.Connection) -> None:
    """Opening is all."""
