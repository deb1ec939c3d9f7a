"""A file as a source: the only module that reads files, with aiofiles, in threads.

Ranges are read by position, never by the file's own, so that parallel workers do not disturb each other; the MD5 is
taken in
the same hop to a thread, while the bytes are warm.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import aiofiles
from aiofiles.base import wrap
from aiofiles.threadpool.binary import AsyncFileIO

from ..config import KIB, MIB
from ..errors import ConfigurationError, SourceChangedError
from ..stores.base import Fingerprint
from .plan import Range
from .source import Data, Source, settled

#: How much is looked at in each of the three places of a fingerprint.
SAMPLE = 64 * KIB


class PathSource(Source):
    """A file."""

    def __init__(self, path: Path, size: int, file_type: str) -> None:
        self._path = path
        self._file: AsyncFileIO | None = None
        self._opened: os.stat_result | None = None
        self.size = size
        self.file_type = file_type

    async def open(self) -> None:
        await settled(self._open())
        assert self._opened is not None
        if self._opened.st_size != self.size:
            raise self._changed(f"it had {self.size} bytes, and now {self._opened.st_size}")

    async def _open(self) -> None:
        try:
            self._file = await aiofiles.open(self._path, "rb", buffering=0)
        except OSError as problem:
            raise ConfigurationError(f"{self._path} can't be read: {problem.strerror}") from None
        self._opened = await _fstat(self._file.fileno())

    async def read(self, part: Range, buffer: Callable[[], bytearray]) -> Data:
        assert self._file is not None
        view = memoryview(buffer())[: part.size]
        count, md5 = await settled(_read_and_hash(self._file.fileno(), view, part.first))
        if count < part.size:
            raise self._changed(f"it ends at byte {part.first + count}, and had {self.size}")
        return Data(view, md5)

    async def identify(self) -> str:
        return f"path:{self._path}"

    async def fingerprint(self) -> Fingerprint:
        assert self._file is not None
        assert self._opened is not None
        digest = await settled(_sample(self._file.fileno(), self.size))
        return Fingerprint(self.size, self._opened.st_mtime_ns, self._opened.st_ino, digest)

    async def check_unchanged(self) -> None:
        assert self._file is not None
        assert self._opened is not None
        now, was = await settled(_fstat(self._file.fileno())), self._opened
        if now.st_size != was.st_size:
            raise self._changed(f"it had {was.st_size} bytes, and now {now.st_size}")
        if now.st_mtime_ns != was.st_mtime_ns:
            raise self._changed("it was written to")

    async def aclose(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await settled(file.close())

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(f"{self._path.name} changed while it was uploaded: {how}; nothing was published")


async def path_source(path: Path, size: int | None, file_type: str) -> PathSource:
    """A file that can be uploaded.

    Raises:
        ConfigurationError: it can't.
    """
    try:
        real, found = await settled(_look(path))
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "not a path"
        raise ConfigurationError(f"{path} can't be read: {why}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path} is not a regular file")
    if found.st_size == 0:
        raise ConfigurationError(f"{path} is empty: nothing can be published of it")
    if size is not None and size != found.st_size:
        raise ConfigurationError(f"size is {size!r}, but {path} has {found.st_size} bytes")
    return PathSource(real, found.st_size, file_type)


@wrap
def _look(path: Path) -> tuple[Path, os.stat_result]:
    return path.resolve(strict=True), path.stat()


@wrap
def _read_and_hash(fd: int, view: memoryview, first: int) -> tuple[int, str]:
    """Fill `view` from a place in a file: how many bytes there were, and their MD5. The file's position stays
    untouched."""
    hashing = hashlib.md5(usedforsecurity=False)
    done = 0
    while done < len(view):
        count = os.preadv(fd, [view[done : done + MIB]], first + done)
        if count == 0:
            break
        hashing.update(view[done : done + count])
        done += count
    return done, hashing.hexdigest()


@wrap
def _sample(fd: int, size: int) -> str:
    hashing = hashlib.blake2b(digest_size=16)
    for first in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
        hashing.update(os.pread(fd, SAMPLE, first))
    return hashing.hexdigest()


_fstat = wrap(os.fstat)
