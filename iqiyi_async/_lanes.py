"""Lanes: a fixed number of connections, borrowed first come, first served.

The number of lanes is the only queue there is: nobody ever waits inside the HTTP library. Control calls have lanes of
their own, so that the end of one upload never waits behind the gigabytes of another.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

import anyio


class Closable(Protocol):
    """What a lane is made of."""

    async def aclose(self) -> None:
        """Let go of the connection."""
        ...


L = TypeVar("L", bound=Closable)


class Lanes(Generic[L]):
    """At most `count` lanes, each made when it is first needed; the one used last, whose connection is warm, goes
    first."""

    def __init__(self, count: int, make: Callable[[], L]) -> None:
        self._make = make
        self._free = anyio.Semaphore(count, fast_acquire=True)
        self._idle: list[L] = []
        self._all: list[L] = []

    async def take(self) -> L:
        """Wait for a lane; whoever takes one gives it back."""
        await self._free.acquire()
        if self._idle:
            return self._idle.pop()
        lane = self._make()
        self._all.append(lane)
        return lane

    @property
    def has_idle(self) -> bool:
        """Whether a lane could be had at once."""
        return self._free.value > 0

    def give(self, lane: L) -> None:
        """Give a lane back to whoever has waited longest."""
        self._idle.append(lane)
        self._free.release()

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
