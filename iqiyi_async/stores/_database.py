"""A private SQLite file that mends itself: opened when it is needed, put aside when it is broken.

What belongs here: opening, transactions, and what to do about a file that is broken, of another version or gone. What
must not: what the tables mean. Everything here blocks, and runs in one and the same thread.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from . import _private
from ._opened_file import OpenedFile, identity_of, log_of
from ._worker import Job

__all__ = ["Database"]

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

#: SQLite waits this many seconds for the writes of other processes; each of them takes a few milliseconds.
BUSY = 5.0
#: While one process opens or mends the file, others wait this many seconds.
OPENING = 10.0
#: Says that the file is of this library ("iqiy"), whatever its name.
APPLICATION = 0x69716979
#: What these say is about the disk, the system or other processes. All else that our own statements fail with is
#: about the file: where it is damaged, its tables may have lost a column and its messages may be no text any more.
_NOT_BROKEN = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_ABORT,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH,
)
_Failure = (sqlite3.DatabaseError, UnicodeDecodeError)
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
}


class Database:
    """One SQLite file and the connection to it.

    Args:
        path: the file, or None for one in the platform's state folder.
        name: what the file is called there.
        version: of the schema; a file of another one is put aside.
        schema: statements that make an empty file one of this version.
        opened: called in a transaction of its own each time the file has been opened.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        name: str,
        version: int,
        schema: str,
        opened: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._path = _versioned(path.absolute(), version) if path is not None else _private.state_folder() / name
        self._version = version
        self._schema = schema
        self._opened = opened
        self._connection: sqlite3.Connection | None = None
        self._file = OpenedFile()
        self._pid = 0
        self._inherited: list[sqlite3.Connection] = []
        self._durable = False

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    def call_all(self, jobs: list[Job[sqlite3.Connection]]) -> None:
        """Do several things in one transaction; one that fails for a reason of its own undoes nothing of the others.

        Raises:
            OSError: they could not be done; nothing of them has happened.
        """
        durable = any(job.durable for job in jobs)

        def work(connection: sqlite3.Connection) -> None:
            for job in jobs:
                _apart(connection, job)

        try:
            try:
                self._transaction(work, durable)
            except _Failure as error:
                if not _broken(error):
                    raise
            else:
                return
            # Outside the handler, so that a second error does not drag the first one along.
            self._mend()
            self._transaction(work, durable)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _as_os_error(error, self._path) from error

    def _transaction(self, work: Callable[[sqlite3.Connection], T], durable: bool) -> T:
        connection = self._connect()
        if durable != self._durable:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        return _transaction(connection, work)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._pid == os.getpid():
                connection.close()
            else:
                # It is the parent's: closing it here would take the parent's locks away, so it is only kept.
                self._inherited.append(connection)

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid == os.getpid() and not self._file.replaced():
            return self._connection
        # Also when the file was removed or replaced: what is written into a nameless file is lost with the process.
        self.close()
        _private.folder(self._path.parent)
        with self._alone():
            self._connection = self._open()
        self._file.opened()
        self._pid = os.getpid()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            _private.create(self._path)
        except FileExistsError:
            self._tighten()
        self._check_mark()
        if self._path.stat().st_size == 0 and log_of(self._path).exists():
            # Others may have it open still, and would neither notice nor let go of it.
            return self._start_over("it was emptied")
        try:
            return self._set_up()
        except _Failure as error:
            if not _broken(error):
                raise
        return self._start_over("it is broken")

    def _check_mark(self) -> None:
        """Refuse a file that is not ours: an application's database, a text. Only our own are ever put aside."""
        mark = _mark_of(self._path)
        if mark is not None and mark[0] != APPLICATION:
            raise FileExistsError(
                errno.EEXIST,
                "this file is no upload journal of iqiyi-async, and was left as it is: give the journal another path",
                str(self._path),
            )

    def _start_over(self, why: str) -> sqlite3.Connection:
        self._put_aside(why)
        _private.create(self._path)
        return self._set_up()

    def _set_up(self) -> sqlite3.Connection:
        """A connection to the file, with our tables in it."""
        self._file.opening(self._path)
        connection = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None)
        try:
            kind = (_pragma(connection, "application_id"), _pragma(connection, "user_version"))
            if kind != (APPLICATION, self._version):
                if _pragma(connection, "page_count") > 0:
                    connection.close()
                    return self._start_over("it is of another version")
                kind_now = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {self._version};"
                connection.executescript(f"BEGIN IMMEDIATE; {kind_now} {self._schema} COMMIT;")
            # Only now: switching alone writes a first page, and a crash then would leave a file that says nothing.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._durable = False
            connection.execute("PRAGMA foreign_keys = ON")
            _transaction(connection, self._opened)
        except BaseException:
            connection.close()
            raise
        return connection

    def _mend(self) -> None:
        """Put the broken file aside, unless another process has done so already."""
        bad = self._file.identity
        self.close()
        with self._alone():
            if identity_of(self._path) == bad:
                self._put_aside("it is broken")

    def _put_aside(self, why: str) -> None:
        now = time.time_ns()
        moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(now // 10**9))
        aside = self._path.with_name(f"{self._path.name}.{moment}-{now % 10**9:09d}")
        for ending in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))
        logger.warning("the journal %s can't be used, %s; it was renamed to %s", self._path, why, aside.name)

    def _tighten(self) -> None:
        """An existing file must be ours; others lose their access to it, and to the files beside it."""
        for ending in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + ending)
            try:
                _private.check(part, part.lstat(), strict=False)
            except FileNotFoundError:
                continue
            part.chmod(0o600)

    def _alone(self) -> FileLock:
        """Among all processes: two that open, mend or rename at once would undo each other's work."""
        return FileLock(f"{self._path}.lock", timeout=OPENING, mode=0o600, thread_local=False)


