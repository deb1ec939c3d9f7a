"""The longer statements of a ledger in SQLite. All of them run in the file's thread."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ...models import ChunkReceipt, JournalEntry
from ..models import Claim, Ending, NewItem
from .base import Held
from .rows import claim_of, columns_of, entry_from_json

#: Takes up to so many items of a batch, at a time, for so many seconds.
ClaimStatement = Callable[[sqlite3.Connection, int, int, float, float], list[Claim]]

#: Values in one list of a statement: older SQLite takes up to 999.
LOT = 500
INSERT_CHUNK = "INSERT OR REPLACE INTO chunk (n, file_id, first, last, md5, attempts) VALUES (?, ?, ?, ?, ?, ?)"
_CLAIMED = "n, fence, source, metadata, file_type, key, attempts, file_id, size"
#: What may be claimed, each kind by its own index: otherwise all that is done would be passed by.
_DUE = """
SELECT n FROM (SELECT n FROM item INDEXED BY item_held
               WHERE batch = :batch AND state = 'held' AND expires <= :now ORDER BY n LIMIT :most)
UNION ALL
SELECT n FROM (SELECT n FROM item INDEXED BY item_waiting
               WHERE batch = :batch AND state = 'waiting' AND not_before <= :now ORDER BY n LIMIT :most)
LIMIT :most
"""
_DUE_UPLOADED = """
SELECT n FROM item INDEXED BY item_uploaded
WHERE batch = :batch AND state = 'uploaded' AND (owner IS NULL OR expires <= :now) ORDER BY n LIMIT :most
"""


def add(database: sqlite3.Connection, batch: int, items: Sequence[NewItem]) -> int:
    """Write items; those that are known and not begun, or that have failed without a video, are changed. Of one that is
    under way only the source is: a URL may have a new signature. Gives how many are new."""
    before = database.total_changes
    database.executemany(
        "INSERT OR IGNORE INTO item (batch, identity, source, metadata, file_type, key, manifest, state, error)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(batch, *columns_of(item), "invalid" if item.problem else "waiting", item.problem) for item in items],
    )
    added = database.total_changes - before
    if added < len(items):
        fresh = "(state = 'waiting' AND entry = '' OR state = 'failed' AND phase IN ('', 'sending'))"
        database.executemany(
            f"UPDATE item SET source = ?, metadata = CASE WHEN {fresh} THEN ? ELSE metadata END,"  # noqa: S608
            f" file_type = CASE WHEN {fresh} THEN ? ELSE file_type END"
            f" WHERE batch = ? AND identity = ? AND ({fresh} OR state IN ('waiting', 'held'))",
            [(item.source, item.metadata, item.file_type, batch, item.identity) for item in items if not item.problem],
        )
    return added


def claim(database: sqlite3.Connection, batch: int, limit: int, now: float, ttl: float) -> list[Claim]:
    """Take items that are due."""
    return _take(database, _DUE, batch, limit, now, ttl, uploaded=False)


def claim_uploaded(database: sqlite3.Connection, batch: int, limit: int, now: float, ttl: float) -> list[Claim]:
    """Take uploaded items that nobody waits for."""
    return _take(database, _DUE_UPLOADED, batch, limit, now, ttl, uploaded=True)


def _take(
    database: sqlite3.Connection, due: str, batch: int, limit: int, now: float, ttl: float, *, uploaded: bool
) -> list[Claim]:
    state = "state" if uploaded else "'held'"
    values = {"batch": batch, "now": now, "most": limit, "owner": uuid.uuid4().hex, "expires": now + ttl}
    rows = database.execute(
        f"UPDATE item SET state = {state}, fence = max(fence + 1, :fence), owner = :owner, expires = :expires"  # noqa: S608
        f" WHERE n IN ({due}) RETURNING {_CLAIMED}",
        {**values, "fence": int(now * 1e6)},
    ).fetchall()
    return sorted((claim_of(row, uploaded=uploaded) for row in rows), key=lambda claim: claim.number)


def end(database: sqlite3.Connection, held: Held, ending: Ending, now: float) -> bool:
    """Write what a claim has come to."""
    values = {
        **attrs.asdict(ending, recurse=False),
        "n": held[0],
        "fence": held[1],
        "state": ending.state.value,
        "now": now,
        "not_before": now + ending.delay if ending.delay else 0,
    }
    mine = "WHERE n = :n AND fence = :fence"
    done = database.execute(
        "UPDATE item SET state = :state, attempts = :attempts, not_before = :not_before,"  # noqa: S608
        " phase = CASE :state WHEN 'uploaded' THEN 'finished' ELSE phase END,"
        " changed = CASE :state WHEN 'uploaded' THEN :now ELSE changed END,"
        " file_id = CASE :file_id WHEN '' THEN file_id ELSE :file_id END,"
        " size = CASE :size WHEN 0 THEN size ELSE :size END,"
        " seconds = CASE :seconds WHEN 0 THEN seconds ELSE :seconds END, error = :error, hint = :hint,"
        " owner = CASE WHEN :keep THEN owner END, expires = CASE WHEN :keep THEN expires ELSE 0 END"
        f" {mine} AND owner IS NOT NULL",
        values,
    )
    if done.rowcount:
        return True
    # An answer was lost, and it is said again.
    return database.execute(f"SELECT 1 FROM item {mine} AND state = :state", values).fetchone() is not None  # noqa: S608


def entry_of(database: sqlite3.Connection, row: tuple[Any, ...], key: str) -> JournalEntry | None:
    """The journal entry of a row, with its ranges."""
    number, file_id, phase, text, changed = row
    entry = entry_from_json(text, file_id=file_id, phase=phase, changed=changed, key=key)
    if entry is None:
        return None
    ranges = database.execute(
        "SELECT first, last, md5, attempts FROM chunk WHERE n = ? AND file_id = ? ORDER BY first",
        (number, file_id),
    ).fetchall()
    return attrs.evolve(entry, accepted=tuple(ChunkReceipt(*each) for each in ranges))
