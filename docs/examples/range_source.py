"""A range source: a recording that a camera has cut into files of equal size, uploaded as one video."""

from pathlib import Path

from anyio import open_file, to_thread


class Recording:
    def __init__(self, folder: Path, part_size: int) -> None:
        self.name = f"{folder}/recording.ts"  # finds the upload again, and says its type
        self._part_size = part_size
        self._parts = sorted(folder.glob("*.part"))
        self.size = sum(part.stat().st_size for part in self._parts)

    async def identity(self) -> str:  # changes when the bytes do
        stats = await to_thread.run_sync(lambda: [part.stat() for part in self._parts])
        return " ".join(f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)

    async def read_range(self, first: int, size: int) -> bytes:  # exactly `size` bytes
        found = bytearray()
        while len(found) < size:
            number, offset = divmod(first + len(found), self._part_size)
            async with await open_file(self._parts[number], "rb") as file:
                await file.seek(offset)
                found += await file.read(size - len(found))
        return bytes(found)
