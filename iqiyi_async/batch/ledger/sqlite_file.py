"""The SQLite file of a ledger, and the one thread that uses it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ...errors import ConfigurationError
from ...stores import _private
from ...stores._opened_file import OpenedFile
from ...stores._worker import BackgroundThread, Batches, Job
from .base import LedgerError

T = TypeVar("T")

#: SQLite waits this many seconds for the writes of other processes.
BUSY = 30.0
#: Says that the file is a ledger of this library ("iqiL"), and of which version.
APPLICATION, VERSION = 0x6971694C, 1

SCHEMA = """
CREATE TABLE batch (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, stopping INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT '');
CREATE TABLE item (
    n INTEGER PRIMARY KEY AUTOINCREMENT, batch INTEGER NOT NULL, identity TEXT NOT NULL, source TEXT NOT NULL,
    metadata TEXT NOT NULL, file_type TEXT NOT NULL, key TEXT NOT NULL, manifest TEXT NOT NULL, state TEXT NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0, owner TEXT, expires REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0,
    file_id TEXT NOT NULL DEFAULT '', phase TEXT NOT NULL DEFAULT '', entry TEXT NOT NULL DEFAULT '',
    digest TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL DEFAULT 0, changed REAL NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0, page TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX item_identity ON item (batch, identity);
CREATE INDEX item_waiting ON item (batch, n) WHERE state = 'waiting';
CREATE INDEX item_held ON item (batch, n) WHERE state = 'held';
CREATE INDEX item_uploaded ON item (batch, n) WHERE state = 'uploaded';
CREATE INDEX item_digest ON item (digest) WHERE digest != '';
CREATE TABLE chunk (
    n INTEGER NOT NULL, file_id TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    md5 TEXT NOT NULL, attempts INTEGER NOT NULL, PRIMARY KEY (n, file_id, first)) WITHOUT ROWID;
CREATE TABLE slot (
    batch INTEGER NOT NULL, k INTEGER NOT NULL, fence INTEGER NOT NULL, expires REAL NOT NULL, taken REAL NOT NULL,
    renewed REAL NOT NULL, PRIMARY KEY (batch, k)) WITHOUT ROWID;
"""


class LedgerFile:
    """An SQLite file of mode 0600. What comes at the same time is done in one transaction.

    Args:
        path: the file; it is made if it is missing, and never replaced.
        name: of the batch.
        must_exist: a file that is missing is an error.
    """

    def __init__(self, path: Path, name: str, *, must_exist: bool = False) -> None:
        self.path: Path = path
        self._must_exist = must_exist
        self.batch: int = 0
        self._name = name
        self._thread = BackgroundThread("iqiyi-async-ledger")
        self._jobs: Batches[sqlite3.Connection] = Batches(self._thread, self._commit)
        self._connection: sqlite3.Connection | None = None
        self._file = OpenedFile()
        self._durable = False

    async def run(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Do something in a transaction.

        Args:
            work: what is done, in the thread.
            durable: it has to survive a loss of power.

        A caller that is cancelled waits until it is done.

        Raises:
            LedgerError: it could not be done.
        """
        return await self._jobs.run(work, durable=durable, whole=True)

    async def aclose(self) -> None:
        """Close the file; the next job opens it again."""
        await self._jobs.finish(self._close)
        self._thread.stop()

    def _commit(self, jobs: list[Job[sqlite3.Connection]]) -> None:
        try:
            database = self._connect()
            durable = any(job.durable for job in jobs)
            if durable != self._durable:
                database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            with database:
                database.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    job.do(database)
        except LedgerError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"the ledger {self.path} can't be used: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            if self._file.replaced():
                raise LedgerError(
                    f"the ledger {self.path} (or the -wal file beside it) was removed or replaced while it was used:"
                    " bring it back"
                )
            return self._connection
        self.path = self.path.absolute()
        self._make_file()
        self._file.opening(self.path)
        connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                self._set_up(connection)
        except BaseException as problem:
            connection.close()
            if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                words = f"{self.path} is no ledger, and was left as it is: give another path"
                raise ConfigurationError(words) from None
            raise
        self._file.opened()
        self._connection, self._durable = connection, False
        return connection

    def _make_file(self) -> None:
        """Make the file if it is missing. What no waiting mends is said at once."""
        if self._must_exist and not self.path.exists():
            raise ConfigurationError(f"there is no ledger {self.path}: give the one that the batch was added to")
        if self.path.is_dir():
            raise ConfigurationError(f"the ledger {self.path} is a folder: give the path of a file")
        try:
            with suppress(FileExistsError):
                _private.create(self.path)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as problem:
            if self._file.identity != (0, 0):
                raise  # It was there before: a mount may come back.
            raise ConfigurationError(f"the ledger {self.path} can't be made: {problem.strerror}") from None

    def _set_up(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif (application, version) != (APPLICATION, VERSION):
            raise ConfigurationError(
                f"{self.path} is no ledger of this release of iqiyi-async, and was left as it is: give another path"
            )
        connection.execute("INSERT OR IGNORE INTO batch (name) VALUES (?)", (self._name,))
        (self.batch,) = connection.execute("SELECT id FROM batch WHERE name = ?", (self._name,)).fetchone()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
