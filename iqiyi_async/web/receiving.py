"""The body of a PATCH on its way: taken as fast as it can be sent on, cut off by a newcomer or by a dead link."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from starlette.types import Receive

from .leases import Hold
from .tus import Checksum, Hash, TusError

#: What of a refused body is read, so that the client gets to see the answer: bytes, and seconds.
DISCARD, DISCARD_SECONDS = 8 * 1024 * 1024, 0.5

#: So many bodies take a piece of some 64 KiB in one turn of the event loop: that is about a millisecond.
AT_ONCE = 8

#: A body that gives nothing for so long has ended, in seconds: nobody may be there any more.
IDLE_SECONDS = 60.0


class Sink(Protocol):
    """Where bytes go."""

    async def room(self) -> None:
        """Wait until bytes can be taken."""
        ...

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        ...


class Turns:
    """Lets only so many bodies take a piece in one turn of the event loop; the others follow in the next ones.

    Whatever else the loop has to do waits for one turn, and a turn with a piece of each of a hundred bodies takes long.

    Args:
        most: bodies in one turn.
    """

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
        self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def next(self) -> None:
        """Wait for this turn of the loop, or a later one."""
        loop = asyncio.get_running_loop()
        if self._left == self._most:
            loop.call_soon(self._refill)
        if self._left:
            self._left -= 1
            return
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        await place

    def _refill(self) -> None:
        self._left = self._most
        while self._waiting and self._left:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._left -= 1
        if self._left < self._most:
            asyncio.get_running_loop().call_soon(self._refill)


class Body:
    """The body of one request.

    Args:
        receive: of ASGI.
        idle: seconds without a byte after which the body has ended.
        turns: shared by the bodies of this event loop.

    Attributes:
        size: bytes that have come.
        complete: whether all of it has come.
        disconnected: whether the client has gone.
    """

    def __init__(self, receive: Receive, idle: float = IDLE_SECONDS, turns: Turns | None = None) -> None:
        self._receive = receive
        self._idle = idle
        self._turns = turns or Turns()
        self._checksum: Checksum | None = None
        self._hash: Hash | None = None
        self.size: int = 0
        self.complete: bool = False
        self.disconnected: bool = False

    def expect(self, checksum: Checksum | None) -> None:
        """What the body has to be, if that is known."""
        self._checksum = checksum
        self._hash = None if checksum is None else checksum.begin()

    @property
    def is_checked(self) -> bool:
        """Whether it is known what the body has to be."""
        return self._checksum is not None

    @property
    def agrees(self) -> bool:
        """Whether the body is what its checksum says."""
        return self._checksum is None or self._hash is None or self._hash.digest() == self._checksum.digest

    async def pipe(self, hold: Hold, sink: Sink, most: int) -> None:
        """Take the body to its end, or until the request is interrupted or the client is gone.

        Args:
            hold: the request's hold on the upload.
            sink: where the bytes go.
            most: bytes at most.

        Raises:
            TusError: 413: there are more; 408: nothing came for too long.
            VideoCloudError: what the sink raised.
        """
        pump = asyncio.create_task(self._pump(hold, sink, most), name="iqiyi-async gateway body")
        interrupted = asyncio.create_task(hold.interrupted.wait(), name="iqiyi-async gateway interrupt")
        try:
            await asyncio.wait([pump, interrupted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pump.cancel()
            interrupted.cancel()
            await asyncio.wait([pump, interrupted])
        if not pump.cancelled():
            pump.result()

    async def ended(self, *, read_on: bool) -> bool:
        """Whether all of it has come.

        Args:
            read_on: read a little of one that is not wanted: else the client might not get to see the answer.
        """
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                most = self.size + DISCARD if read_on else 0
                while not (self.complete or self.disconnected) and self.size < most:
                    await self._next()
        except TimeoutError:
            return False
        return self.complete

    async def _pump(self, hold: Hold, sink: Sink, most: int) -> None:
        while True:
            await sink.room()
            await self._turns.next()
            try:
                async with asyncio.timeout(self._idle):
                    piece = await self._next()
            except TimeoutError:
                raise TusError(408, f"no byte has come for {self._idle:g} s") from None
            if self.size > most:
                raise TusError(413, "the body goes on behind the end of the upload")
            if piece:
                if self._hash is not None:
                    self._hash.update(piece)
                hold.received += len(piece)
                await sink.write(piece)
            if self.complete or self.disconnected:
                return

    async def _next(self) -> bytes:
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            return b""
        piece: bytes = message.get("body", b"")
        self.size += len(piece)
        self.complete = not message.get("more_body", False)
        return piece
