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
        self._limit = anyio.CapacityLimiter(count)
        self._idle: list[L] = []
        self._borrowers: dict[int, object] = {}
        self._all: list[L] = []

    async def take(self) -> L:
        """Wait for a lane; whoever takes one gives it back."""
        borrower = object()
        try:
            self._limit.acquire_on_behalf_of_nowait(borrower)
        except anyio.WouldBlock:
            await self._limit.acquire_on_behalf_of(borrower)
        if not self._idle:
            self._idle.append(self._make())
            self._all.append(self._idle[-1])
        lane = self._idle.pop()
        self._borrowers[id(lane)] = borrower
        return lane

    def resize(self, count: int) -> None:
        """From now on there are so many lanes; those taken beyond it are used to their end."""
        if count != self._limit.total_tokens:
            self._limit.total_tokens = count

    @property
    def has_idle(self) -> bool:
        """Whether a lane could be had at once."""
        return self._limit.available_tokens > 0

    def give(self, lane: L) -> None:
        """Give a lane back to whoever has waited longest."""
        self._idle.append(lane)
        self._limit.release_on_behalf_of(self._borrowers.pop(id(lane)))

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
