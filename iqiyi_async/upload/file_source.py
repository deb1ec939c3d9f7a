"""A file as a source: the only module that reads files, with aiofiles, in threads.

Ranges are read by position, never by the file's own, so that parallel workers do not disturb each other; the MD5 is
taken in the same hop to a thread, while the bytes are warm. Opening and closing do not wait behind that: they have
the event loop's own threads.

Each call of the system lets go of the interpreter's lock and then has to wait for it, which takes longer than the
call does: so there are as few of them as can be.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from aiofiles.base import wrap

from ..config import KIB
from ..errors import ConfigurationError, SourceChangedError, UploadError
from ..models import Fingerprint
from .ranges import Range
from .source import STRETCH, Data, Source, give_way, settled

#: How much is looked at in each of the three places of a fingerprint.
SAMPLE = 64 * KIB


class PathSource(Source):
    """A file. It is open from `open` to `aclose`."""

    def __init__(self, path: Path, file_type: str, expected_size: int | None = None) -> None:
        self._path = path
        self._place = path
        self._expected_size = expected_size
        self._file: int | None = None
        self._opened: os.stat_result | None = None
        self.size: int = 0
        self.file_type = file_type

    async def open(self) -> None:
        """Open the file and remember what it looks like.

        Raises:
            ConfigurationError: it is not there, can't be read, or is not a file with anything in it.
        """
        try:
            await settled(self._open())
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "not a path"
            raise ConfigurationError(f"{self._path} can't be read: {why}") from None
        assert self._opened is not None
        if not stat.S_ISREG(self._opened.st_mode):
            raise ConfigurationError(f"{self._path} is not a regular file")
        self.size = self._opened.st_size
        if self.size == 0:
            raise ConfigurationError(f"{self._path} is empty: nothing can be published of it")
        if self._expected_size not in (None, self.size):
            raise ConfigurationError(f"size is {self._expected_size!r}, but {self._path} has {self.size} bytes")

    async def _open(self) -> None:
        # Kept the moment it is there, so that it is closed even if nobody waits for it any more.
        self._place, self._file, self._opened = await _open_and_look(self._place)

    async def begin(self) -> None:
        was = self._opened
        if self._file is None and was is not None:
            await self.open()
            assert self._opened is not None
            self._compare(self._opened, was)

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Data:
        assert self._file is not None
        view = buffer(part.size)
        try:
            count, md5 = await settled(_read_and_hash(self._file, view, part.first, executor=self.threads))
        except OSError as problem:
            raise UploadError(f"{self._path.name} can't be read any more: {problem.strerror}") from None
        if count < part.size:
            raise self._changed(f"it ends at byte {part.first + count}, and had {self.size}")
        return Data(view, md5)

    async def identify(self) -> str:
        return f"path:{await settled(_real(self._place))}"

    async def fingerprint(self) -> Fingerprint:
        assert self._file is not None
        assert self._opened is not None
        digest = await settled(_sample(self._file, self.size, executor=self.threads))
        return Fingerprint(self.size, self._opened.st_mtime_ns, self._opened.st_ino, digest)

    async def conclude(self) -> None:
        file, self._file = self._file, None
        assert file is not None
        assert self._opened is not None
        self._compare(await settled(_look_and_close(file, self._place)), self._opened)

    async def aclose(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await settled(_close(file))

    def _compare(self, now: os.stat_result, was: os.stat_result) -> None:
        if (now.st_dev, now.st_ino) != (was.st_dev, was.st_ino):
            raise self._changed("another file has taken its place")
        if now.st_size != was.st_size:
            raise self._changed(f"it had {was.st_size} bytes, and now {now.st_size}")
        if now.st_mtime_ns != was.st_mtime_ns:
            raise self._changed("it was written to")

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(f"{self._path.name} changed while it was uploaded: {how}; nothing was published")


@wrap
def _open_and_look(path: Path) -> tuple[Path, int, os.stat_result]:
    place = path.absolute()  # The process may go elsewhere.
    # Without O_NONBLOCK, opening a pipe would wait for its other end for ever.
    file = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        return place, file, os.fstat(file)
    except BaseException:
        os.close(file)
        raise


@wrap
def _real(place: Path) -> str:
    return os.path.realpath(place)


@wrap
def _look_and_close(file: int, place: Path) -> os.stat_result:
    """What is in the file's place by now; or, if nothing can be seen there, the open file: it may have been deleted,
    its bytes remain."""
    try:
        return place.stat()
    except OSError:
        return os.fstat(file)
    finally:
        os.close(file)


@wrap
def _close(file: int) -> None:
    os.close(file)


@wrap
def _read_and_hash(file: int, view: memoryview, first: int) -> tuple[int, str]:
    """Fill `view` from a place in a file: how many bytes there were, and their MD5. The file's position stays
    untouched."""
    hashing = hashlib.md5(usedforsecurity=False)
    done = 0
    while done < len(view):
        count = os.preadv(file, [view[done : done + STRETCH]], first + done)
        if count == 0:
            break
        hashing.update(view[done : done + count])
        done += count
        if done < len(view):
            give_way()
    return done, hashing.hexdigest()


@wrap
def _sample(file: int, size: int) -> str:
    hashing = hashlib.blake2b(digest_size=16)
    for first in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
        hashing.update(os.pread(file, SAMPLE, first))
    return hashing.hexdigest()
