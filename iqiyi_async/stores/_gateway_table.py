"""The records of a gateway in SQLite: one row for each upload, in the journal's own database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._rows import NO_VALUE
from .gateway import EXPIRED_FOR, GatewayRecord, GatewayState

if TYPE_CHECKING:
    from sqlite3 import Connection

# Created when the database is opened, not with the journal's own tables: there are databases without it.
SCHEMA = """CREATE TABLE IF NOT EXISTS gateway (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    details TEXT NOT NULL,
    size INTEGER,
    expires REAL NOT NULL,
    accepted INTEGER NOT NULL,
    received INTEGER NOT NULL,
    state TEXT NOT NULL,
    file_id TEXT NOT NULL,
    problem TEXT NOT NULL,
    releases INTEGER NOT NULL
)"""
INDEX = "CREATE INDEX IF NOT EXISTS gateway_by_time ON gateway (expires)"

COLUMNS = "key, owner, details, size, expires, accepted, received, state, file_id, problem, releases"
_HELD = "EXISTS (SELECT 1 FROM leases WHERE leases.key = gateway.key AND fence = ? AND owner != '')"


def make(database: Connection) -> None:
    """Add the table where it is missing."""
    database.execute(SCHEMA)
    database.execute(INDEX)


def create(database: Connection, *, record: GatewayRecord) -> bool:
    done = database.execute(
        f"INSERT OR IGNORE INTO gateway ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",  # noqa: S608
        (
            *(record.key, record.owner, record.details, record.size, record.expires, record.offset, record.received),
            *(record.state.value, record.file_id, record.problem),
        ),
    )
    return done.rowcount == 1


def load(database: Connection, *, key: str) -> GatewayRecord | None:
    row = database.execute(f"SELECT {COLUMNS} FROM gateway WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return None if row is None else record_of(row)


def set_offset(database: Connection, *, key: str, fence: int, offset: int, received: int, expires: float) -> bool:
    done = database.execute(
        f"UPDATE gateway SET accepted = ?, received = ?, expires = ? WHERE key = ? AND {_HELD}",  # noqa: S608
        (offset, received, expires, key, fence),
    )
    return done.rowcount == 1


def update(database: Connection, *, record: GatewayRecord, fence: int) -> bool:
    done = database.execute(
        "UPDATE gateway SET details = ?, size = ?, expires = ?, accepted = ?, received = ?, state = ?, file_id = ?,"  # noqa: S608
        f" problem = ? WHERE key = ? AND {_HELD}",
        (
            *(record.details, record.size, record.expires, record.offset, record.received, record.state.value),
            *(record.file_id, record.problem, record.key, fence),
        ),
    )
    return done.rowcount == 1


def request_release(database: Connection, *, key: str) -> bool:
    return database.execute("UPDATE gateway SET releases = releases + 1 WHERE key = ?", (key,)).rowcount == 1


def expire(database: Connection, *, now: float, limit: int) -> tuple[GatewayRecord, ...]:
    waiting = [state.value for state in GatewayState if not state.ended]
    rows = database.execute(
        f"SELECT {COLUMNS} FROM gateway WHERE state IN (?, ?) AND expires < ? ORDER BY expires LIMIT ?",  # noqa: S608
        (*waiting, now, limit),
    ).fetchall()
    database.execute(
        "DELETE FROM gateway WHERE key IN (SELECT key FROM gateway WHERE state NOT IN (?, ?) AND expires < ? LIMIT ?)",
        (*waiting, now, limit),
    )
    database.executemany(
        "UPDATE gateway SET state = ?, expires = ? WHERE key = ?",
        [(GatewayState.EXPIRED.value, now + EXPIRED_FOR, row[0]) for row in rows],
    )
    found = [load(database, key=str(row[0])) for row in rows]
    return tuple(record for record in found if record is not None)


def record_of(row: Sequence[Any]) -> GatewayRecord | None:
    key, owner, details, size, expires, offset, received, state, file_id, problem, releases = row
    try:
        return GatewayRecord(
            key=str(key),
            owner=str(owner),
            details=str(details),
            size=None if size is None else int(size),
            expires=float(expires),
            offset=int(offset),
            received=int(received),
            state=GatewayState(state),
            file_id=str(file_id),
            problem=str(problem),
            releases=int(releases),
        )
    except NO_VALUE:
        return None
