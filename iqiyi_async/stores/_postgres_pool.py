"""Connections to PostgreSQL, for the journal and for the ledgers of batches.

A DSN may hold a password, and the library's errors keep it in their frames. So each use of a connection runs in a task
of its own, and what it fails with is raised as a new error, without those frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeVar

from ..errors import ConfigurationError
from ._codec import Sealed
from ._worker import raise_clean

# It has no types.
asyncpg: Any = import_module("asyncpg")

T = TypeVar("T")

#: So many connections at the most: statements are short, and heartbeats must not wait behind them for long.
CONNECTIONS = 4
#: A connection that takes longer has failed (seconds).
CONNECTING = 10.0
#: Statements that other transactions have got in the way of are said again, so often.
TRIES = 5

_PASSING = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.ForeignKeyViolationError)
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,  # a wrong password is one of these
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
#: The server, or the way to it, is away for a while: what was asked may have been done or not.
_AWAY = (
    *(asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError),
    *(asyncpg.CrashShutdownError, asyncpg.TooManyConnectionsError, asyncpg.ReadOnlySQLTransactionError),
    *(asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError, EOFError),
)


class DatabaseError(OSError):
    """The database can't be reached, or refuses.

    Attributes:
        away: whether it may answer again by itself; what was asked may then have been done or not.
        refused: it was asked for the first time, and the user, the password or the database is wrong.
    """

    def __init__(self, text: str, *, away: bool = False, refused: bool = False) -> None:
        super().__init__(text)
        self.away = away
        self.refused = refused


class _Connections:
    """What one event loop has."""

    def __init__(self) -> None:
        self.pool: Any = None
        self.opening: asyncio.Lock = asyncio.Lock()
        self._connecting: set[asyncio.Task[Any]] = set()

    async def acquire(self, pool: Any, seconds: float) -> Any:
        """A connection. Connecting is never cancelled, which the library does not bear: a caller that is cancelled
        meanwhile leaves the connection to the next one."""
        if pool.get_idle_size():
            return await pool.acquire(timeout=seconds)
        # In a task of its own, also because connecting looks for certificates and passwords in files.
        task = asyncio.ensure_future(pool.acquire(timeout=seconds))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            release = asyncio.ensure_future(_release_later(task, pool))
            self._connecting.add(release)
            release.add_done_callback(self._released)
            raise
        return task.result()

    def _released(self, task: asyncio.Task[Any]) -> None:
        self._connecting.discard(task)
        if not task.cancelled():
            task.exception()  # counts as seen

    async def aclose(self) -> None:
        """Close the connections, also those that are being made."""
        pool, self.pool = self.pool, None
        try:
            async with asyncio.timeout(CONNECTING):
                while self._connecting:
                    await asyncio.wait(list(self._connecting))
                if pool is not None:
                    await pool.close()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if pool is not None:
                pool.terminate()


async def _release_later(task: asyncio.Task[Any], pool: Any) -> None:
    await asyncio.wait([task])
    if task.exception() is None:
        await pool.release(task.result(), timeout=CONNECTING)


class PostgresPool:
    """A few connections to one database for each event loop, made when they are needed.

    Args:
        dsn: of the database; it is never shown.
        what: what is kept there, for errors: "the upload journal".
        application: the name that the server shows.
        set_up: called with a connection before it is used for the first time; makes tables.
        statement: a statement that takes longer has failed (seconds).
    """

    def __init__(
        self,
        dsn: str,
        *,
        what: str,
        application: str,
        set_up: Callable[[Any], Awaitable[None]],
        statement: float = 30.0,
    ) -> None:
        self._dsn = Sealed(dsn)
        self._what = what
        self._application = application
        self._set_up = set_up
        self._statement = statement
        self._loops: dict[asyncio.AbstractEventLoop, _Connections] = {}
        #: Whether the database has answered once: its address and the credentials are right.
        self.answered: bool = False

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with a connection, in a transaction of its own where it says so.

        A caller that is cancelled waits until the connection is free again.

        Raises:
            DatabaseError: the database can't be reached, or refuses.
            ConfigurationError: the DSN can't be used, or the tables are of another release.
        """
        return await raise_clean(self._attempts(work), self._clean_error)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        mine = self._loops.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.aclose()

    async def _attempts(self, work: Callable[[Any], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            attempt += 1
            mine = await self._open()
            pool = mine.pool
            connection = await mine.acquire(pool, self._statement)
            try:
                return await work(connection)
            except _PASSING:
                if attempt == TRIES:
                    raise
            except _AWAY:
                # Whatever state it is in, it is not used again; one that was cut is out of the pool already.
                with suppress(asyncpg.InterfaceError):
                    connection.terminate()
                raise
            finally:
                await pool.release(connection, timeout=CONNECTING)

    async def _open(self) -> _Connections:
        loop = asyncio.get_running_loop()
        for each in [each for each in self._loops if each.is_closed()]:
            del self._loops[each]
        mine = self._loops.setdefault(loop, _Connections())
        async with mine.opening:
            if mine.pool is None:
                pool = asyncpg.create_pool(
                    self._dsn.content,
                    min_size=0,
                    max_size=CONNECTIONS,
                    command_timeout=self._statement,
                    timeout=CONNECTING,
                    reset=_nothing,
                    server_settings={"application_name": self._application},
                )
                await asyncio.ensure_future(pool)
                try:
                    connection = await mine.acquire(pool, CONNECTING)
                    try:
                        await self._set_up(connection)
                    finally:
                        await pool.release(connection, timeout=CONNECTING)
                except BaseException:
                    pool.terminate()
                    raise
                mine.pool = pool
                self.answered = True
            return mine

    def _clean_error(self, problem: BaseException) -> BaseException:
        """The same failure without the frames. Its words are the server's or the system's: no DSN stands in them."""
        where = f"{self._what} in PostgreSQL"
        if isinstance(problem, ConfigurationError):
            return problem.with_traceback(None)
        if isinstance(problem, asyncpg.DataError):
            return DatabaseError(f"{where} can't keep a value: {problem}")
        if isinstance(problem, asyncpg.PostgresError):
            words = str(problem.args[0]) if problem.args else type(problem).__name__
            if isinstance(problem, _REFUSED):
                return DatabaseError(
                    f"{where} can't be used: {words}; check the user, password and database of its DSN",
                    refused=not self.answered,
                )
            return DatabaseError(f"{where} can't be used: {words}", away=isinstance(problem, _AWAY))
        if isinstance(problem, asyncpg.ClientConfigurationError | ValueError) and not self.answered:
            # Their words may be a part of what was given.
            return ConfigurationError(
                f"the DSN of {where} can't be read: it looks like postgresql://user@host/database"
            )
        if isinstance(problem, TimeoutError):
            return DatabaseError(f"{where} can't be used: the server did not answer in time", away=True)
        if isinstance(problem, _AWAY):
            words = str(problem) or type(problem).__name__
            hint = "" if self.answered else "; is the server running, and is its address right?"
            return DatabaseError(f"{where} can't be reached: {words}{hint}", away=True)
        return problem.with_traceback(None)


async def _nothing(connection: Any) -> None:
    """Our statements leave nothing behind: nothing has to be reset after each."""
