"""The bytes of videos on disk.

Data files, regions in them, and streaming writers that hash while they write. Everything that touches the disk runs in
threads.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Literal

from .intervals import IntervalMap
from .threads import in_thread

#: Bytes gathered before a hop to a thread: large enough that hops don't count, small enough to hold per connection.
BATCH = 1024 * 1024


class Storage:
    """A folder, with mode 0700, with one data file for each video."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._tops: dict[str, int] = {}
        self._free: dict[str, dict[int, list[int]]] = defaultdict(dict)

    def open(self, folder: Path, held: Mapping[str, IntervalMap]) -> None:
        """Take over what an earlier life left in the folder; data of unknown videos are removed. Blocking."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._tops.clear()
        self._free.clear()
        for path in folder.glob("*.data"):
            if path.stem in held:
                self._tops[path.stem] = max(path.stat().st_size, held[path.stem].top)
            else:
                path.unlink()

    def path(self, file_id: str) -> Path:
        """The data file of a video."""
        if self._folder is None:
            raise RuntimeError("the emulator has not started yet, or has ended")
        return self._folder / f"{file_id}.data"

    def close(self) -> None:
        """Let go of the folder."""
        self._folder = None

    def allocate(self, file_id: str, length: int) -> int:
        """Set a region of `length` bytes aside; returns its offset. A region given back is used again first."""
        free = self._free[file_id].get(length)
        if free:
            return free.pop()
        offset = self._tops.get(file_id, 0)
        self._tops[file_id] = offset + length
        return offset

    def give_back(self, file_id: str, offset: int, length: int) -> None:
        """Free a region whose chunk came to nothing."""
        if file_id in self._tops:
            self._free[file_id].setdefault(length, []).append(offset)

    def writer(self, file_id: str, offset: int, *, corrupt: bool = False) -> RegionWriter:
        """A writer for the region at `offset`; with `corrupt`, one bit turns over on the way."""
        return RegionWriter(self.path(file_id), offset, corrupt=corrupt)

    async def remove(self, file_ids: Iterable[str]) -> None:
        """Delete the data of these videos."""
        paths = [self.path(file_id) for file_id in file_ids]
        for path in paths:
            self._tops.pop(path.stem, None)
            self._free.pop(path.stem, None)
        await in_thread(_unlink, paths)

    def read(self, file_id: str, intervals: IntervalMap, first: int, end: int) -> bytes:
        """Bytes `first` up to `end` of a video. Blocking; holds all of them in memory."""
        parts: list[bytes] = []
        with _open(self.path(file_id)) as file:
            for offset, length in tuple(intervals.pieces(first, end)):
                file.seek(offset)
                parts.append(_read_exactly(file, length))
        return b"".join(parts)

    async def stream(self, file_id: str, intervals: IntervalMap, first: int, end: int) -> AsyncIterator[bytes]:
        """The same bytes in batches, for answers of any size."""
        while first < end:
            batch = await in_thread(self.read, file_id, intervals, first, min(first + BATCH, end))
            if not batch:
                return
            yield batch
            first += BATCH

    def digest(self, file_id: str, intervals: IntervalMap, size: int) -> str:
        """The MD5 of a whole video, in hex. Blocking."""
        md5 = hashlib.md5(usedforsecurity=False)
        for first in range(0, size, BATCH):
            md5.update(self.read(file_id, intervals, first, min(first + BATCH, size)))
        return md5.hexdigest()


class RegionWriter:
    """Streams one chunk into its region, hashing on the way; holds at most one batch in memory."""

    def __init__(self, path: Path, offset: int, *, corrupt: bool) -> None:
        self._path = path
        self._offset = offset
        self._corrupt = corrupt
        self._batch = bytearray()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file: FileIO | None = None
        self._closed = False
        # A cancelled request may close while its last write still runs in a thread.
        self._guard = threading.Lock()
        self.received: int = 0

    @property
    def md5(self) -> str:
        """The MD5 of what was written, in hex; complete after `flush`."""
        return self._md5.hexdigest()

    async def write(self, data: memoryview) -> None:
        """Take some bytes of the chunk."""
        self._batch += data
        self.received += len(data)
        if len(self._batch) >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Return when everything taken so far is on disk and in the MD5."""
        batch, self._batch = self._batch, bytearray()
        if batch:
            if self._corrupt:
                batch[0] ^= 1
                self._corrupt = False
            await in_thread(self._store, batch)

    def _store(self, batch: bytearray) -> None:
        with self._guard:
            if self._closed:
                return
            if self._file is None:
                self._file = _open(self._path, os.O_RDWR | os.O_CREAT)
                self._file.seek(self._offset)
            self._md5.update(batch)
            write_all(self._file, batch)

    async def close(self) -> None:
        """Let go of the file; what was not flushed is lost."""
        self._batch = bytearray()
        await in_thread(self._close)

    def _close(self) -> None:
        with self._guard:
            self._closed = True
            if self._file is not None:
                self._file.close()
                self._file = None


def _open(path: Path, flags: int = os.O_RDONLY) -> FileIO:
    mode: Literal["rb", "r+b"] = "rb" if flags == os.O_RDONLY else "r+b"
    binary = getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | binary, 0o600)
    return open(descriptor, mode, buffering=0)  # noqa: PTH123


def write_all(file: FileIO, batch: bytes | bytearray) -> None:
    """Write everything; the system may take it in several bites."""
    with memoryview(batch) as whole:
        done = 0
        while done < len(whole):
            done += file.write(whole[done:])


def _read_exactly(file: FileIO, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0:
        part = file.read(length)
        if not part:
            raise OSError("a data file is shorter than what was accepted")
        parts.append(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
