"""The connections of a ledger to PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, TypeVar

from .ledger import LedgerError

try:
    # It has no types.
    asyncpg: Any = import_module("asyncpg")
except ImportError as _missing:
    raise ImportError("a ledger in PostgreSQL needs asyncpg: pip install 'iqiyi-async[postgres]'") from _missing

T = TypeVar("T")

#: So many connections at the most: statements are short, and heartbeats must not wait behind them for long.
CONNECTIONS = 4
#: A statement, and a connection, that takes longer has failed (seconds).
PATIENCE, CONNECTING = 30.0, 10.0
#: Statements that other transactions have got in the way of are said again, so often.
TRIES = 5
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

#: The last is how asyncpg says that a server has ended a connection while it was being made.
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, asyncpg.InternalClientError)
_PASSING = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """Our statements leave nothing behind: nothing has to be reset after each."""

    def get_reset_query(self) -> str:
        """No statement."""
        return ""


class PostgresPool:
    """A few connections to one database, made when they are needed.

    Args:
        dsn: of the database. It may hold a password, and is never shown.
        name: of the batch.
    """

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self.batch: int = 0

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with a connection, in a transaction of its own where it says so.

        Raises:
            LedgerError: the database can't be reached, or refuses.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                pool = await self._open()
                # In a task of its own: connecting looks for certificates and passwords in files.
                connection = await asyncio.ensure_future(pool.acquire(timeout=PATIENCE))
                try:
                    return await work(connection)
                finally:
                    await pool.release(connection)
            except _PASSING as problem:
                if attempt == TRIES:
                    raise LedgerError(f"the ledger refuses: {problem}") from problem
            except _FAILURES as problem:
                # Its text is the server's, or the system's; the DSN stands in none of them.
                words = str(problem) or type(problem).__name__
                raise LedgerError(f"the ledger in PostgreSQL can't be used: {words}") from None

    async def aclose(self) -> None:
        """Close the connections."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECTING):
                await pool.close()
        except _FAILURES:
            pool.terminate()

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                pool = asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=CONNECTIONS,
                    command_timeout=PATIENCE,
                    timeout=CONNECTING,
                    connection_class=_Connection,
                    server_settings={"application_name": "iqiyi-async batch"},
                )
                await asyncio.ensure_future(pool)
                try:
                    connection = await asyncio.ensure_future(pool.acquire(timeout=CONNECTING))
                    try:
                        self.batch = await self._set_up(connection)
                    finally:
                        await pool.release(connection)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool = pool
            return self._pool

    async def _set_up(self, connection: Any) -> int:
        """Make the tables and the batch, where they are missing: who may not make tables finds them."""
        if await connection.fetchval("SELECT to_regclass('iqiyi_batch_slot')") is None:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", SETTING_UP)
                await connection.execute(SCHEMA)
        find = "SELECT id FROM iqiyi_batch WHERE name = $1"
        batch = await connection.fetchval(find, self._name)
        if batch is None:
            await connection.execute("INSERT INTO iqiyi_batch (name) VALUES ($1) ON CONFLICT DO NOTHING", self._name)
            batch = await connection.fetchval(find, self._name)
        return int(batch)
