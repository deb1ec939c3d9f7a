"""A source of one's own: the segments of a recorder, read by ranges, in parallel, and resumed after a crash."""

from pathlib import Path

import anyio


class Recording:
    """A film that lies in a folder in segments of equal size (but for the last), and is uploaded as one video."""

    def __init__(self, folder: Path, segment: int) -> None:
        self.name = f"{folder}/film.mp4"
        self._segment = segment
        self._files = sorted(folder.glob("*.part"))
        self._stats = [file.stat() for file in self._files]
        self.size = sum(stat.st_size for stat in self._stats)

    async def identity(self) -> str:
        return " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in self._stats)

    async def read_range(self, first: int, size: int) -> bytes:
        index, offset = divmod(first, self._segment)
        async with await anyio.open_file(self._files[index], "rb") as file:
            await file.seek(offset)
            found = await file.read(size)
        return found + (await self.read_range(first + len(found), size - len(found)) if len(found) < size else b"")
