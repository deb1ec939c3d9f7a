"""The tables of the journal in PostgreSQL, and the statements on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ConfigurationError
from ..models import Phase
from ._gateway_table import COLUMNS as GATEWAY
from ._gateway_table import record_of
from ._rows import COLUMNS
from .gateway import GatewayRecord

#: A release that changes the tables raises it, and changes older ones in `set_up`.
VERSION = 1
#: Tables are made by one process at a time: the number of an advisory lock ("iqiJ").
SETTING_UP = 0x6971694A

# An inode is text: some file systems count up to 2**64. The row of a lease stays when it is given back: the next fence
# must be greater, also where the clock of a server that took over is behind.
SCHEMA = """
CREATE TABLE IF NOT EXISTS iqiyi_journal_lease (
    key text PRIMARY KEY, owner text NOT NULL, fence bigint NOT NULL, expires timestamptz NOT NULL)
    WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS iqiyi_journal_lease_by_time ON iqiyi_journal_lease (expires);
CREATE TABLE IF NOT EXISTS iqiyi_journal_upload (
    key text PRIMARY KEY, file_id text NOT NULL, upload_url text NOT NULL, size bigint NOT NULL,
    mtime_ns bigint NOT NULL, inode text NOT NULL, digest text NOT NULL, device text NOT NULL, ctime_ns bigint NOT NULL,
    phase text NOT NULL, name text NOT NULL, account text NOT NULL, grp text NOT NULL, file_type text NOT NULL,
    metadata text NOT NULL, remember double precision NOT NULL, changed double precision NOT NULL);
CREATE INDEX IF NOT EXISTS iqiyi_journal_upload_by_content ON iqiyi_journal_upload (size, digest);
CREATE INDEX IF NOT EXISTS iqiyi_journal_upload_finished ON iqiyi_journal_upload ((changed + remember))
    WHERE phase = 'finished';
CREATE INDEX IF NOT EXISTS iqiyi_journal_upload_unfinished ON iqiyi_journal_upload (account, changed)
    WHERE phase <> 'finished';
CREATE TABLE IF NOT EXISTS iqiyi_journal_range (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL REFERENCES iqiyi_journal_upload (key) ON DELETE CASCADE,
    first bigint NOT NULL, last bigint NOT NULL, md5 text NOT NULL, attempts integer NOT NULL);
CREATE INDEX IF NOT EXISTS iqiyi_journal_range_of_upload ON iqiyi_journal_range (key);
CREATE TABLE IF NOT EXISTS iqiyi_journal_gateway (
    key text PRIMARY KEY, owner text NOT NULL, details text NOT NULL, size bigint, expires double precision NOT NULL,
    accepted bigint NOT NULL, received bigint NOT NULL, state text NOT NULL, file_id text NOT NULL,
    problem text NOT NULL, releases bigint NOT NULL DEFAULT 0, expired_by bigint);
CREATE INDEX IF NOT EXISTS iqiyi_journal_gateway_by_time ON iqiyi_journal_gateway (expires);
CREATE INDEX IF NOT EXISTS iqiyi_journal_gateway_expired ON iqiyi_journal_gateway (expired_by)
    WHERE expired_by IS NOT NULL;
CREATE TABLE IF NOT EXISTS iqiyi_journal (version integer NOT NULL);
"""

_NOW = "clock_timestamp()"
_EPOCH = f"extract(epoch FROM {_NOW})::double precision"
_MICROSECONDS = f"(extract(epoch FROM {_NOW}) * 1000000)::bigint"
_LATER = f"{_NOW} + $3::double precision * interval '1 second'"
#: The lease of a write: another claim waits until the write is done.
_HELD = "held AS (SELECT key FROM iqiyi_journal_lease WHERE key = $1 AND fence = $2 AND owner <> '' FOR SHARE)"

ACQUIRE = f"""
INSERT INTO iqiyi_journal_lease AS lease (key, owner, fence, expires) VALUES ($1, $2, {_MICROSECONDS}, {_LATER})
ON CONFLICT (key) DO UPDATE SET owner = EXCLUDED.owner, fence = greatest(lease.fence + 1, {_MICROSECONDS}),
    expires = {_LATER}
WHERE lease.owner IN ('', EXCLUDED.owner) OR lease.expires <= {_NOW}
RETURNING fence
"""  # noqa: S608
RENEW = f"""
UPDATE iqiyi_journal_lease SET expires = {_LATER} WHERE key = $1 AND fence = $2 AND owner <> '' RETURNING 1
"""  # noqa: S608
RELEASE = f"""
UPDATE iqiyi_journal_lease SET owner = '', expires = {_NOW} WHERE key = $1 AND fence = $2 AND owner <> '' RETURNING 1
"""  # noqa: S608
RELEASED = "SELECT 1 FROM iqiyi_journal_lease WHERE key = $1 AND fence = $2 AND owner = ''"
HOLD = "SELECT 1 FROM iqiyi_journal_lease WHERE key = $1 AND fence = $2 AND owner <> '' FOR UPDATE"
IS_HELD = f"SELECT owner <> '' AND expires > {_NOW} FROM iqiyi_journal_lease WHERE key = $1 FOR UPDATE"  # noqa: S608

_ENTRY = f"""
SELECT upload.key, {COLUMNS}, changed, part.first, part.last, part.md5, part.attempts
FROM iqiyi_journal_upload upload LEFT JOIN LATERAL (
    SELECT array_agg(first ORDER BY n) AS first, array_agg(last ORDER BY n) AS last, array_agg(md5 ORDER BY n) AS md5,
           array_agg(attempts ORDER BY n) AS attempts
    FROM iqiyi_journal_range WHERE key = upload.key) part ON true
