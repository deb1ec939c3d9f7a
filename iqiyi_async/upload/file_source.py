"""A file as a source: looked at early, opened late, and trusted only as far as its looks can be.

The one rule of what is the same file: size, device, inode and times equal, and none of the times young at either look,
is trusted together with samples of the content. Anything else is read again and compared.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

import attrs
from aiofiles.base import wrap

from .._concurrency import in_thread, run_to_completion
from ..config import KIB
from ..errors import ConfigurationError, SourceChangedError, UploadError
from ..models import ChunkReceipt, Fingerprint
from .fair_queue import Turn
from .ranges import Range
from .resources import STRETCH, SourceResources, give_way
from .sources import Chunk, UploadSource

T = TypeVar("T")

#: Where a file can't be read by position (Windows), one thread at a time reads.
_POSITION = Lock()

#: How much is looked at in each of the three places of a fingerprint.
SAMPLE = 64 * KIB

#: A time that is younger than this says nothing: file systems count in steps, and a write within one does not show.
YOUNG_NS = 50_000_000

#: ctime is the time of creation there.
_WINDOWS = os.name == "nt"

#: The first wait for a file descriptor where the process has none left, and the longest, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.02, 0.5

#: The end of an upload waits so long for its file to be closed, in seconds.
CLOSE_SECONDS = 2.0


@attrs.frozen
class Look:
    """What a file looked like at one moment."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    settled: bool = attrs.field(eq=False)

    @classmethod
    def of(cls, found: os.stat_result) -> Look:
        """The looks of a file that was asked for just now."""
        ctime_ns = 0 if _WINDOWS else found.st_ctime_ns
        newest = max(found.st_mtime_ns, ctime_ns)
        return cls(
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            ctime_ns,
            settled=time.time_ns() - newest >= YOUNG_NS,
        )


class FileSource(UploadSource):
    """A file."""

    def __init__(
        self, path: Path, file_type: str, expected_size: int | None, resources: SourceResources, turn: Turn
    ) -> None:
        self._path = path
        self._place = path
        self._expected_size = expected_size
        self._resources = resources
        self._turn = turn
        self._file: int | None = None
        self._pins = 0
        self._closing: Future[None] | None = None
        self._opening = asyncio.Lock()
        self._first: Look | None = None
        self._digest = ""
        self.name = str(path)
        self.size = 0
        self.file_type = file_type

    async def look(self) -> None:
        """Open the file, remember what it looks like, and close it again.

        Raises:
            ConfigurationError: it is not there, can't be read, or is not a file with anything in it.
        """
        try:
            place, found, digest = await self._patiently(partial(_look_early, self._path))
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "not a path"
            raise ConfigurationError(f"{self._shown} can't be read: {why}") from None
        if stat.S_ISDIR(found.st_mode):
            raise ConfigurationError(f"{self._shown} is a folder: give the path of a file")
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError(f"{self._shown} is not a regular file")
        if found.st_size == 0:
            raise ConfigurationError(f"{self._shown} is empty: nothing can be published of it")
        if self._expected_size not in (None, found.st_size):
            raise ConfigurationError(f"size is {self._expected_size!r}, but {self._shown} has {found.st_size} bytes")
        self._place, self._first, self._digest = place, Look.of(found), digest
        self.name = _printable(os.fspath(place))
        self.size = found.st_size

    async def pin(self) -> None:
        """Open the file, if it is not open; within the bound, and in turn."""
        async with self._opening:
            if self._file is None:
                await self._resources.files.acquire(self._turn)
                try:
                    self._file = await self._patiently(partial(_open, self._place), undo=os.close)
                except OSError as problem:
                    self._resources.files.release()
                    raise self._unreadable(problem) from None
                except BaseException:
                    self._resources.files.release()
                    raise
            self._pins += 1
            self._resources.files.busy(self)

    def unpin(self) -> None:
        """Give the file back between two ranges, if others wait for one."""
        self._pins -= 1
        if not self._pins and self._file is not None:
            if self._resources.files.wanted:
                self._close()
            else:
                self._resources.files.idle(self)

    def give_up(self) -> None:
        """Close the file: somebody else needs the place."""
        self._close()

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        await self.pin()
        try:
            assert self._file is not None
            view = buffer(part.size)
            work = _read_and_hash(self._file, view, part.first, executor=self._resources.reading)
            count, md5 = await run_to_completion(work)
        except OSError as problem:
            raise self._unreadable(problem) from None
        finally:
            self.unpin()
        if count < part.size:
            raise self._changed(f"it ends at byte {part.first + count}, and had {self.size}")
        return Chunk(view, md5)

    async def identify(self) -> str:
        loop = asyncio.get_running_loop()
        return f"path:{await loop.run_in_executor(self._resources.opening, os.path.realpath, self._place)}"

    async def fingerprint(self) -> Fingerprint:
        look = self._first
        assert look is not None
        if not look.settled:
            # Nothing that looks like this is ever trusted.
            return Fingerprint(look.size, 0, 0, self._digest)
        return Fingerprint(look.size, look.mtime_ns, look.inode, self._digest, look.device, look.ctime_ns)

    async def matches(
        self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt], *, all_ranges: bool = False
    ) -> bool:
        mine = await self.fingerprint()
        if mine.size != fingerprint.size:
            return False
        if mine == fingerprint and mine.mtime_ns and not all_ranges:
            return True
        if mine.digest != fingerprint.digest and not accepted:
            return False
        return await self._same_ranges(accepted)

    async def conclude(self, accepted: Sequence[ChunkReceipt], *, read_all: bool = False) -> None:
        first = self._first
        assert first is not None
        look, digest = await self._look_again()
        if look.size != first.size:
            raise self._changed(f"it had {first.size} bytes, and now {look.size}")
        if look == first and look.settled and first.settled and not read_all:
            if digest != self._digest:
                raise self._changed("it was written to")
        else:
            await self._compare(look, accepted)
        self._close()

    async def _compare(self, look: Look, accepted: Sequence[ChunkReceipt]) -> None:
        """Its looks say nothing: read again what was sent, until two looks in a row are the same."""
        for _ in range(2):
            if not await self._same_ranges(accepted):
                raise self._changed("it was written to")
            before, (look, _) = look, await self._look_again()
            if look == before:
                return
        raise self._changed("it is being written to")

    async def _look_again(self) -> tuple[Look, str]:
        """What is in the file's place by now; or, if nothing can be seen there, the open file: it may have been
        deleted, its bytes remain."""
        try:
            found, digest, in_place = await run_to_completion(
                _look_late(self._place, self._file, executor=self._resources.opening)
            )
        except OSError as problem:
            raise self._unreadable(problem) from None
        if in_place and not self._pins:
            # What is read again is what is there now, not what was.
            self._close()
        return Look.of(found), digest

    async def aclose(self) -> None:
        self._close()
        if self._closing is not None and not self._closing.done():
            # Not for ever: the file may be on a network that is gone.
            await run_to_completion(asyncio.wait([asyncio.wrap_future(self._closing)], timeout=CLOSE_SECONDS))

    def _close(self) -> None:
        file, self._file = self._file, None
        self._resources.files.busy(self)
        if file is not None:
            self._resources.files.release()
            self._closing = self._resources.opening.submit(os.close, file)

    async def _patiently(self, work: Callable[[], T], *, undo: Callable[[T], object] = lambda _: None) -> T:
        """Do something that opens a file; where the process has no descriptor left, again after a while."""
        wait, deadline = FIRST_WAIT, asyncio.get_running_loop().time() + self._resources.source_timeout
        while True:
            try:
                return await in_thread(self._resources.opening, work, undo=undo)
            except OSError as problem:
                if problem.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                if asyncio.get_running_loop().time() + wait > deadline:
                    raise
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    @property
    def _shown(self) -> str:
        return _printable(os.fspath(self._path))

    def _unreadable(self, problem: OSError) -> UploadError:
        return UploadError(f"{self._name} can't be read any more: {problem.strerror}")

    @property
    def _name(self) -> str:
        return _printable(self._path.name)

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(f"{self._name} changed while it was uploaded: {how}; nothing was published")


