"""Uploads whose length is not known at first: they go to a folder, and from there to the service once it is.

The service wants the size of a file before its first byte. So such a body has to be kept somewhere.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import aiofiles
import aiofiles.os
import attrs
from aiofiles.base import wrap
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from .. import AsyncVideoCloud, VideoCloudError
from ..stores import GatewayJournal
from .ending import Ending
from .leases import Hold, stored
from .piping import check_place, check_whole
from .receiving import Body
from .records import Details, check_number, check_size
from .tus import TusError, unavailable

logger: logging.Logger = logging.getLogger(__name__)

_ENDING = ".part"

#: Bytes of a body that may wait in memory to be written.
BUFFER = 8192


def _path(value: str | os.PathLike[str]) -> Path:
    return Path(value)


@attrs.frozen
class Spool:
    """Where bodies of unknown length are kept until they are uploaded.

    Attributes:
        path: a folder of the gateway's own, on this machine's disk; made with mode 0700 if it is missing. All worker
            processes of the machine may share it.
        max_bytes: the most that all files in it may take together; what goes beyond it is refused.

    Raises:
        ConfigurationError: `max_bytes` is no whole number above 0.
    """

    path: Path = attrs.field(converter=_path)
    max_bytes: int = attrs.field()

    def __attrs_post_init__(self) -> None:
        check_number("max_bytes", self.max_bytes)

    def file_of(self, key: str) -> Path:
        """The file of one upload."""
        return self.path / f"{key}{_ENDING}"


class Spooling:
    """Writes bodies into files, and uploads those that are whole.

    Args:
        spool: the folder.
        cloud: the client.
        store: the journal.
        ending: ends uploads.
        life: seconds that an upload is kept after its last byte.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        spool: Spool,
        cloud: AsyncVideoCloud,
        store: GatewayJournal,
        ending: Ending,
        life: float,
        clock: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._cloud = cloud
        self._store = store
        self._ending = ending
        self._life = life
        self._clock = clock

    async def offset(self, hold: Hold) -> int:
        """The end of what is on the disk; one byte before it if that is all."""
        there = await self._size(hold.record.key)
        return there - 1 if there == hold.record.size else there

    async def all_there(self, hold: Hold) -> bool:
        """Whether the file is whole."""
        return hold.record.size is not None and await self._size(hold.record.key) == hold.record.size

    async def receive(self, hold: Hold, body: Body, offset: int, length: int | None) -> int:
        """Take a body (see `Way`)."""
        check_place(hold, offset, await self.offset(hold), length)
        path = self._spool.file_of(hold.record.key)
        if await self.all_there(hold):
            # The last byte once more, because the end could not be acknowledged.
            last = _LastByte()
            await body.pipe(hold, last, 1)
            check_whole(hold, body)
            with _disk():
                async with aiofiles.open(path, "rb") as file:
                    await file.seek(offset)
                    before = await file.read()
            if before != bytes(last.data):
                raise TusError(409, "this is not the byte that came before")
        else:
            check_size(offset + (length or 0), Details.of(hold.record).max_size)
            with _disk():
                await self._append(hold, body, path, offset, length)
        if await self.all_there(hold):
            await self.conclude(hold)
            return hold.record.size or 0
        return await self._size(hold.record.key)

    async def conclude(self, hold: Hold, within: float | None = None) -> None:
        """Upload the file (see `Way`). Who has no time for it is told to come back."""
        if within is not None:
            raise unavailable("the upload is on its way to the service; send its last byte again")
        record, details = hold.record, Details.of(hold.record)
        path = self._spool.file_of(record.key)
        # Videos are compared with earlier ones of the same owner only.
        group = f"{details.group or ''}/{record.owner}" if record.owner else details.group
        try:
            receipt = await self._cloud.upload(
                path, details.metadata, file_type=details.file_type, key=record.key, group=group
            )
        except VideoCloudError as error:
            failed = await self._ending.failed(hold, error)
            if failed.status == 422:
                await self._remove(record.key)
            raise failed from error
        await self._ending.finished(hold, receipt)
        await self._remove(record.key)

    async def cancel(self, hold: Hold) -> None:
        """Remove the file (see `Way`)."""
        await self._ending.cancel(hold)
        await self._remove(hold.record.key)

    async def keys(self) -> AsyncIterator[str]:
        """The keys of files in the folder."""
        try:
            names = await aiofiles.os.listdir(self._spool.path)
        except FileNotFoundError:
            return
        for name in sorted(names):
            if name.endswith(_ENDING):
                yield name.removesuffix(_ENDING)

    async def _append(self, hold: Hold, body: Body, path: Path, offset: int, length: int | None) -> None:
        free = self._spool.max_bytes - await self._used()
        if length is not None and length > free:
            raise self._full(offset + length)
        hold.received = offset
        async with _SpoolFile(path, offset, free, self._full) as file:
            most = self._spool.max_bytes if hold.record.size is None else hold.record.size - offset
            try:
                await body.pipe(hold, file, most)
                check_size(offset + body.size, Details.of(hold.record).max_size)
                check_whole(hold, body)
            except BaseException as problem:
                if body.is_checked or (isinstance(problem, TusError) and problem.status == 413):
                    await file.cut_back()
                raise
            finally:
                await file.sync()
                there = await self._size(hold.record.key)
                # Nothing of it is at the service yet.
                write = self._store.set_offset(hold.record.key, hold.writer.fence, 0, there, self._clock() + self._life)
                if not await stored(write):
                    raise unavailable("another process has taken this upload over; try again")

    def _full(self, size: int) -> TusError:
        if size > self._spool.max_bytes:
            return TusError(413, f"the server keeps {self._spool.max_bytes} bytes of such uploads at most")
        return unavailable("the server has no room for the upload now", 60.0)

    async def _used(self) -> int:
        with _disk():
            await aiofiles.os.makedirs(self._spool.path, mode=0o700, exist_ok=True)
        return sum([await self._size(key) async for key in self.keys()])

    async def _size(self, key: str) -> int:
        with _disk():
            try:
                return (await aiofiles.os.stat(self._spool.file_of(key))).st_size
            except FileNotFoundError:
                return 0

    async def _remove(self, key: str) -> None:
        try:
            await aiofiles.os.remove(self._spool.file_of(key))
        except FileNotFoundError:
            return
        except OSError as problem:
            logger.warning("a spooled file could not be removed: %s", problem)


