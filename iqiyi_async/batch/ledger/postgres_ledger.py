"""A ledger in PostgreSQL: for any number of runners on any number of machines.

The database's clock is the only one (`clock_timestamp()`: `now()` is the beginning of a transaction). Claims skip what
others are claiming, in small lots; each has an owner of its own, and raises the fence.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

import attrs

from ...models import ChunkReceipt, JournalEntry, Phase
from ..models import BatchStatus, Claim, Ending, ItemRecord, ItemState, NewItem, Outlook
from . import postgres_statements as statements
from .base import Held, Ledger
from .postgres_pool import LedgerPool
from .postgres_statements import EPOCH, FENCE, HELD, NOW
from .rows import claim_of, columns_of, entry_from_json, entry_to_json, record_of

T = TypeVar("T")


class PostgresLedger(Ledger):
    """A batch in a PostgreSQL database, in tables whose names begin with ``iqiyi_batch``.

    Args:
        dsn: ``postgresql://user:password@host/database``. It is never shown.
        name: of the batch.
    """

    shared = True

    def __init__(self, dsn: str, name: str) -> None:
        self._pool = LedgerPool(dsn, name)

    def __repr__(self) -> str:
        return "<PostgresLedger>"

    async def open(self) -> None:
        await self._value("SELECT 1")

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def add(self, items: Sequence[NewItem]) -> int:
        async def work(connection: Any) -> int:
            columns = zip(*[(*columns_of(item), item.problem) for item in items], strict=True)
            done = await connection.execute(statements.ADD, self._batch, *map(list, columns))
            added = int(done.rpartition(" ")[2])
            known = [columns_of(item)[:4] for item in items if not item.problem]
            if added < len(items) and known:
                await connection.execute(statements.CHANGE, self._batch, *map(list, zip(*known, strict=True)))
            return added

        return await self._pool.run(work)

    async def clear_invalid(self, manifest: str) -> None:
        await self._value(
            "DELETE FROM iqiyi_batch_item WHERE batch = $1 AND state = 'invalid' AND manifest = $2",
            *(self._batch, manifest),
        )

    async def claim(self, limit: int, ttl: float) -> list[Claim]:
        return await self._claim(statements.DUE, "'held'", limit, ttl, uploaded=False)

    async def claim_uploaded(self, limit: int, ttl: float) -> list[Claim]:
        return await self._claim(statements.DUE_UPLOADED, "item.state", limit, ttl, uploaded=True)

    async def renew(self, held: Sequence[Held], ttl: float) -> set[int]:
        rows = await self._rows(
            f"UPDATE iqiyi_batch_item AS item SET expires = {NOW} + $3 * interval '1 second'"  # noqa: S608
            " FROM unnest($1::bigint[], $2::bigint[]) AS mine (n, fence)"
            " WHERE item.n = mine.n AND item.fence = mine.fence AND owner IS NOT NULL RETURNING item.n",
            *_columns(held),
            ttl,
        )
        return {row[0] for row in rows}

    async def end(self, held: Held, ending: Ending) -> bool:
        async def work(connection: Any) -> bool:
            done = await connection.fetchval(
                statements.END,
                *held,
                *(ending.state.value, ending.attempts, ending.delay, ending.file_id, ending.size, ending.seconds),
                *(ending.error, ending.hint, ending.keep),
            )
            if done is not None:
                return True
            # An answer was lost, and it is said again.
            said = "SELECT 1 FROM iqiyi_batch_item WHERE n = $1 AND fence = $2 AND state = $3"
            return await connection.fetchval(said, *held, ending.state.value) is not None

        return await self._pool.run(work)

    async def release(self, held: Sequence[Held]) -> None:
        await self._rows(
            "UPDATE iqiyi_batch_item AS item SET owner = NULL, expires = NULL,"
            " state = CASE state WHEN 'held' THEN 'waiting' ELSE state END"
            " FROM unnest($1::bigint[], $2::bigint[]) AS mine (n, fence)"
            " WHERE item.n = mine.n AND item.fence = mine.fence AND owner IS NOT NULL",
            *_columns(held),
        )

    # The journal of an item

    async def load(self, number: int, key: str) -> JournalEntry | None:
        async def work(connection: Any) -> JournalEntry | None:
            sql = f"SELECT {statements.ENTRY} FROM iqiyi_batch_item WHERE n = $1 AND entry <> ''"  # noqa: S608
            row = await connection.fetchrow(sql, number)
            return None if row is None else await _entry(connection, row, key)

        return await self._pool.run(work)

    async def begin(self, held: Held, entry: JournalEntry) -> bool:
        async def work(connection: Any) -> bool:
            mark = entry.fingerprint
            row = (*held, entry.file_id, entry.phase.value, entry_to_json(entry), mark.digest, mark.size)
            if not entry.accepted:
                return await connection.fetchval(statements.BEGIN, *row) is not None
            async with connection.transaction():
                if await connection.fetchval(statements.BEGIN, *row) is None:
                    return False
                rows = [_chunk(held[0], entry.file_id, each) for each in entry.accepted]
                await connection.executemany(statements.PUT_CHUNKS, rows)
                return True

        return await self._pool.run(work)

    async def record(self, held: Held, file_id: str, chunk: ChunkReceipt) -> bool:
        row = (file_id, chunk.first, chunk.last, chunk.md5, chunk.attempts)
        return await self._value(statements.RECORD, *held, *row) is not None

    async def advance(self, held: Held, phase: Phase) -> bool:
        sql = f"UPDATE iqiyi_batch_item SET phase = $3, changed = {EPOCH} WHERE {HELD} RETURNING 1"  # noqa: S608
        return await self._value(sql, *held, phase.value) is not None

    async def forget(self, held: Held) -> bool:
        async def work(connection: Any) -> bool:
            async with connection.transaction():
                done = await connection.fetchval(
                    "UPDATE iqiyi_batch_item SET file_id = '', phase = '', entry = '', digest = ''"  # noqa: S608
                    f" WHERE {HELD} RETURNING 1",
                    *held,
                )
                if done is not None:
                    await connection.execute("DELETE FROM iqiyi_batch_chunk WHERE n = $1", held[0])
                return done is not None

        return await self._pool.run(work)

    async def find(self, number: int, size: int, digest: str) -> tuple[JournalEntry, ...]:
        async def work(connection: Any) -> tuple[JournalEntry, ...]:
            rows = await connection.fetch(
                f"SELECT {statements.ENTRY} FROM iqiyi_batch_item WHERE digest = $1 AND digest <> '' AND size = $2"  # noqa: S608
                " AND phase = $3 AND n <> $4 LIMIT 100",
                *(digest, size, Phase.FINISHED.value, number),
            )
            found = [await _entry(connection, row, f"item {row[0]}") for row in rows]
            return tuple(entry for entry in found if entry is not None)

        return await self._pool.run(work)

    # The batch

    async def outlook(self) -> Outlook:
        rows = await self._rows(
            "SELECT (SELECT count(*) FROM iqiyi_batch_item WHERE batch = b.id AND state = 'waiting'),"  # noqa: S608
            " (SELECT count(*) FROM iqiyi_batch_item WHERE batch = b.id AND state = 'held'),"
            " (SELECT count(*) FROM iqiyi_batch_item WHERE batch = b.id AND state = 'uploaded'),"
            " greatest(0, extract(epoch FROM least("
            "  (SELECT min(not_before) FROM iqiyi_batch_item WHERE batch = b.id AND state = 'waiting'"
            "   AND not_before > '-infinity'),"
            "  (SELECT min(expires) FROM iqiyi_batch_item WHERE batch = b.id AND state = 'held')"
            f" ) - {NOW}))::double precision, stopping, problem FROM iqiyi_batch b WHERE id = $1",
            self._batch,
        )
        if not rows:
            return Outlook(0, 0, 0, 0.0, stopping=True, problem="the ledger was replaced")
        waiting, held, reviewed, due, stopping, problem = rows[0]
        return Outlook(waiting, held, reviewed, due or 0.0, stopping, problem)

    async def status(self) -> BatchStatus:
        async def work(connection: Any) -> BatchStatus:
            counts = await connection.fetch(
                "SELECT state, count(*) FROM iqiyi_batch_item WHERE batch = $1 GROUP BY state", self._batch
            )
            size = await connection.fetchval(
                "SELECT coalesce(sum(size), 0)::bigint FROM iqiyi_batch_item WHERE batch = $1 AND state IN"
                " ('uploaded', 'published', 'review_failed', 'publish_failed')",
                self._batch,
            )
            runners = await connection.fetchval(
                f"SELECT count(*) FROM iqiyi_batch_slot WHERE batch = $1 AND expires > {NOW}",  # noqa: S608
                self._batch,
            )
            stop = await connection.fetchrow("SELECT stopping, problem FROM iqiyi_batch WHERE id = $1", self._batch)
            stopping, problem = (True, "the ledger was replaced") if stop is None else stop
            return BatchStatus(**dict(counts), bytes=size, runners=runners, stopping=stopping, problem=problem)

        return await self._pool.run(work)

    async def records(self, after: int, limit: int) -> list[ItemRecord]:
        rows = await self._rows(
            "SELECT n, source, metadata, state, file_id, page, size, seconds, attempts, error, hint, key"
            " FROM iqiyi_batch_item WHERE batch = $1 AND n > $2 ORDER BY n LIMIT $3",
            *(self._batch, after, limit),
        )
        return [record_of(row) for row in rows]

    async def states_of(self, sources: Sequence[str]) -> list[tuple[str, ItemState]]:
        rows = await self._rows(
            "SELECT source, state FROM iqiyi_batch_item WHERE batch = $1 AND source = ANY($2::text[])",
            *(self._batch, list(sources)),
        )
        return [(row[0], ItemState(row[1])) for row in rows]

    async def set_pages(self, pages: Sequence[tuple[int, str]]) -> None:
        await self._rows(
            "UPDATE iqiyi_batch_item AS item SET page = t.page FROM unnest($1::bigint[], $2::text[]) AS t (n, page)"
            " WHERE item.n = t.n",
            *_columns(pages),
        )

    async def retry_failed(self) -> int:
        async def work(connection: Any) -> int:
            async with connection.transaction():
                # What was a video and is none that is shown: a new one is uploaded.
                over = await connection.fetch(
                    "UPDATE iqiyi_batch_item SET file_id = '', phase = '', entry = '', digest = '', page = '', size = 0"
                    " WHERE batch = $1 AND state IN ('review_failed', 'publish_failed') RETURNING n",
                    self._batch,
                )
                await connection.execute(
                    "DELETE FROM iqiyi_batch_chunk WHERE n = ANY($1::bigint[])", [row[0] for row in over]
                )
                done = await connection.execute(
                    "UPDATE iqiyi_batch_item SET state = 'waiting', attempts = 0, not_before = '-infinity', error = '',"
                    " hint = '', owner = NULL"
                    " WHERE batch = $1 AND state IN ('failed', 'review_failed', 'publish_failed')",
                    self._batch,
                )
                return int(done.rpartition(" ")[2])

        return await self._pool.run(work)

    async def stop(self, problem: str = "") -> None:
        await self._value("UPDATE iqiyi_batch SET stopping = true, problem = $2 WHERE id = $1", self._batch, problem)

    async def clear_stop(self) -> None:
        await self._value("UPDATE iqiyi_batch SET stopping = false, problem = '' WHERE id = $1", self._batch)

    # The runners

    async def take_slot(self, ttl: float) -> Held:
        async def work(connection: Any) -> Held:
            while True:
                row = await connection.fetchrow(
                    "WITH free AS (SELECT k FROM iqiyi_batch_slot WHERE batch = $1"  # noqa: S608
                    f" AND expires <= {NOW} ORDER BY k LIMIT 1 FOR UPDATE SKIP LOCKED)"
                    f" UPDATE iqiyi_batch_slot AS item SET fence = {FENCE}, taken = {NOW}, renewed = {NOW},"
                    f" expires = {NOW} + $2 * interval '1 second' FROM free WHERE item.batch = $1 AND item.k = free.k"
                    " RETURNING item.k, item.fence",
                    *(self._batch, ttl),
                )
                row = row or await connection.fetchrow(
                    "INSERT INTO iqiyi_batch_slot AS item (batch, k, fence, expires, taken, renewed)"  # noqa: S608
                    " SELECT $1, coalesce((SELECT max(k) FROM iqiyi_batch_slot WHERE batch = $1), 0) + 1,"
                    f" (extract(epoch FROM {NOW}) * 1000000)::bigint, {NOW} + $2 * interval '1 second',"
                    f" {NOW}, {NOW} ON CONFLICT DO NOTHING RETURNING k, fence",
                    *(self._batch, ttl),
                )
                if row is not None:
                    return (row[0], row[1])

        return await self._pool.run(work)

    async def renew_slot(self, slot: Held, ttl: float) -> tuple[bool, int, bool]:
        async def work(connection: Any) -> tuple[bool, int, bool]:
            kept = await connection.fetchval(
                f"UPDATE iqiyi_batch_slot SET renewed = {NOW}, expires = {NOW} + $4 * interval '1 second'"  # noqa: S608
                " WHERE batch = $1 AND k = $2 AND fence = $3 RETURNING 1",
                *(self._batch, *slot, ttl),
            )
            others = await connection.fetch(
                "SELECT renewed > (SELECT taken FROM iqiyi_batch_slot WHERE batch = $1 AND k = $2)"  # noqa: S608
                f" FROM iqiyi_batch_slot WHERE batch = $1 AND k <> $2 AND expires > {NOW}",
                *(self._batch, slot[0]),
            )
            return kept is not None, len(others) + 1, all(row[0] for row in others)

        return await self._pool.run(work)

    async def free_slot(self, slot: Held) -> None:
        await self._value(
            "UPDATE iqiyi_batch_slot SET expires = '-infinity' WHERE batch = $1 AND k = $2 AND fence = $3",
            *(self._batch, *slot),
        )

    @property
    def _batch(self) -> int:
        """The number of the batch, known once a connection was made."""
        return self._pool.batch

    async def _claim(self, due: str, state: str, limit: int, ttl: float, *, uploaded: bool) -> list[Claim]:
        rows = await self._rows(
            f"WITH {due} UPDATE iqiyi_batch_item AS item SET state = {state}, fence = {FENCE}, owner = $3,"  # noqa: S608
            f" expires = {NOW} + $4 * interval '1 second' FROM due WHERE item.n = due.n"
            f" AND NOT (SELECT stopping FROM iqiyi_batch WHERE id = $1) RETURNING {statements.CLAIMED}",
            *(self._batch, limit, uuid.uuid4(), ttl),
        )
        return sorted((claim_of(row, uploaded=uploaded) for row in rows), key=lambda claim: claim.number)

    async def _rows(self, sql: str, *values: Any) -> list[Any]:
        return await self._pool.run(lambda connection: connection.fetch(sql, *values))

    async def _value(self, sql: str, *values: Any) -> Any:
        return await self._pool.run(lambda connection: connection.fetchval(sql, *values))


def _columns(rows: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [row[0] for row in rows], [row[1] for row in rows]


def _chunk(number: int, file_id: str, chunk: ChunkReceipt) -> tuple[Any, ...]:
    return (number, file_id, chunk.first, chunk.last, chunk.md5, chunk.attempts)


async def _entry(connection: Any, row: Any, key: str) -> JournalEntry | None:
    number, file_id, phase, text, changed = row
    entry = entry_from_json(text, file_id=file_id, phase=phase, changed=changed, key=key)
    if entry is None:
        return None
    ranges = await connection.fetch(
        "SELECT first, last, md5, attempts FROM iqiyi_batch_chunk WHERE n = $1 AND file_id = $2 ORDER BY first",
        *(number, file_id),
    )
    return attrs.evolve(entry, accepted=tuple(ChunkReceipt(*each) for each in ranges))