"""  # noqa: S608
LOAD = f"{_ENTRY} WHERE upload.key = $1"
FIND = f"{_ENTRY} WHERE upload.size = $1 AND upload.digest = $2 ORDER BY upload.changed LIMIT 100"
UNFINISHED = f"{_ENTRY} WHERE upload.account = $1 AND upload.phase <> '{Phase.FINISHED.value}' ORDER BY upload.changed"
_VALUES = ", ".join(f"${number}" for number in range(2, 3 + COLUMNS.count(",")))
_REPLACED = ", ".join(f"{name} = EXCLUDED.{name}" for name in [*COLUMNS.split(", "), "changed"])
PUT = f"""
INSERT INTO iqiyi_journal_upload (key, {COLUMNS}, changed) VALUES ($1, {_VALUES}, {_EPOCH})
ON CONFLICT (key) DO UPDATE SET {_REPLACED}
"""  # noqa: S608
DELETE_RANGES = "DELETE FROM iqiyi_journal_range WHERE key = $1"
PUT_RANGES = """
INSERT INTO iqiyi_journal_range (key, first, last, md5, attempts)
SELECT $1, part.first, part.last, part.md5, part.attempts
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::integer[]) WITH ORDINALITY
     AS part (first, last, md5, attempts, place)
ORDER BY part.place
"""
RECORD = f"""
WITH {_HELD} INSERT INTO iqiyi_journal_range (key, first, last, md5, attempts)
SELECT upload.key, $3, $4, $5, $6 FROM iqiyi_journal_upload upload JOIN held ON held.key = upload.key RETURNING 1
"""  # noqa: S608
#: The range of a write whose answer was lost.
RECORDED = f"""
WITH {_HELD} SELECT 1 FROM iqiyi_journal_range part JOIN held ON held.key = part.key
WHERE first = $3 AND last = $4 AND md5 = $5 AND attempts = $6
"""  # noqa: S608
ADVANCE = f"""
WITH {_HELD} UPDATE iqiyi_journal_upload upload SET phase = $3, changed = {_EPOCH} FROM held
WHERE upload.key = held.key RETURNING 1
"""  # noqa: S608
FORGET = "DELETE FROM iqiyi_journal_upload WHERE key = $1"
PRUNE_UPLOADS = f"""
DELETE FROM iqiyi_journal_upload WHERE key IN (
    SELECT key FROM iqiyi_journal_upload WHERE phase = '{Phase.FINISHED.value}' AND changed + remember < {_EPOCH}
    ORDER BY changed + remember LIMIT $1 FOR UPDATE SKIP LOCKED)
"""  # noqa: S608
PRUNE_LEASES = f"""
DELETE FROM iqiyi_journal_lease WHERE key IN (
    SELECT key FROM iqiyi_journal_lease WHERE expires < {_NOW} - interval '1 day'
    ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED)
"""  # noqa: S608

CREATE_UPLOAD = f"""
INSERT INTO iqiyi_journal_gateway ({GATEWAY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)
ON CONFLICT (key) DO NOTHING RETURNING 1
"""  # noqa: S608
LOAD_UPLOAD = f"SELECT {GATEWAY} FROM iqiyi_journal_gateway WHERE key = $1"  # noqa: S608
SET_OFFSET = f"""
WITH {_HELD} UPDATE iqiyi_journal_gateway record SET accepted = $3, received = $4, expires = $5 FROM held
WHERE record.key = held.key RETURNING 1
"""  # noqa: S608
UPDATE_UPLOAD = f"""
WITH {_HELD} UPDATE iqiyi_journal_gateway record SET details = $3, size = $4, expires = $5, accepted = $6,
    received = $7, state = $8, file_id = $9, problem = $10
FROM held WHERE record.key = held.key RETURNING 1
"""  # noqa: S608
REQUEST_RELEASE = "UPDATE iqiyi_journal_gateway SET releases = releases + 1 WHERE key = $1 RETURNING 1"
REMOVE_UPLOADS = f"""
DELETE FROM iqiyi_journal_gateway WHERE key IN (
    SELECT key FROM iqiyi_journal_gateway WHERE state <> ALL ($1::text[]) AND expires < {_EPOCH}
    ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED)
"""  # noqa: S608
EXPIRE_UPLOADS = f"""
WITH over AS (
    SELECT key FROM iqiyi_journal_gateway WHERE state = ANY ($1::text[]) AND expires < {_EPOCH}
    ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED)
UPDATE iqiyi_journal_gateway record SET state = $3, expires = {_EPOCH} + $4::double precision, expired_by = $5
FROM over WHERE record.key = over.key
RETURNING {", ".join(f"record.{name}" for name in GATEWAY.split(", "))}
"""  # noqa: S608
EXPIRED_BY = f"SELECT {GATEWAY} FROM iqiyi_journal_gateway WHERE expired_by = $1"  # noqa: S608


async def set_up(connection: Any) -> None:
    """Make the tables where they are missing: who may not make tables finds them.

    Raises:
        ConfigurationError: they were made by a later release.
    """
    if await connection.fetchval("SELECT to_regclass('iqiyi_journal')") is None:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", SETTING_UP)
            if await connection.fetchval("SELECT to_regclass('iqiyi_journal')") is None:
                await connection.execute(SCHEMA)
                await connection.execute("INSERT INTO iqiyi_journal (version) VALUES ($1)", VERSION)
    version = await connection.fetchval("SELECT max(version) FROM iqiyi_journal")
    if version != VERSION:
        raise ConfigurationError(
            f"the tables of the upload journal in PostgreSQL have version {version}, and this release of iqiyi-async"
            f" knows version {VERSION}: install a later release, or give the journal another database"
        )


def gateway_record(row: Sequence[Any]) -> GatewayRecord | None:
    """The record of a row; None if it can't be right."""
    return record_of(tuple(row))