@contextmanager
def _disk() -> Generator[None, None, None]:
    """A disk that is full or broken is an outage: what has come so far counts, and the rest comes later."""
    try:
        yield
    except OSError as problem:
        logger.warning("the spool of the gateway failed (%s)", problem)
        raise unavailable("the server can't keep the upload now; try again later", 60.0) from problem


class _SpoolFile:
    """A file that a body is appended to."""

    def __init__(self, path: Path, offset: int, free: int, full: Callable[[int], TusError]) -> None:
        self._path = path
        self._offset = offset
        self._free = free
        self._full = full
        self._written = 0
        self._file: AsyncBufferedIOBase | None = None

    async def __aenter__(self) -> Self:
        # Python 3.15 would keep up to 128 KiB of a body in memory until the next write, and a crash would lose them.
        file = await aiofiles.open(self._path, "ab", buffering=BUFFER, opener=_private)
        self._file = cast("AsyncBufferedIOBase", file)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._file is not None
        await self._file.close()

    async def room(self) -> None:
        """The disk always has room; how much, is known when bytes come."""

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        assert self._file is not None
        if self._written + len(data) > self._free:
            raise self._full(self._offset + self._written + len(data))
        self._written += len(data)
        await self._file.write(data)

    async def cut_back(self) -> None:
        """What was appended does not count."""
        assert self._file is not None
        await self._file.flush()
        await self._file.truncate(self._offset)

    async def sync(self) -> None:
        """Have it on the disk."""
        assert self._file is not None
        await self._file.flush()
        await wrap(os.fsync)(self._file.fileno())


class _LastByte:
    """Where the last byte goes that comes once more."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def room(self) -> None:
        """There is always room."""

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        self.data += data


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
