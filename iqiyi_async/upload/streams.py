"""Bytes in memory, and streams, as sources.

Bytes are sent from where they are. A stream is read once, in order, into the lanes' buffers: so it can't be resumed
in another process, and a slow one keeps a lane waiting.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import cast

import anyio

from ..errors import ConfigurationError, SourceChangedError
from ..models import Fingerprint
from .ranges import Range
from .source import Data, Source, hashed


class BytesSource(Source):
    """Bytes in memory, sent from where they are."""

    def __init__(self, data: bytes | memoryview, file_type: str) -> None:
        self._view = memoryview(data)
        self._digest: str | None = None
        self.size: int = len(self._view)
        self.file_type = file_type

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Data:
        view = self._view[part.first : part.end]
        return Data(view, await hashed(view, "md5", self.threads))

    async def identify(self) -> str:
        return f"bytes:{await self._content()}"

    async def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.size, 0, 0, await self._content())

    async def _content(self) -> str:
        if self._digest is None:
            self._digest = await hashed(self._view, "blake2b", self.threads)
        return self._digest


class StreamSource(Source):
    """An async iterable: read once, in order."""

    rereadable = False

    def __init__(self, stream: AsyncIterable[bytes], size: int, file_type: str) -> None:
        self._pieces: AsyncIterator[bytes] = aiter(stream)
        self._rest = memoryview(b"")
        self._at = 0
        self.size = size
        self.file_type = file_type

    async def begin(self) -> None:
        """Ask for the first piece: what gives no bytes is found out before anything is sent."""
        self._rest = _bytes(await self._next(), ConfigurationError)

    async def read(self, part: Range, buffer: Callable[[int], memoryview]) -> Data:
        assert part.first == self._at, "a stream is read in order"
        view = buffer(part.size)
        filled = 0
        while filled < part.size:
            if not self._rest:
                # Let go of the last piece: whoever gave it may want to fill its memory anew.
                self._rest = memoryview(b"")
                self._rest = _bytes(await self._next(), SourceChangedError)
                continue
            take = min(len(self._rest), part.size - filled)
            view[filled : filled + take] = self._rest[:take]
            self._rest = self._rest[take:]
            filled += take
        self._at += filled
        if self._at == self.size:
            await self._expect_end()
        return Data(view, await hashed(view, "md5", self.threads))

    async def aclose(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            with anyio.CancelScope(shield=True):
                await close()

    async def _next(self) -> object:
        """The next piece that is not empty; b"" only ever ends a stream of the reading kind."""
        async for piece in self._pieces:
            if piece:
                return piece
        raise SourceChangedError(f"the stream ended before its {self.size} bytes; nothing was published")

    async def _expect_end(self) -> None:
        """The last byte is sent only when it is known that none follows it."""
        longer = bool(self._rest)
        while not longer:
            piece = await anext(self._pieces, None)
            if piece is None:
                return
            longer = bool(piece)
        raise SourceChangedError(f"the stream goes on after its {self.size} bytes; nothing was published")


def _bytes(piece: object, error: type[ConfigurationError | SourceChangedError]) -> memoryview:
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise error(f"the stream gave {type(piece).__name__} instead of bytes")
    return memoryview(cast("bytes", piece)).cast("B")
