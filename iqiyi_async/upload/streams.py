"""A stream as a source: read once, in order, by a task of its own, and gathered before a worker is taken."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Any, cast

from .._concurrency import run_to_completion
from ..config import MIB
from ..errors import ConfigurationError, SourceChangedError, UploadError, VideoCloudError
from ..models import ChunkReceipt
from .resources import SourceResources
from .sources import Chunk, UploadSource, failed_source

logger: logging.Logger = logging.getLogger(__name__)


class StreamSource(UploadSource):
    """An async iterable of bytes.

    It is iterated over in one and the same task, which asks for a piece only when there is use for it.
    """

    rereadable = False

    def __init__(
        self,
        stream: AsyncIterable[bytes],
        name: str,
        size: int,
        file_type: str,
        resources: SourceResources,
        *,
        is_reader: bool = False,
    ) -> None:
        self._stream = stream
        self._is_reader = is_reader
        self._resources = resources
        self._rest = memoryview(b"")
        self._asked = asyncio.Event()
        self._answered = asyncio.Event()
        self._flush = asyncio.Event()
        self._piece: object = None
        self._ended = False
        self._problem: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self._gathered = 0
        self._at = 0
        self.name = name
        self.size = size
        self.file_type = file_type

    async def begin(self) -> None:
        """Ask for the first piece: what gives no bytes is found out before anything is sent."""
        if self._reader is None:
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="iqiyi-async stream")
            try:
                await self._next(None)
            except (SourceChangedError, ConfigurationError):
                raise
            except UploadError as error:
                if self._is_reader and isinstance(error.__cause__, ValueError | TypeError):
                    # A closed file, a read() that takes no size: nothing has been read of it.
                    raise ConfigurationError(
                        f"{self.name} can't be read: {error.__cause__}; give one that is open, with an async read(n)"
                    ) from error.__cause__
                raise

    async def gather(self, most: int) -> Chunk:
        memory = self._resources.memory
        self._flush.clear()
        held = bytearray()
        try:
            while len(held) < most:
                if not self._rest and not await self._next(self._resources.flush_after if held else None):
                    break
                count = memory.take(self, min(len(self._rest), most - len(held)))
                if count:
                    held += self._rest[:count]
                    self._gathered = len(held)
                    self._rest = self._rest[count:]
                elif held and self._flush.is_set():
                    break
                else:
                    await self._wait_for_room()
            if self._at + len(held) == self.size:
                await self._expect_end()
            memory.sending(self)
            view = memoryview(held)
            md5 = await self._resources.hashed(view)
        except BaseException:
            memory.sending(self)
            memory.give_back(len(held))
            raise
        self._at += len(held)
        size = len(held)
        return Chunk(view, md5, lambda: memory.give_back(size))

    def flush(self) -> None:
        """Others need room: send what there is."""
        self._flush.set()
        self._answered.set()

    async def compare(self, accepted: Sequence[ChunkReceipt]) -> None:
        for each in accepted:
            hashing = hashlib.md5(usedforsecurity=False)
            left = each.size
            while left:
                if not self._rest:
                    await self._next(None)
                hashing.update(self._rest[:left])
                count = min(left, len(self._rest))
                self._rest = self._rest[count:]
                left -= count
            self._at += each.size
            if hashing.hexdigest() != each.md5:
                raise SourceChangedError(
                    f"{self.name} is not what it was when its upload began: bytes {each.first} to {each.last} differ;"
                    " nothing was published"
                )
            if self._at == self.size:
                await self._expect_end()

    async def aclose(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.cancel()
            await run_to_completion(asyncio.wait([self._reader]))
        elif self._reader is None:
            await _close(self._stream, self.name)

    async def _wait_for_room(self) -> None:
        """Wait until somebody has given memory back, or until what is here should be sent."""
        room = asyncio.ensure_future(self._resources.memory.room())
        flush = asyncio.ensure_future(self._flush.wait())
        try:
            await asyncio.wait([room, flush] if self._gathered else [room], return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
            flush.cancel()

    async def _next(self, flush_after: float | None) -> bool:
        """Have the next piece that is not empty; False if what there is should be sent before.

        Args:
            flush_after: seconds without a piece after which that is so; never if None.

        Raises:
            SourceChangedError: the stream has ended.
            UploadError: it failed, or gave nothing for too long.
        """
        # Let go of the last piece: who gave it may want to fill its memory anew.
        self._rest = memoryview(b"")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._resources.source_timeout
        flush_at = None if flush_after is None else loop.time() + flush_after
        while True:
            if self._piece is not None:
                piece, self._piece = self._piece, None
                self._rest = _bytes(piece, ConfigurationError if not self._at and not self._gathered else None)
                if self._rest:
                    return True
            if self._problem is not None:
                raise self._failed(self._problem) from self._problem
            if self._ended:
                raise SourceChangedError(f"{self.name} ended before its {self.size} bytes; nothing was published")
            if flush_at is not None and (self._flush.is_set() or loop.time() >= flush_at):
                return False
            if loop.time() >= deadline:
                raise UploadError(
                    f"{self.name} gave nothing for {self._resources.source_timeout:g} s (source_timeout)",
                    retryable=False,
                )
            self._answered.clear()
            self._asked.set()
            wake = loop.call_at(min(deadline, flush_at or deadline), self._answered.set)
            try:
                await self._answered.wait()
            finally:
                wake.cancel()

    async def _expect_end(self) -> None:
        """The last byte is sent only when it is known that none follows it."""
        longer = bool(self._rest)
        if not longer:
            try:
                longer = await self._next(None)
            except SourceChangedError:
                return
        raise SourceChangedError(f"{self.name} goes on after its {self.size} bytes; nothing was published")

    async def _read(self) -> None:
        """Iterate over the stream, piece by piece, as they are asked for."""
        try:
            pieces = aiter(self._stream)
            while True:
                await self._asked.wait()
                self._asked.clear()
                try:
                    self._piece = await anext(pieces)
                except StopAsyncIteration:
                    self._ended = True
                    return
                finally:
                    self._answered.set()
        except Exception as problem:  # noqa: BLE001 - the caller's stream, and `_next` raises it
            self._problem = problem
        except BaseException as problem:
            self._problem = problem
            raise
        finally:
            self._answered.set()
            await _close(self._stream, self.name)

    def _failed(self, problem: BaseException) -> VideoCloudError:
        if isinstance(problem, VideoCloudError):
            return problem
        return failed_source(self.name, cast("Exception", problem))


async def pieces_of(reader: Any) -> AsyncGenerator[bytes, None]:
    """An object with an async `read` as a stream."""
    while True:
        reading = reader.read(MIB)
        if not inspect.isawaitable(reading):
            raise ConfigurationError(
                f"source, a {type(reader).__name__}, has a read() that is not async; give its path, or its bytes"
            )
        piece = await reading
        if not piece:
            return
        yield piece


async def _close(stream: object, name: str) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        try:
            await close()
        except Exception:
            # What was sent is sent; a source that can't be closed costs no receipt.
            logger.warning("%s could not be closed", name, exc_info=True)


def _bytes(piece: object, error: type[ConfigurationError] | None) -> memoryview:
    if isinstance(piece, bytes | bytearray | memoryview):
        view = memoryview(cast("bytes", piece))
        if view.c_contiguous:
            return view.cast("B")
        problem = "a view of bytes with gaps; give bytes(it)"
    else:
        problem = f"{type(piece).__name__} instead of bytes; give bytes(it)"
    raise (error or SourceChangedError)(f"the stream gave {problem}")
