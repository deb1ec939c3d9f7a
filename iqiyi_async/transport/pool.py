"""Which connection a request goes over: they are kept by origin, and a warm one goes first.

While all are in use, the one order of all queues decides who is next (`_fair_queue`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import httpx

from .._fair_queue import FairQueue, current_turn


class Lane(Protocol):
    """What a pool is made of: one connection behind httpx's interface."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer whole."""
        ...

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent over it, as far as that is known."""
        ...

    def close(self) -> None:
        """Close the connection now."""
        ...


#: Connections that can stand in for each other: their origin, and what made them.
_Kind = tuple[str, Callable[[], Lane]]


class ConnectionPool:
    """At most `limit` connections, over all origins. Clients that share a pool do not share connections: each has
    rules of its own for whom it trusts.

    Args:
        limit: how many there are at most, in use or kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy: dict[Lane, _Kind] = {}
        #: Kept connections, the one that was used last at the end.
        self._idle: dict[Lane, _Kind] = {}
        self._by_kind: dict[_Kind, list[Lane]] = {}
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        #: Connections that have been promised to those in the queue whose turn has come.
        self._promised = 0
        self._closed = False

    @property
    def busy(self) -> int:
        """How many connections are in use."""
        return len(self._busy)

    async def acquire(self, origin: str, make: Callable[[], Lane], *, fresh: bool = False) -> Lane:
        """A connection to an origin: the one that was used last, or a new one.

        Args:
            origin: scheme, host and port.
            make: makes a connection, which connects with its first request. Only connections that were made by the
                same function are used again.
            fresh: never a kept one.
        """
        if self._waiting or len(self._busy) + self._promised >= self._limit:
            await self._turn()
        lane = None if fresh else self._kept((origin, make))
        if lane is None:
            # The one that was idle for longest goes, but only if there is no room.
            while self._idle and len(self._busy) + len(self._idle) >= self._limit:
                self._drop(next(iter(self._idle)))
            lane = make()
        self._busy[lane] = (origin, make)
        return lane

    def release(self, lane: Lane) -> None:
        """Give a connection back. One that can't be used again is closed."""
        kind = self._busy.pop(lane)
        if self._closed or not lane.reusable:
            lane.close()
        else:
            self._idle[lane] = kind
            self._by_kind.setdefault(kind, []).append(lane)
        self._serve()

    def forget(self, make: Callable[[], Lane]) -> None:
        """Close the connections that were made by a function, those in use too."""
        for lane in [each for each, (_, made_by) in self._idle.items() if made_by == make]:
            self._drop(lane)
        for lane in [each for each, (_, made_by) in self._busy.items() if made_by == make]:
            lane.close()

    def close(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        for lane in [*self._idle, *self._busy]:
            lane.close()
        self._idle.clear()
        self._by_kind.clear()

    def _kept(self, kind: _Kind) -> Lane | None:
        lanes = self._by_kind.get(kind)
        while lanes:
            lane = lanes[-1]
            self._forget(lane)
            if lane.reusable:
                return lane
            lane.close()
        return None

    def _drop(self, lane: Lane) -> None:
        self._forget(lane)
        lane.close()

    def _forget(self, lane: Lane) -> None:
        kind = self._idle.pop(lane)
        lanes = self._by_kind[kind]
        lanes.remove(lane)
        if not lanes:
            del self._by_kind[kind]

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A control call costs the same whatever it is about; ranges wait for a worker first.
        self._waiting.push(current_turn.get(), turn, 1)
        try:
            await turn
        except BaseException:
            if not turn.cancel() and not turn.cancelled():
                # Cancelled at the very moment when its turn came.
                self._promised -= 1
            else:
                self._waiting.remove(turn)
            self._serve()
            raise
        self._promised -= 1

    def _serve(self) -> None:
        while self._waiting and len(self._busy) + self._promised < self._limit:
            turn = self._waiting.pop()
            if not turn.done():
                self._promised += 1
                turn.set_result(None)
