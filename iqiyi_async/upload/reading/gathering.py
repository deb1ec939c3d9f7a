"""Bytes that are handed in piece by piece, gathered into ranges in the memory that all streams share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..._fair_queue import Turn
from .memory import StreamMemory, allocate


class Gathering:
    """One run of bytes, cut into ranges of equal size.

    Args:
        memory: of all streams.
        turn: whose upload it is.
        length: bytes of the run.
        most: the size that no range may exceed, asked for before each.
        flush_after: seconds without a piece after which what there is becomes a short range.
        send: called with the bytes of each range; their room is to be given back to `memory` by its size.
    """

    def __init__(
        self,
        memory: StreamMemory,
        turn: Turn,
        length: int,
        *,
        most: Callable[[], int],
        flush_after: float,
        send: Callable[[memoryview], None],
    ) -> None:
        self._memory = memory
        self._turn = turn
        self._left = length
        self._most = most
        self._flush_after = flush_after
        self._send = send
        self._view: memoryview | None = None
        self._filled = 0
        #: Bytes of memory that were given and are not filled yet.
        self._room = 0
        self._flushes = 0
        self._timer: asyncio.TimerHandle | None = None

    async def room(self) -> None:
        """Wait until there is memory for more bytes; before that, none are to be received."""
        while not self._room:
            await self._take(1)

    async def write(self, piece: memoryview) -> None:
        """Copy bytes, as there is room for them."""
        while piece:
            view = self._view
            if view is None:
                view = self._view = allocate(self._next_size())
            size = min(len(piece), len(view) - self._filled)
            if self._room < size:
                await self._take(size - self._room)
                if self._view is not view:
                    continue  # sent as it was meanwhile
                size = min(size, self._room)
            view[self._filled : self._filled + size] = piece[:size]
            self._filled += size
            self._room -= size
            self._left -= size
            piece = piece[size:]
            if self._filled == len(view):
                self.flush()
        self._flush_later()
        self._memory.make_room()

    def flush(self) -> None:
        """Send what there is, as far as there is anything."""
        if self._view is None or not self._filled:
            return
        view, filled = self._view, self._filled
        self._view, self._filled, self._room = None, 0, 0
        self._flushes += 1
        self._memory.hand_over(self, filled)
        self._memory.withdraw(self)
        self._send(view[:filled])

    def close(self) -> None:
        """Send what there is; nothing more comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        self._drop()

    def drop(self) -> None:
        """Throw away what there is; nothing more comes."""
        self._view, self._filled = None, 0
        self.close()

    def _drop(self) -> None:
        self._memory.withdraw(self)
        self._memory.drop(self)
        self._view, self._filled, self._room = None, 0, 0

    def _next_size(self) -> int:
        """What is left in equal parts, so that the last range is no runt."""
        left = max(1, self._left)
        most = min(self._most(), self._memory.most)
        return -(-left // -(-left // most))

    async def _take(self, size: int) -> None:
        """Wait for room for up to `size` bytes."""
        flushes = self._flushes
        taken = self._memory.take_now(self, size) or await self._memory.take(self, self._turn, size)
        if flushes == self._flushes:
            # Else what was given meanwhile has been given back with the range that was sent.
            self._room += taken

    def _flush_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._flush_after, self.flush)