def _apart(connection: sqlite3.Connection, job: Job[sqlite3.Connection]) -> None:
    """One job of several: what it raises is told to its caller, and undone; what is wrong with the file is raised."""
    connection.execute("SAVEPOINT job")
    try:
        job.do(connection)
    except _Failure as problem:
        if _broken(problem) or not isinstance(problem, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        connection.execute("ROLLBACK TO job")
        job.failed(_as_os_error(problem, Path(connection.execute("PRAGMA database_list").fetchone()[2])))
    except Exception as problem:  # noqa: BLE001 - a value that SQLite can't hold, told to the one who gave it
        connection.execute("ROLLBACK TO job")
        job.failed(problem)
    connection.execute("RELEASE job")


def _mark_of(path: Path) -> tuple[int, int] | None:
    """Application and version of a database file, by its first page; None for an empty file."""
    if not path.is_file():
        return (0, 0)  # A pipe would be waited for, for ever.
    with path.open("rb") as file:
        head = file.read(100)
    if not head:
        return None
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        return (0, 0)
    return int.from_bytes(head[68:72], "big"), int.from_bytes(head[60:64], "big")


def _versioned(path: Path, version: int) -> Path:
    """A path, or one beside it that names the version, where another release has its own file."""
    try:
        mark = _mark_of(path)
    except OSError:
        return path
    if mark is None or mark[0] != APPLICATION or mark[1] == version:
        return path
    return path.with_name(f"{path.stem}-{version}{path.suffix}")


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    # Immediate: a reader that turns into a writer half way could not wait for its turn.
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return result


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    with closing(connection.execute(f"PRAGMA {name}")) as answer:
        return int(answer.fetchone()[0])


def _broken(error: Exception) -> bool:
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return False  # a value that SQLite can't hold
    code = _code(error)
    return code == sqlite3.SQLITE_IOERR_SHORT_READ or code & 0xFF not in _NOT_BROKEN


def _code(error: Exception) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else sqlite3.SQLITE_ERROR


def _as_os_error(error: Exception, path: Path) -> OSError:
    return OSError(_ERRNO.get(_code(error) & 0xFF, errno.EIO), str(error), str(path))
