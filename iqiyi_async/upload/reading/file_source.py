"""A file as a source: opened late and checked early, read by position with aiofiles, in threads of our own.

One rule says whether it is still the same file. Size, device, inode, times of change: all equal, and none of the times
so young that a second change would not show: trusted, with samples. Anything else: the ranges that were accepted are
read again and compared. An inode is no identity: network mounts make up others each time, and a rename, a chmod or a
backup changes no byte.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import attrs

from ..._fair_queue import Turn
from ...config import MIB
from ...errors import ConfigurationError, SourceChangedError, UploadError
from ...models import ChunkReceipt, Fingerprint
from ..ranges import Range
from .base import Chunk, UploadSource, all_of, latest, printable
from .file_access import (
    YOUNG_NS,
    Found,
    Look,
    close_opened,
    hash_range,
    look_at,
    look_sample_and_close,
    open_file,
    read_and_hash,
    visit,
)
from .resources import SourceResources

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A file of this size that has only just been written is looked at again a moment later: that takes less time than to
#: read all of it twice, in bytes.
WORTH_WAITING = 32 * MIB


class PathSource(UploadSource):
    """A file; made by `of`. It is open while it is read, and as long as nobody else needs its place."""

    def __init__(self, name: str, file_type: str, found: Found, resources: SourceResources, turn: Turn) -> None:
        self.name = name
        self.size: int = found.look.size
        self.file_type = file_type
        self._place = found.place
        self._real = found.real
        self._reference = found.look
        self._samples = found.samples
        self._resources = resources
        self._turn = turn
        self._file: int | None = None
        self._opening = asyncio.Lock()
        self._position = threading.Lock()
        self._reads = 0
        self._pins = 0
        self._begun = False
        #: Whether the file has looked different since; then what was accepted is read again.
        self._doubtful = False
        #: What was read for the service, by its first byte.
        self._sent: dict[int, ChunkReceipt] = {}
        #: Whether bytes of it have been read that count for this upload.
        self._used = False

    @classmethod
    async def of(
        cls,
        path: Path,
        file_type: Callable[[], str],
        expected_size: int | None,
        resources: SourceResources,
        turn: Turn,
        *,
        findable: bool,
    ) -> Self:
        """Look whether a file can be uploaded: it is opened, looked at, sampled and closed.

        Args:
            path: where it is.
            file_type: gives its type, or raises: it is asked for once the file has been seen, so that a folder is
                called a folder.
            expected_size: how many bytes the caller says that it has, or None.
            resources: threads and open files.
            turn: whose upload it is.
            findable: whether it is to be found again by its path (`identify`).

        Raises:
            ConfigurationError: it is not there, can't be read, or is not a file with anything in it.
        """
        name = printable(str(path))
        found = await _check(path, name, resources, turn, real=findable)
        if found.look.size == 0:
            raise ConfigurationError(f"{name} is empty: nothing can be published of it")
        if expected_size not in (None, found.look.size):
            raise ConfigurationError(f"size is {expected_size!r}, but {name} has {found.look.size} bytes")
        return cls(name, file_type(), found, resources, turn)

    # For `OpenFiles`

    @property
    def in_use(self) -> bool:
        """Whether a range is being read at this moment."""
        return self._reads > 0

    @property
    def needed(self) -> bool:
        """Whether a range will be read soon."""
        return self._pins > 0

    def give_up(self) -> int | None:
        """Let go of the file without closing it."""
        file, self._file = self._file, None
        return file

    # For the engine

    async def begin(self) -> None:
        if not self._begun:
            self._begun = True
            if self._reference.young and self.size >= WORTH_WAITING:
                await self._resources.sleep(YOUNG_NS / 1e9)
                found = await self._check_again()
                if found.look.size != self.size:
                    raise self._resized(found.look.size)
                self._reference, self._samples = found.look, found.samples
            return
        await self._close()
        found = await self._check_again()
        same = found.look.proves(self._reference) and found.samples == self._samples and not self._doubtful
        # What was sent the first time may have become a video: this must be the same one.
        if not same and not await self._proven(latest(self._sent.values()), found.look):
            raise self._changed("bytes of it are not those that were sent")
        self._samples, self._doubtful = found.samples, False

    async def _check_again(self) -> Found:
        try:
            return await _check(self._place, self.name, self._resources, self._turn, real=False)
        except ConfigurationError as problem:
            raise SourceChangedError(f"{problem}; nothing was published") from None

    async def identify(self) -> str | None:
        return None if self._real is None else f"path:{self._real}"

    async def fingerprint(self) -> Fingerprint:
        look = self._reference
        # A later run can't know how young it was: so it is written down as one that proves nothing.
        proves_nothing = look.young or not look.usual
        mtime, ctime = (0, 0) if proves_nothing else (look.mtime_ns, look.ctime_ns)
        return Fingerprint(self.size, mtime, look.inode, self._samples, look.device, ctime)

    async def pin(self) -> None:
        self._pins += 1
        self._reads += 1
        try:
            await self._open(now=False)
        except OSError as problem:
            self._pins -= 1
            raise self._unreadable(problem) from None
        except BaseException:
            self._pins -= 1
            raise
        finally:
            self._reads -= 1

    def unpin(self) -> None:
        self._pins -= 1
        self._resources.files.rest(self)

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        view = buffer(part.size)
        threads = self._resources.reading
        count, md5 = await self._reading(
            lambda file: read_and_hash(file, self._position, view, part.first, loop=threads), now=True
        )
        if count < part.size:
            raise self._changed(f"it ends at byte {part.first + count}, and had {self.size}")
        self._sent[part.first] = ChunkReceipt(part.first, part.end - 1, md5)
        return Chunk(part.first, view, md5)

    async def matches(
        self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt], *, all_ranges: bool = False
    ) -> bool:
        if fingerprint.size != self.size:
            return False
        known = latest(accepted)
        look = self._reference
        same_look = (look.device, look.inode, look.mtime_ns, look.ctime_ns) == (
            fingerprint.device,
            fingerprint.inode,
            fingerprint.mtime_ns,
            fingerprint.ctime_ns,
        )
        same_samples = fingerprint.digest == self._samples
        trusted = same_look and not look.young and not all_ranges
        if not known or (trusted and not same_samples and not all_of(self.size, known)):
            return same_samples
        if trusted and same_samples:
            # Three ranges more, for file systems whose times can't be trusted.
            return await self._equal([known[0], known[len(known) // 2], known[-1]])
        return await self._proven(known, await self._look())

    async def is_video(self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt]) -> bool:
        # Ranges may be missing in the journal: then the samples have to agree as well.
        known = all_of(self.size, accepted) or fingerprint.digest == self._samples
        return known and await self.matches(fingerprint, accepted)

    async def compare(self, accepted: Sequence[ChunkReceipt]) -> None:
        if not await self._proven(latest(accepted), await self._look()):
            raise self._changed("bytes of it are not those that were sent")

    async def conclude(self, accepted: Sequence[ChunkReceipt], *, read_all: bool = False) -> None:
        if not read_all and not self._doubtful and await self._untouched():
            return
        await self.compare(accepted)
        await self._close()

    async def aclose(self) -> None:
        try:
            await self._close()
        except OSError as problem:
            logger.warning("%s could not be closed: %s", self.name, problem.strerror)

    async def _proven(self, known: Sequence[ChunkReceipt], look: Look) -> bool:
        """Read accepted ranges again, until two looks in a row agree; False if one differs."""
        differed = not look.agrees(self._reference)
        while True:
            if look.size != self.size:
                raise self._resized(look.size)
            self._reference = look
            await self._reopen()
            if not await self._equal(known):
                return False
            again = await self._look()
            if again.agrees(look):
                return True
            if differed:
                raise self._changed("it is being written to")
            differed, look = True, again

    async def _equal(self, known: Sequence[ChunkReceipt]) -> bool:
        self._used = True
        threads = self._resources.reading
        for chunk in known:
            if not 0 <= chunk.first <= chunk.last < self.size:
                return False
            hashing = partial(hash_range, position=self._position, first=chunk.first, size=chunk.size, loop=threads)
            if await self._reading(hashing) != chunk.md5:
                return False
        return True

    async def _untouched(self) -> bool:
        """Whether the file is the same by its looks and samples; then it is closed."""
        resources = self._resources
        self._reads += 1
        closed: list[bool] = []
        file = None
        try:
            await self._open(now=False)
            # Whatever becomes of this task, nobody else closes it meanwhile.
            file, self._file = self._file, None
            assert file is not None
            job = partial(
                look_sample_and_close, file, self._place, self._reference, self._samples, resources.wall_clock
            )
            await resources.opening.finish(lambda: job(closed.append))
            return bool(closed)
        except OSError as problem:
            raise self._unreadable(problem) from None
        finally:
            self._reads -= 1
            if closed:
                resources.files.leave(self)
            elif file is not None:
                self._file = file
                resources.files.rest(self)

    async def _look(self) -> Look:
        """What is in the file's place by now; or, if nothing can be seen there, the open file: it may have been
        deleted, its bytes remain."""
        self._reads += 1
        try:
            job = partial(look_at, self._file, self._place, self._resources.wall_clock)
            return await self._resources.opening.run(job)
        except OSError as problem:
            raise self._unreadable(problem) from None
        finally:
            self._reads -= 1

    async def _reading(self, job: Callable[[int], Awaitable[T]], *, now: bool = False) -> T:
        """Do something with the open file; `now` if a worker waits for it."""
        self._reads += 1
        try:
            await self._open(now=now)
            assert self._file is not None
            self._used = True
            return await job(self._file)
        except OSError as problem:
            raise self._unreadable(problem) from None
        finally:
            self._reads -= 1
            self._resources.files.rest(self)

    async def _open(self, *, now: bool) -> None:
        if self._file is not None:
            return
        if now and self._opening.locked():
            self._resources.files.hurry(self)
        async with self._opening:
            if self._file is not None:
                return
            files = self._resources.files
            try:
                await files.enter(self, self._turn, now=now)
                opened = await files.open(partial(open_file, self._place, self._resources.wall_clock), close_opened)
            except BaseException:
                files.leave(self)
                raise
            self._file = opened.file
            self._judge(opened.look)

    def _judge(self, look: Look) -> None:
        """The file was opened again: is it the one that was looked at first?"""
        if look.size != self.size:
            raise self._resized(look.size)
        if look != self._reference:
            self._doubtful = True
        elif not self._used:
            # Not a byte was read of it so far, and by now a change would show.
            self._reference = look

    async def _reopen(self) -> None:
        """Open what is in the file's place now."""
        if await self._resources.opening.run(self._place.exists):
            await self._close()

    async def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                await self._resources.opening.finish(partial(os.close, file))
            finally:
                self._resources.files.leave(self)

    def _resized(self, size: int) -> SourceChangedError:
        return self._changed(f"it had {self.size} bytes, and now {size}")

    def _unreadable(self, problem: OSError) -> UploadError:
        return UploadError(f"{self.name} can't be read any more: {problem.strerror}")


@attrs.frozen(eq=False)
class _Visitor:
    """Holds a file open only while it is checked."""

    in_use: bool = True
    needed: bool = True

    def give_up(self) -> int | None:
        return None


async def _check(path: Path, name: str, resources: SourceResources, turn: Turn, *, real: bool) -> Found:
    visitor = _Visitor()
    try:
        await resources.files.enter(visitor, turn)
        return await resources.files.open(partial(visit, path, name, resources.wall_clock, real=real), lambda _: None)
    except (OSError, ValueError) as problem:
        if isinstance(problem, ConfigurationError):
            raise
        why = problem.strerror if isinstance(problem, OSError) else "not a path"
        raise ConfigurationError(f"{name} can't be read: {why}") from None
    finally:
        resources.files.leave(visitor)
