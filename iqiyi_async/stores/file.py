"""Tokens in a file, shared by the processes of one user on one machine.

What belongs here: the file's format, and which lock guards what. What must not: modes and atomic replacement
(`_private`), waiting for threads (`_worker`).

Two kinds of locks, both of the kernel, so that the death of a holder frees them at once. `NAME.lock` is held for the
moment in which the file is read, changed and replaced; `NAME.<key>.lease` for as long as a process renews that key.
The files of the locks stay: removing one would let two processes lock two files of the same name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..models import StoredToken, Token
from . import _private
from ._codec import Sealed, token_from_json, token_to_json
from ._polling import poll
from ._turns import Turns
from ._worker import BackgroundThread

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["FileTokenStore"]

logger: logging.Logger = logging.getLogger(__name__)

FORMAT = 1
#: A file of tokens has some hundred bytes for each account; one of this size (bytes) is something else.
LARGEST = 1 << 20


class FileTokenStore:
    """Tokens in a JSON file of mode 0600, for any number of tasks, event loops and processes of one user.

    A write replaces the file as a whole, so that a reader or a crash sees the old or the new content. A file that
    can't be read as tokens counts as empty; the first write puts it aside under the name with `.unreadable` added.
    Versions go on growing even then.

    Args:
        path: the file, or a folder that exists and in which it is called `tokens.json`. By default it is in the
            platform's state folder for `iqiyi-async`, which is kept at mode 0700, as are folders made on the way.

    Every method raises `OSError` if the file can't be reached or written, and `PermissionError` with what to do about
    it if the file is a link, another user's, or open to others.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._given = None if path is None else Path(path)
        self._path: Path | None = None
        self._worker = BackgroundThread("iqiyi-async-tokens")
        self._turns = Turns()
        # Should the file be lost, the versions of this process must go on growing.
        self._seen: dict[str, int] = {}

    async def load(self, key: str) -> StoredToken | None:
        """The newest token of a key, or None."""
        return await self._worker.run(partial(self._load, key))

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        """Write a token if the key's version is still `expected`; None if it is not.

        It is on the disk when this returns. If the caller is cancelled, it is written or it is not, but never half.
        """
        attempt = partial(self._try_write, key, expected, token)
        (written,) = await poll(lambda: self._worker.run(attempt), first=0.002, most=0.05)
        return written

    @asynccontextmanager
    async def lease(self, key: str, *, ttl: float) -> AsyncGenerator[None, None]:
        """Be the only one, among all processes that use this file, that renews this key.

        Args:
            key: the account.
            ttl: not needed here: the kernel notices the death of a holder, and a holder that lives keeps its lease.
        """
        async with self._turns.of(key):
            lock = await self._worker.run(partial(self._lease_lock, key))
            try:
                await poll(lambda: self._worker.run(partial(_taken, lock)), first=0.005, most=0.1)
                yield
            finally:
                # Also after a cancelled wait: the thread may have got the lock when nobody wanted it any more.
                await self._worker.finish(lock.release)

    def __repr__(self) -> str:
        return f"<FileTokenStore at {self._path or self._given or 'the default path'}>"

    # What follows runs in the worker's thread.

    def _locate(self) -> Path:
        if self._path is None:
            path = _private.state_folder() if self._given is None else self._given.absolute()
            self._path = path / "tokens.json" if path.is_dir() else path
        return self._path

    def _load(self, key: str) -> StoredToken | None:
        contents = _Contents.parse(_private.read(self._locate(), limit=LARGEST))
        stored = None if contents is None else contents.get(key)
        if stored is not None:
            self._seen[key] = max(self._seen.get(key, 0), stored.version)
        return stored

    def _try_write(self, key: str, expected: int | None, token: Token) -> list[StoredToken | None]:
        """What was written, or None if the version was another; nothing at all if the file's lock was not free."""
        path = self._locate()
        _private.folder(path.parent)
        lock = _lock(path.with_name(f"{path.name}.lock"))
        if not _taken(lock):
            return []
        try:
            return [self._write(path, key, expected, token)]
        finally:
            lock.release()

    def _write(self, path: Path, key: str, expected: int | None, token: Token) -> StoredToken | None:
        found = _Contents.parse(_private.read(path, limit=LARGEST))
        contents = found or _Contents({})
        current = contents.get(key)
        if (None if current is None else current.version) != expected:
            return None
        version = max(contents.version(key), self._seen.get(key, 0)) + 1
        if current is None:
            # Whatever was here before was written earlier, with fewer than one write in a microsecond.
            version = max(version, time.time_ns() // 1000)
        written = StoredToken(version, token)
        contents.put(key, written)
        if found is None:
            aside = path.with_name(f"{path.name}.unreadable")
            path.replace(aside)
            logger.warning("%s could not be read as tokens; it was put aside as %s", path, aside.name)
        _private.replace(path, contents.dump())
        self._seen[key] = version
        return written

    def _lease_lock(self, key: str) -> BaseFileLock:
        path = self._locate()
        _private.folder(path.parent)
        # The key becomes part of a name; its digest can't lead out of the folder.
        digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
        return _lock(path.with_name(f"{path.name}.{digest}.lease"))


class _Contents:
    """What is in the file. Secrets are in it, so it has no repr of its own to show them."""

    def __init__(self, tokens: dict[str, Any]) -> None:
        self._tokens = tokens

    @classmethod
    def parse(cls, content: bytes | None) -> _Contents | None:
        """The content of a file, None if it is not one of ours. No file, or an empty one, is an empty content."""
        if not content:
            return cls({})
        try:
            document = json.loads(content) if len(content) <= LARGEST else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or cast("dict[str, Any]", document).get("format") != FORMAT:
            return None
        tokens = cast("dict[str, Any]", document).get("tokens")
        return cls(cast("dict[str, Any]", tokens)) if isinstance(tokens, dict) else None

    def get(self, key: str) -> StoredToken | None:
        """The token of a key, or None if there is none that can be read."""
        version, token = self.version(key), token_from_json(self._tokens.get(key))
        return StoredToken(version, token) if token is not None and version > 0 else None

    def version(self, key: str) -> int:
        """The version of a key even if its token can't be read; 0 if there is none."""
        entry = self._tokens.get(key)
        version = cast("dict[str, Any]", entry).get("version") if isinstance(entry, dict) else None
        return version if isinstance(version, int) and not isinstance(version, bool) else 0

    def put(self, key: str, stored: StoredToken) -> None:
        """Set the token of a key; all others stay as they are."""
        self._tokens[key] = {"version": stored.version, **token_to_json(stored.token)}

    def dump(self) -> Sealed:
        """The bytes of the file."""
        document = {"format": FORMAT, "tokens": self._tokens}
        return Sealed(json.dumps(document, indent=1).encode())


def _lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    # Not bound to a thread: whichever takes it, another may give it back.
    return FileLock(path, mode=0o600, thread_local=False)


def _taken(lock: BaseFileLock) -> bool:
    """Try once, without waiting, to take a lock.

    Raises:
        OSError: its file can't be made, so that nobody holds it: to wait for it would never end.
    """
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not os.path.lexists(lock.lock_file):
            # A folder that is gone, or one without files such as /proc: this says which.
            os.close(os.open(lock.lock_file, os.O_RDWR | os.O_CREAT, 0o600))
        return False
    return True
