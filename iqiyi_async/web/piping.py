"""Uploads whose bytes go to the service as they come, without touching this machine's disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from .. import ChunkReceipt, VideoCloudError
from ..stores import GatewayJournal
from .ending import Ending
from .leases import Hold, stored
from .receiving import Body
from .tus import TusError, unavailable


class Way(Protocol):
    """How the bytes of an upload come to the service. All of it is done while the upload is held."""

    async def offset(self, hold: Hold) -> int:
        """Where the client has to go on: before the end, as long as the upload is not finished."""
        ...

    async def all_there(self, hold: Hold) -> bool:
        """Whether only the end of the upload is missing."""
        ...

    async def receive(self, hold: Hold, body: Body, offset: int, length: int | None) -> int:
        """Take a body, and end the upload with its last byte.

        Returns:
            The offset that is acknowledged.

        Raises:
            TusError: not all of it was taken.
        """
        ...

    async def conclude(self, hold: Hold, within: float | None = None) -> None:
        """End an upload of which every byte is there.

        Raises:
            TusError: it has not ended.
        """
        ...

    async def cancel(self, hold: Hold) -> None:
        """Throw the upload away.

        Raises:
            TusError: the service could not be told.
        """
        ...


class Piping:
    """Pipes bodies into ranges.

    Args:
        store: the journal.
        ending: ends uploads.
        life: seconds that an upload is kept after its last byte.
        clock: seconds since 1970.
    """

    def __init__(self, store: GatewayJournal, ending: Ending, life: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._ending = ending
        self._life = life
        self._clock = clock

    async def offset(self, hold: Hold) -> int:
        """The end of what is accepted without a gap; if that is all, the first byte of the last range: a client takes
        an upload for done when nothing is missing."""
        accepted = hold.writer.accepted
        if not accepted:
            return 0
        return accepted[-1].first if _is_last(accepted[-1], hold) else accepted[-1].last + 1

    async def all_there(self, hold: Hold) -> bool:
        """Whether every byte is accepted."""
        return hold.writer.offset == hold.record.size

    async def receive(self, hold: Hold, body: Body, offset: int, length: int | None) -> int:
        """Take a body (see `Way`)."""
        there = await self.offset(hold)
        check_place(hold, offset, there, length)
        try:
            if await self.all_there(hold):
                last = hold.writer.accepted[-1]
                if length == last.size:
                    return await self._swallow(hold, body, last)
                await hold.writer.drop_last()
            await hold.writer.begin()
            await self._pipe(hold, body, length)
        except VideoCloudError as error:
            raise await self._ending.failed(hold, error) from error
        if await self.all_there(hold):
            await self.conclude(hold)
        return hold.writer.offset

    async def conclude(self, hold: Hold, within: float | None = None) -> None:
        """Have the video published (see `Way`)."""
        await self._ending.conclude(hold, within)

    async def cancel(self, hold: Hold) -> None:
        """Cancel the upload at the service (see `Way`)."""
        await self._ending.cancel(hold)

    async def _pipe(self, hold: Hold, body: Body, length: int | None) -> None:
        writer = hold.writer
        start = writer.offset
        hold.received = start
        writer.start(length, hold_back=body.is_checked)
        try:
            await body.pipe(hold, writer, (hold.record.size or 0) - start)
        finally:
            # What came before a dead link or a newcomer counts too.
            await writer.settle()
            if not body.is_checked:
                await self._note(hold)
        check_whole(hold, body)
        await writer.commit()
        await self._note(hold)

    async def _note(self, hold: Hold) -> None:
        there = hold.writer.offset
        write = self._store.set_offset(hold.record.key, hold.writer.fence, there, there, self._clock() + self._life)
        if not await stored(write):
            raise unavailable("another process has taken this upload over; try again")

    async def _swallow(self, hold: Hold, body: Body, last: ChunkReceipt) -> int:
        """The last range comes once more, because its end could not be acknowledged: it is compared, and not sent."""
        comparing = Comparing()
        hold.received = last.first
        await body.pipe(hold, comparing, last.size)
        check_whole(hold, body)
        if comparing.md5 != last.md5:
            await hold.writer.drop_last()
            raise TusError(409, "these are not the bytes that came before; send them again")
        await self.conclude(hold)
        return hold.record.size or 0


class Comparing:
    """Where bytes go that are compared only."""

    def __init__(self) -> None:
        self._hash = hashlib.md5(usedforsecurity=False)

    @property
    def md5(self) -> str:
        """Of what came."""
        return self._hash.hexdigest()

    async def room(self) -> None:
        """There is always room."""

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        self._hash.update(data)


def check_place(hold: Hold, offset: int, there: int, length: int | None) -> None:
    """Refuse a body that begins elsewhere, or is too long.

    Raises:
        TusError: 409 or 413.
    """
    if offset != there:
        raise TusError(409, f"the upload is at {there}, not at {offset}", {"Upload-Offset": str(there)})
    size = hold.record.size
    if size is not None and length is not None and length > size - offset:
        raise TusError(413, f"the body has {length} bytes, and {size - offset} are missing")


def check_whole(hold: Hold, body: Body) -> None:
    """Refuse a body that was cut off, or is not what its checksum says.

    Raises:
        TusError: 423, 460 or 503; 400 where nobody listens any more.
    """
    if not body.complete:
        if hold.stopped is not None:
            raise unavailable(str(hold.stopped))
        if body.disconnected:
            raise TusError(400, "the body was cut off")
        raise TusError(423, "another request goes on with this upload", {"Retry-After": "1"})
    if not body.agrees:
        raise TusError(460, "the body is not what Upload-Checksum says")


def _is_last(chunk: ChunkReceipt, hold: Hold) -> bool:
    return chunk.last + 1 == hold.record.size