def _printable(name: str) -> str:
    """A name that is no UTF-8 (GBK on a Linux machine) as text that can be printed and stored."""
    return name.encode("utf-8", "backslashreplace").decode()


def _look_early(path: Path) -> tuple[Path, os.stat_result, str]:
    place = path.absolute()  # The process may go elsewhere.
    file = _open(place)
    try:
        found = os.fstat(file)
        regular = stat.S_ISREG(found.st_mode)
        return place, found, _sample(file, found.st_size) if regular else ""
    finally:
        os.close(file)


def _open(place: Path) -> int:
    # Without O_NONBLOCK, opening a pipe would wait for its other end for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(place, flags)


@wrap
def _look_late(place: Path, file: int | None) -> tuple[os.stat_result, str, bool]:
    try:
        now = _open(place)
    except OSError:
        if file is None:
            raise
        found = os.fstat(file)
        return found, _sample(file, found.st_size), False
    try:
        found = os.fstat(now)
        return found, _sample(now, found.st_size), True
    finally:
        os.close(now)


@wrap
def _read_and_hash(file: int, view: memoryview, first: int) -> tuple[int, str]:
    """Fill `view` from a place in a file: how many bytes there were, and their MD5."""
    hashing = hashlib.md5(usedforsecurity=False)
    done = 0
    while done < len(view):
        count = _read_at(file, view[done : done + STRETCH], first + done)
        if count == 0:
            break
        hashing.update(view[done : done + count])
        done += count
        if done < len(view):
            give_way()
    return done, hashing.hexdigest()


def _read_at(file: int, view: memoryview, first: int) -> int:
    """Read from a place in a file. Its position stays untouched, where the system can do that."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [view], first)
    with _POSITION:
        os.lseek(file, first, os.SEEK_SET)
        data = os.read(file, len(view))
    view[: len(data)] = data
    return len(data)


def _sample(file: int, size: int) -> str:
    hashing = hashlib.blake2b(digest_size=16)
    sample = memoryview(bytearray(min(SAMPLE, size)))
    for first in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
        hashing.update(sample[: _read_at(file, sample, first)])
    return hashing.hexdigest()
