"""The upload journal in PostgreSQL, for any number of machines.

The database's clock is the only one (`clock_timestamp()`: `now()` is the beginning of a transaction). Each write locks
the row of the lease whose fence it carries, so that another claim comes either before it or after it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import attrs

from ..errors import ConfigurationError
from ..models import ChunkReceipt, JournalEntry, Phase
from . import _postgres_tables as tables
from ._rows import columns_of, entry_of
from .gateway import EXPIRED_FOR, GatewayRecord, GatewayState

if TYPE_CHECKING:
    from ._postgres_pool import PostgresPool

__all__ = ["PostgresJournal"]

T = TypeVar("T")

#: A statement that takes longer has failed (seconds).
STATEMENT = 10.0
#: A server that is away is asked again for so many seconds, with pauses that grow from one to the other.
PATIENCE, FIRST_PAUSE, LAST_PAUSE = 15.0, 0.05, 1.0
#: So many old rows are removed at a time, with every so many new uploads.
LOT, EVERY = 50, 20


@attrs.frozen
class _Attempt:
    """One attempt at something.

    Attributes:
        connection: to the database.
        again: whether an earlier attempt may have succeeded, its answer having been lost.
    """

    connection: Any
    again: bool

    async def row(self, sql: str, *values: Any) -> Any:
        """The first row of an answer, or None."""
        return await self.connection.fetchrow(sql, *values)

    async def rows(self, sql: str, *values: Any) -> Sequence[Any]:
        """The rows of an answer."""
        rows: Sequence[Any] = await self.connection.fetch(sql, *values)
        return rows


class PostgresJournal:
    """Uploads in a PostgreSQL database (11 or later), for any number of tasks, event loops, processes and machines.

    Where one machine dies, another goes on with its uploads once their leases are over. Because machines share it, an
    upload whose lease can't be renewed is stopped (`shared`). A server that restarts is waited for, some seconds; a
    write whose answer is lost is repeated, and its fence keeps it from having an effect out of its turn. Tables whose
    names begin with ``iqiyi_journal`` are made in the first schema of the search path, by the first process; after
    that the user needs no more rights than to read and write them.

    The journal is an asynchronous context manager that closes its connections; `aclose` does the same. Each event loop
    has connections of its own, four at the most.

    Args:
        dsn: ``postgresql://user:password@host:port/database``. It is never shown. Without a password, one is looked for
            in ``~/.pgpass`` and the environment, as `psql` does.
        patience: how long a server that is away is waited for, in seconds, once it has answered.
        clock: seconds, for `patience`; it never goes back.

    Raises:
        ConfigurationError: `dsn` is no URL of a PostgreSQL server.
        ImportError: asyncpg is not installed; it comes with ``pip install 'iqiyi-async[postgres]'``.

    Every method raises `OSError` if the database can't be reached or refuses, and `ConfigurationError` if its tables
    are of a later release.
    """

    shared = True

    def __init__(self, dsn: str, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = _pool(dsn)
        self._patience = patience
        self._clock = clock
        self._begun = 0

    # Leases

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        """Claim a key for `ttl` seconds: its fence, or None while another owner holds it."""

        async def work(attempt: _Attempt) -> int | None:
            # The same owner may claim again, so an attempt whose answer was lost does no harm.
            row = await attempt.row(tables.ACQUIRE, key, owner, ttl)
            return None if row is None else int(row[0])

        return await self._do(work)

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        """Hold a key for `ttl` more seconds."""
        return await self._write(tables.RENEW, key, fence, ttl)

    async def release(self, key: str, fence: int) -> bool:
        """Give a claim back."""

        async def work(attempt: _Attempt) -> bool:
            if await attempt.row(tables.RELEASE, key, fence) is not None:
                return True
            return attempt.again and await attempt.row(tables.RELEASED, key, fence) is not None

        return await self._do(work)

    # Entries

    async def load(self, key: str) -> JournalEntry | None:
        """The entry of a key, or None."""

        async def work(attempt: _Attempt) -> JournalEntry | None:
            row = await attempt.row(tables.LOAD, key)
            return None if row is None else _entry(row)

        return await self._do(work)

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        """Write an entry with its ranges, in place of whatever was there."""
        self._begun += 1
        prune = self._begun % EVERY == 1

        async def work(attempt: _Attempt) -> bool:
            async with attempt.connection.transaction():
                if await attempt.row(tables.HOLD, key, fence) is None:
                    return False
                await attempt.rows(tables.DELETE_RANGES, key)
                await attempt.rows(tables.PUT, key, *columns_of(entry))
                if entry.accepted:
                    await attempt.rows(tables.PUT_RANGES, key, *_columns(entry.accepted))
            if prune:
                await attempt.rows(tables.PRUNE_UPLOADS, LOT)
                await attempt.rows(tables.PRUNE_LEASES, LOT)
            return True

        return await self._do(work)

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        """Add one accepted range."""
        values = (chunk.first, chunk.last, chunk.md5, chunk.attempts)

        async def work(attempt: _Attempt) -> bool:
            if attempt.again and await attempt.row(tables.RECORDED, key, fence, *values) is not None:
                return True
            return await attempt.row(tables.RECORD, key, fence, *values) is not None

        return await self._do(work)

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        """Note that an upload has reached a phase."""
        return await self._write(tables.ADVANCE, key, fence, phase.value)

    async def forget(self, key: str, fence: int | None = None) -> bool:
        """Remove an entry and its ranges; without a fence only while nobody holds the key."""

        async def work(attempt: _Attempt) -> bool:
            async with attempt.connection.transaction():
                if fence is None:
                    # Locked, so that nobody claims the key meanwhile.
                    row = await attempt.row(tables.IS_HELD, key)
                    if row is not None and row[0]:
                        return False
                elif await attempt.row(tables.HOLD, key, fence) is None:
                    return False
                await attempt.rows(tables.FORGET, key)
                return True

        return await self._do(work)

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        """The entries whose sources have this size and this digest of samples."""

        async def work(attempt: _Attempt) -> tuple[JournalEntry, ...]:
            found = [_entry(row) for row in await attempt.rows(tables.FIND, size, digest)]
            return tuple(entry for entry in found if entry is not None)

        return await self._do(work)

    async def unfinished(self, account: str) -> tuple[tuple[str, JournalEntry], ...]:
        """Keys and entries of an account's uploads that are not finished, the oldest first."""

        async def work(attempt: _Attempt) -> tuple[tuple[str, JournalEntry], ...]:
            found = [_entry(row) for row in await attempt.rows(tables.UNFINISHED, account)]
            return tuple((entry.key, entry) for entry in found if entry is not None)

        return await self._do(work)

    # Uploads through a gateway

    async def create_upload(self, record: GatewayRecord) -> bool:
        """Add the record of an upload through a gateway; False if its key is taken."""

        async def work(attempt: _Attempt) -> bool:
            values = (record.key, record.owner, record.details, record.size, record.expires, record.offset)
            rest = (record.received, record.state.value, record.file_id, record.problem)
            if await attempt.row(tables.CREATE_UPLOAD, *values, *rest) is not None:
                return True
            if not attempt.again:
                return False
            row = await attempt.row(tables.LOAD_UPLOAD, record.key)
            return row is not None and tables.gateway_record(row) == attrs.evolve(record, releases=0)

        return await self._do(work)

    async def load_upload(self, key: str) -> GatewayRecord | None:
        """The record of an upload through a gateway, or None."""

        async def work(attempt: _Attempt) -> GatewayRecord | None:
            row = await attempt.row(tables.LOAD_UPLOAD, key)
            return None if row is None else tables.gateway_record(row)

        return await self._do(work)

    async def set_offset(self, key: str, fence: int, offset: int, received: int, expires: float) -> bool:
        """Note how far an upload through a gateway is."""
        return await self._write(tables.SET_OFFSET, key, fence, offset, received, expires)

    async def update_upload(self, record: GatewayRecord, fence: int) -> bool:
        """Write the record of an upload through a gateway again."""
        values = (record.details, record.size, record.expires, record.offset, record.received)
        return await self._write(
            *(tables.UPDATE_UPLOAD, record.key, fence, *values, record.state.value, record.file_id, record.problem)
        )

    async def request_release(self, key: str) -> bool:
        """Ask the holder of the lease of an upload through a gateway to give it back. A request whose answer is lost
        may be counted twice."""
        return await self._write(tables.REQUEST_RELEASE, key)

    async def expire_uploads(self, limit: int = 50) -> tuple[GatewayRecord, ...]:
        """End uploads through a gateway whose time is over: those that have ended by this call."""
        call = random.getrandbits(62)  # By it, a repeated call knows what the first one has ended.

        async def work(attempt: _Attempt) -> tuple[GatewayRecord, ...]:
            earlier = await attempt.rows(tables.EXPIRED_BY, call) if attempt.again else ()
            if not earlier:
                waiting = [state.value for state in GatewayState if not state.ended]
                expired = GatewayState.EXPIRED.value
                await attempt.rows(tables.REMOVE_UPLOADS, waiting, limit)
                earlier = await attempt.rows(tables.EXPIRE_UPLOADS, waiting, limit, expired, EXPIRED_FOR, call)
            found = [tables.gateway_record(row) for row in earlier]
            return tuple(record for record in found if record is not None)

        return await self._do(work)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. They are made again when the journal is used again."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return "<PostgresJournal>"

    async def _write(self, sql: str, *values: Any) -> bool:
        """A statement that returns a row when it has had an effect, and does no harm when it is repeated."""

        async def work(attempt: _Attempt) -> bool:
            return await attempt.row(sql, *values) is not None

        return await self._do(work)

    async def _do(self, work: Callable[[_Attempt], Awaitable[T]]) -> T:
        from ._postgres_pool import DatabaseError

        until = self._clock() + self._patience
        pause, again = FIRST_PAUSE, False

        async def attempt(connection: Any) -> T:
            return await work(_Attempt(connection, again))

        while True:
            try:
                return await self._pool.run(attempt)
            except DatabaseError as problem:
                # A server that has never answered is not waited for: its address may be wrong.
                if not problem.away or not self._pool.answered or self._clock() + pause > until:
                    raise
            again = True
            await asyncio.sleep(pause * random.uniform(0.67, 1.33))  # noqa: S311 - no secret depends on it
            pause = min(pause * 2, LAST_PAUSE)


def _pool(dsn: object) -> PostgresPool:
    if not isinstance(dsn, str) or not dsn.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(
            "dsn must be the URL of a PostgreSQL database, such as postgresql://user@host/database"
        )
    try:
        from ._postgres_pool import PostgresPool
    except ImportError:
        raise ImportError(
            "PostgresJournal needs asyncpg: pip install 'iqiyi-async[postgres]'", name="asyncpg"
        ) from None
    return PostgresPool(
        *(dsn,),
        what="the upload journal",
        application="iqiyi-async journal",
        set_up=tables.set_up,
        statement=STATEMENT,
    )


def _entry(row: Sequence[Any]) -> JournalEntry | None:
    *columns, first, last, md5, attempts = row
    return entry_of(columns, zip(first or (), last or (), md5 or (), attempts or (), strict=True))


def _columns(ranges: Sequence[ChunkReceipt]) -> tuple[list[Any], ...]:
    return (
        [each.first for each in ranges],
        [each.last for each in ranges],
        [each.md5 for each in ranges],
        [each.attempts for each in ranges],
    )
