"""Lanes: a fixed number of connections, borrowed first come, first served.

The number of lanes is the only queue there is: nobody ever waits inside the HTTP library. Control calls have lanes of
their own, so that the end of one upload never waits behind the gigabytes of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What a lane is made of."""

    async def aclose(self) -> None:
        """Let go of the connection."""
        ...


L = TypeVar("L", bound=Closable)


class Lanes(Generic[L]):
    """At most `count` lanes, each made when it is first needed; the one used last, whose connection is warm, goes
    first.

    As long as anyone waits, no lane is free: one that is given back goes straight to whoever has waited longest.
    """

    def __init__(self, count: int, make: Callable[[], L]) -> None:
        self._make = make
        self._count = count
        self._lent = 0
        self._idle: list[L] = []
        self._all: list[L] = []
        self._waiting: deque[asyncio.Future[L]] = deque()

    async def take(self) -> L:
        """Wait for a lane; whoever takes one gives it back."""
        if self.free:
            return self._lend()
        turn: asyncio.Future[L] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except BaseException:
            if not turn.cancel() and not turn.cancelled():
                # Cancelled at the very moment when its turn came.
                self.give(turn.result())
            raise

    def resize(self, count: int) -> None:
        """From now on there are so many lanes; those taken beyond it are used to their end."""
        self._count = count
        self._serve()

    @property
    def free(self) -> int:
        """How many lanes could be had at once."""
        return max(0, self._count - self._lent)

    def give(self, lane: L) -> None:
        """Give a lane back."""
        self._lent -= 1
        self._idle.append(lane)
        self._serve()

    def _lend(self) -> L:
        self._lent += 1
        if not self._idle:
            self._all.append(self._make())
            return self._all[-1]
        return self._idle.pop()

    def _serve(self) -> None:
        while self._waiting and self.free:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._lend())

    @asynccontextmanager
    async def borrow(self) -> AsyncGenerator[L, None]:
        """A lane for the length of a block."""
        lane = await self.take()
        try:
            yield lane
        finally:
            self.give(lane)

    async def aclose(self) -> None:
        """Close every connection."""
        for lane in self._all:
            await lane.aclose()
