"""The tables of ledgers in PostgreSQL, and the connections to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ...errors import ConfigurationError
from .base import LedgerError

try:
    from ...stores._postgres_pool import DatabaseError, PostgresPool
except ImportError as _missing:
    raise ImportError(
        "a ledger in PostgreSQL needs asyncpg: pip install 'iqiyi-async[postgres]'", name="asyncpg"
    ) from _missing

T = TypeVar("T")

#: Tables are made by one runner at a time: the number of an advisory lock ("iqiL").
SETTING_UP = 0x6971694C

SCHEMA = """
CREATE TABLE IF NOT EXISTS iqiyi_batch (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
    stopping boolean NOT NULL DEFAULT false, problem text NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS iqiyi_batch_item (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, batch bigint NOT NULL REFERENCES iqiyi_batch (id),
    identity text NOT NULL, source text NOT NULL, metadata text NOT NULL, file_type text NOT NULL, key text NOT NULL,
    manifest text NOT NULL, state text NOT NULL, fence bigint NOT NULL DEFAULT 0, owner uuid, expires timestamptz,
    attempts integer NOT NULL DEFAULT 0, not_before timestamptz NOT NULL DEFAULT '-infinity',
    file_id text NOT NULL DEFAULT '', phase text NOT NULL DEFAULT '', entry text NOT NULL DEFAULT '',
    digest text NOT NULL DEFAULT '', size bigint NOT NULL DEFAULT 0, changed double precision NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0, page text NOT NULL DEFAULT '', error text NOT NULL DEFAULT '',
    hint text NOT NULL DEFAULT '', UNIQUE (batch, identity)) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS iqiyi_batch_item_waiting ON iqiyi_batch_item (batch, n) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS iqiyi_batch_item_held ON iqiyi_batch_item (batch, n) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS iqiyi_batch_item_uploaded ON iqiyi_batch_item (batch, n) WHERE state = 'uploaded';
CREATE INDEX IF NOT EXISTS iqiyi_batch_item_digest ON iqiyi_batch_item (digest) WHERE digest <> '';
CREATE TABLE IF NOT EXISTS iqiyi_batch_chunk (
    n bigint NOT NULL REFERENCES iqiyi_batch_item (n) ON DELETE CASCADE, file_id text NOT NULL, first bigint NOT NULL,
    last bigint NOT NULL, md5 text NOT NULL, attempts integer NOT NULL, PRIMARY KEY (n, file_id, first));
CREATE TABLE IF NOT EXISTS iqiyi_batch_slot (
    batch bigint NOT NULL REFERENCES iqiyi_batch (id), k bigint NOT NULL, fence bigint NOT NULL,
    expires timestamptz NOT NULL, taken timestamptz NOT NULL, renewed timestamptz NOT NULL, PRIMARY KEY (batch, k));
"""


_ITEM = (
    "n, batch, identity, source, metadata, file_type, key, manifest, state, fence, owner, expires, attempts,"
    " not_before, file_id, phase, entry, digest, size, changed, seconds, page, error, hint"
)
#: Reads nothing, and fails where a column is missing.
PROBE = f"""
SELECT 1 WHERE EXISTS (SELECT id, name, stopping, problem FROM iqiyi_batch LIMIT 0)
    OR EXISTS (SELECT {_ITEM} FROM iqiyi_batch_item LIMIT 0)
    OR EXISTS (SELECT n, file_id, first, last, md5, attempts FROM iqiyi_batch_chunk LIMIT 0)
    OR EXISTS (SELECT batch, k, fence, expires, taken, renewed FROM iqiyi_batch_slot LIMIT 0)
"""  # noqa: S608
#: What a server says of a column or a table that is missing.
_MISSING = ("42703", "42P01")


class LedgerPool:
    """A few connections to the database of a ledger.

    Args:
        dsn: of the database. It may hold a password, and is never shown.
        name: of the batch.
    """

    def __init__(self, dsn: str, name: str) -> None:
        self._name = name
        self._pool = PostgresPool(dsn, what="the ledger", application="iqiyi-async batch", set_up=self._set_up)
        self.batch: int = 0

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with a connection, in a transaction of its own where it says so.

        Raises:
            LedgerError: the database can't be reached, or refuses.
        """
        try:
            return await self._pool.run(work)
        except DatabaseError as problem:
            raise LedgerError(str(problem), lasting=problem.refused) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _set_up(self, connection: Any) -> None:
        """Make the tables and the batch, where they are missing: who may not make tables finds them."""
        if await connection.fetchval("SELECT to_regclass('iqiyi_batch_slot')") is None:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", SETTING_UP)
                await connection.execute(SCHEMA)
        await self._check_tables(connection)
        find = "SELECT id FROM iqiyi_batch WHERE name = $1"
        batch = await connection.fetchval(find, self._name)
        if batch is None:
            await connection.execute("INSERT INTO iqiyi_batch (name) VALUES ($1) ON CONFLICT DO NOTHING", self._name)
            batch = await connection.fetchval(find, self._name)
        self.batch = int(batch)

    async def _check_tables(self, connection: Any) -> None:
        try:
            await connection.execute(PROBE)
        except Exception as problem:
            if getattr(problem, "sqlstate", None) not in _MISSING:
                raise
            raise ConfigurationError(
                f"the tables of the ledger in PostgreSQL are of another release of iqiyi-async ({problem}): give the"
                " ledger another database"
            ) from None
