"""A source that the caller reads by ranges: an object in a store, a file behind HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from types import TracebackType

from .. import _validation
from ..errors import UploadError, VideoCloudError
from ..models import ChunkReceipt, Fingerprint
from .ranges import Range
from .resources import SourceResources
from .sources import Chunk, RangeSource, UploadSource, failed_source


class RangeUploadSource(UploadSource):
    """A range source of the caller's."""

    reads_ahead = True

    def __init__(self, source: RangeSource, size: int, file_type: str, resources: SourceResources) -> None:
        self._source = source
        self._resources = resources
        self._identity: str | None = None
        self.name = str(getattr(source, "name", None) or type(source).__name__)
        self.size = size
        self.file_type = file_type

    async def begin(self) -> None:
        await self._same_identity()

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Chunk:
        memory = self._resources.memory
        await memory.reserve(part.size)
        try:
            view = await self._read(part)
            return Chunk(view, await self._resources.hashed(view), lambda: memory.give_back(part.size))
        except BaseException:
            memory.give_back(part.size)
            raise

    async def identify(self) -> str | None:
        named = getattr(self._source, "name", None)
        return f"range:{named}" if named and await self._known_identity() else None

    async def fingerprint(self) -> Fingerprint:
        identity = await self._known_identity()
        digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return Fingerprint(self.size, 0, 0, digest if identity else "")

    async def matches(
        self, fingerprint: Fingerprint, accepted: Sequence[ChunkReceipt], *, all_ranges: bool = False
    ) -> bool:
        mine = await self.fingerprint()
        if mine.size != fingerprint.size or not mine.digest or mine.digest != fingerprint.digest:
            return False
        return not all_ranges or await self._same_ranges(accepted)

    async def conclude(self, accepted: Sequence[ChunkReceipt], *, read_all: bool = False) -> None:
        await self._same_identity()
        if read_all and not await self._same_ranges(accepted):
            raise self._changed("bytes that were read again differ")

    async def aclose(self) -> None:
        """It is the caller's."""

    async def _known_identity(self) -> str:
        if self._identity is None:
            self._identity = await self._ask_identity()
        return self._identity

    async def _same_identity(self) -> None:
        if await self._ask_identity() != await self._known_identity():
            raise self._changed("its identity is another one")

    async def _ask_identity(self) -> str:
        async with self._in_time():
            return str(await self._source.identity())

    async def _read(self, part: Range) -> memoryview:
        async with self._in_time():
            data: object = await self._source.read_range(part.first, part.size)
        view = _validation.octets("what read_range() returned", data)
        if len(view) != part.size:
            raise self._changed(f"read_range({part.first}, {part.size}) returned {len(view)} bytes")
        return view

    def _in_time(self) -> _InTime:
        return _InTime(self.name, self._resources.source_timeout)


async def ask_size(source: RangeSource, resources: SourceResources) -> int:
    """The bytes of a source that knows them only once it was asked for its identity."""
    async with _InTime(str(getattr(source, "name", None) or type(source).__name__), resources.source_timeout):
        await source.identity()
    return source.size


class _InTime:
    """What a caller's source raises, or does not give in time, is an error of the upload."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._scope = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            if self._scope.expired():
                raise UploadError(
                    f"{self._name} gave nothing for {self._seconds:g} s (source_timeout)", retryable=True
                ) from None
            raise
        if isinstance(error, Exception) and not isinstance(error, VideoCloudError):
            raise failed_source(self._name, error) from error
