"""Streams as sources: their bytes are gathered, in memory that all streams share, before a worker is taken for them.

A stream is read once, in order, in a task of its own, which also closes it; and never further than it is asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from functools import partial
from typing import cast

from ..._concurrency import run_to_completion
from ..._fair_queue import Turn
from ...errors import ConfigurationError, SourceChangedError, UploadError
from ...models import Bottleneck, ChunkReceipt, Fingerprint
from .base import Chunk, UploadSource, latest, octets
from .memory import allocate
from .resources import INLINE_HASH, SourceResources

logger: logging.Logger = logging.getLogger(__name__)

_END = object()
_NOTHING = memoryview(b"")


class StreamSource(UploadSource):
    """An async iterable: read once, in order.

    Args:
        stream: gives the bytes.
        name: what a person knows it by.
        size: how many bytes it gives.
        file_type: such as ``"mp4"``.
        resources: memory, threads and bounds.
        turn: whose upload it is.
    """

    rereadable = False
    reading = Bottleneck.SOURCE

    def __init__(
        self,
        stream: AsyncIterable[bytes],
        *,
        name: str,
        size: int,
        file_type: str,
        resources: SourceResources,
        turn: Turn,
    ) -> None:
        self.name = name
        self.size = size
        self.file_type = file_type
        try:
            self._pieces: AsyncIterator[object] = aiter(stream)
        except Exception as problem:
            raise self._failed(problem) from problem
        self._resources = resources
        self._memory = resources.memory
        self._turn = turn
        self._clock = asyncio.get_running_loop().time
        self._reader: asyncio.Task[None] | None = None
        self._closed = False
        #: Of the piece that came last, what is in no range yet.
        self._rest: memoryview = _NOTHING
        #: Where the range that is gathered now begins.
        self._at = 0
        self._gathering: _Gathering | None = None
        self._asked = asyncio.Event()
        self._first: asyncio.Future[None] | None = None
        self._problem: BaseException | None = None
        self._ended = False
        #: Since when the stream has been asked for a piece (loop time), or None while it is not being asked.
        self._silent_since: float | None = None
        self._running = asyncio.Event()
        self._running.set()

    async def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.size, 0, 0, "")

    async def begin(self) -> None:
        """Ask for the first piece: what gives no bytes is found out before anything is sent."""
        self._first = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read_pieces(), name="iqiyi-async stream")
        await self._wait_for(self._first)
        self._check()

    async def gather(self, most: int, *, exact: bool = False) -> Chunk:
        size = min(most, self.size - self._at)
        gathering = _Gathering(size, exact=exact)
        self._gathering = gathering
        self._asked.set()
        try:
            self._check()
            await self._running.wait()
            await self._wait_for(gathering.done)
            if not gathering.filled:
                self._check()
        except BaseException:
            self._gathering = None
            self._memory.withdraw(self)
            if gathering.handed_over:
                self._memory.release(gathering.filled)
            else:
                self._memory.drop(self)
            raise
        return await self._chunk(gathering)

    async def _chunk(self, gathering: _Gathering) -> Chunk:
        first, size = gathering.first, gathering.filled
        if gathering.hashing is not None:
            return Chunk(first, b"", gathering.hashing.hexdigest(), size=size)
        view = gathering.view[:size]
        chunk = Chunk(first, view, "", give_back=partial(self._memory.release, size))
        try:
            chunk.md5 = await self._resources.hashed(view)
        except BaseException:
            chunk.release()
            raise
        return chunk

    def flush(self) -> None:
        """Return from `gather` with what there is, as far as there is anything."""
        gathering = self._gathering
        if gathering is None or gathering.exact or not gathering.filled:
            return
        self._complete(gathering)
        self._memory.withdraw(self)

    def pause(self) -> None:
        self._running.clear()
        self.flush()

    def resume(self) -> None:
        if self._silent_since is not None:
            self._silent_since = self._clock()
        self._running.set()

    async def compare(self, accepted: Sequence[ChunkReceipt]) -> None:
        for known in latest(accepted):
            if known.first < self._at:
                continue
            if known.first > self._at:
                await self._skip(known.first)
            chunk = await self.gather(known.size, exact=True)
            if (chunk.size, chunk.md5) != (known.size, known.md5):
                raise SourceChangedError(
                    f"{self.name} is not what it was when its upload began: bytes {known.first} to {known.last} differ;"
                    " nothing was published"
                )

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        reader = self._reader
        if reader is None:
            # Never asked for a piece.
            reader = asyncio.create_task(self._close_pieces(), name="iqiyi-async stream")
        else:
            reader.cancel()
        await run_to_completion(asyncio.wait([reader]))
        self._rest = _NOTHING

    async def _skip(self, end: int) -> None:
        while self._at < end:
            await self.gather(end - self._at, exact=True)

    async def _wait_for(self, done: asyncio.Future[None]) -> None:
        """Wait for bytes, no longer than the options allow."""
        options = self._resources.options
        while not done.done():
            now = self._clock()
            deadlines: list[float] = []
            gathering = self._gathering
            if self._running.is_set():
                if self._silent_since is not None:
                    deadlines.append(self._silent_since + options.source_timeout)
                if gathering is not None and gathering.filled and not gathering.exact:
                    deadlines.append(gathering.since + options.flush_after)
            if deadlines and min(deadlines) <= now:
                if self._silent_since is not None and self._silent_since + options.source_timeout <= now:
                    raise UploadError(
                        f"{self.name} has given no bytes for {options.source_timeout:g} s (source_timeout); nothing was"
                        " published",
                        retryable=False,
                    )
                self.flush()
                continue
            # Looked at again after a while in any case: what is waited for changes while the reader goes on.
            limit = min([*deadlines, now + min(options.source_timeout, options.flush_after)]) - now
            await asyncio.wait([done], timeout=limit)

    def _check(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _complete(self, gathering: _Gathering) -> None:
        self._gathering = None
        gathering.first = self._at
        self._at += gathering.filled
        if not gathering.exact:
            self._memory.hand_over(self, gathering.filled)
            gathering.handed_over = True
        gathering.done.set_result(None)

    @property
    def _begun(self) -> bool:
        """Whether the first piece has come."""
        return self._first is not None and self._first.done()

    # In the task of the stream

    async def _read_pieces(self) -> None:
        try:
            await self._next_piece()
            self._answer_first()
            while self._left():
                gathering = self._gathering
                if gathering is None or not self._running.is_set():
                    self._asked.clear()
                    await self._running.wait()
                    if self._gathering is None:
                        await self._asked.wait()
                    continue
                await self._go_on(gathering)
        except asyncio.CancelledError as problem:
            if self._closed:
                raise
            self._fail(self._failed(problem))
        except BaseException as problem:  # noqa: BLE001 - raised where the bytes are waited for
            self._fail(problem)
        finally:
            await self._close_pieces()

    def _left(self) -> int:
        """Bytes that are in no range yet."""
        return self.size - self._at - (self._gathering.filled if self._gathering is not None else 0)

    async def _go_on(self, gathering: _Gathering) -> None:
        """Copy as much of the piece at hand as there is room for; ask for another where it is used up."""
        if not self._rest:
            await self._next_piece()
            return
        behind = self.size - self._at - gathering.filled
        if behind == 1 and not self._ended:
            await self._expect_end()
            return
        # The last byte is sent only when it is known that none follows it.
        wanted = min(len(self._rest), gathering.size - gathering.filled, behind if self._ended else behind - 1)
        waited = False
        if gathering.hashing is not None:
            piece = self._rest[:wanted]
            if wanted <= INLINE_HASH:
                gathering.hashing.update(piece)
            else:
                await self._resources.reading.run(partial(gathering.hashing.update, piece))
            if self._gathering is not gathering:
                return
            size = wanted
        else:
            size = self._memory.take_now(self, wanted)
            waited = not size
            if waited:
                size = await self._memory.take(self, self._turn, wanted)
            if self._gathering is not gathering:
                # Sent as it was meanwhile, or not wanted any more.
                return
            gathering.view[gathering.filled : gathering.filled + size] = self._rest[:size]
        self._rest = self._rest[size:] or _NOTHING
        gathering.filled += size
        gathering.since = self._clock()
        if gathering.filled == gathering.size:
            self._complete(gathering)
        if waited:
            self._memory.make_room()

    async def _next_piece(self) -> None:
        """The next piece that is not empty; b"" only ever ends a stream of the reading kind."""
        # Let go of the last piece: its owner may want to use its memory again.
        self._rest = _NOTHING
        piece = await self._ask()
        while piece is not _END and not _has_bytes(piece):
            piece = await self._ask()
        if piece is _END:
            raise SourceChangedError(f"{self.name} ended before its {self.size} bytes; nothing was published")
        self._rest = octets(f"{self.name} gave", piece, SourceChangedError if self._begun else ConfigurationError)

    async def _expect_end(self) -> None:
        last = self._rest
        self._rest = memoryview(bytes(last[:1]))
        longer = len(last) > 1
        del last
        while not longer:
            piece = await self._ask()
            if piece is _END:
                self._ended = True
                return
            longer = _has_bytes(piece)
        raise SourceChangedError(f"{self.name} goes on after its {self.size} bytes; nothing was published")

    async def _ask(self) -> object:
        if self._silent_since is None:
            self._silent_since = self._clock()
        try:
            piece = await anext(self._pieces, _END)
        except Exception as problem:
            if isinstance(problem, ConfigurationError) and not self._begun:
                raise
            raise self._failed(problem) from problem
        if piece is _END or _has_bytes(piece):
            self._silent_since = None
        return piece

    def _failed(self, problem: BaseException) -> UploadError:
        said = f": {problem}" if str(problem) else ""
        error = UploadError(
            f"{self.name} failed ({type(problem).__name__}{said}); nothing was published",
            retryable=getattr(problem, "retryable", False) is True,
        )
        error.__cause__ = problem
        return error

    def _fail(self, problem: BaseException) -> None:
        self._problem = problem
        gathering = self._gathering
        if gathering is not None and not gathering.done.done():
            # What is gathered is of no use: the upload ends.
            gathering.filled, self._gathering = 0, None
            self._memory.drop(self)
            gathering.done.set_result(None)
        self._answer_first()

    def _answer_first(self) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    async def _close_pieces(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception as problem:  # noqa: BLE001 - of the caller's own code; the upload's outcome stands
            logger.warning("%s could not be closed (%s: %s)", self.name, type(problem).__name__, problem)


class _Gathering:
    """A range that is being gathered."""

    def __init__(self, size: int, *, exact: bool) -> None:
        self.size = size
        self.exact = exact
        self.first = 0
        self.filled = 0
        self.since = 0.0
        self.handed_over = False
        self.hashing = hashlib.md5(usedforsecurity=False) if exact else None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._view: memoryview | None = None

    @property
    def view(self) -> memoryview:
        """Memory for the bytes; none before there are any."""
        if self._view is None:
            self._view = allocate(self.size)
        return self._view


def _has_bytes(piece: object) -> bool:
    """Whether a piece is not empty, as far as it is a piece at all."""
    return not isinstance(piece, bytes | bytearray | memoryview) or memoryview(cast("bytes", piece)).nbytes > 0
