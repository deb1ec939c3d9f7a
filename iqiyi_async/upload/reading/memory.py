"""The memory that all streams of a client share: counted by the bytes that they hold; room always comes back.

A stream takes room as its bytes come, and gives it back when the service has accepted them. Where there is none, the
streams that have waited longest send what they have as short ranges.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol

from ..._fair_queue import FairQueue, Turn
from ...config import KIB

#: Up to this size memory from Python's heap costs less than a mapping of its own.
SMALL = 64 * KIB

#: Room for less than this is waited for, so that ranges don't become tiny; a piece that needs less gets what it needs.
LEAST_ROOM = 16 * KIB


def allocate(size: int) -> memoryview:
    """Memory for `size` bytes, of which only the part that is written to takes up space."""
    if size <= SMALL:
        return memoryview(bytearray(size))
    # Straight from the system: a bytearray would be filled with zeros first.
    if hasattr(mmap, "MAP_ANONYMOUS"):
        return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    return memoryview(mmap.mmap(-1, size))


class Gatherer(Hashable, Protocol):
    """A stream that holds bytes of a range that is not whole yet."""

    def flush(self) -> None:
        """Send what there is as a short range, now."""
        ...


class StreamMemory:
    """Room for the bytes of all streams, and of ranges that are fetched before a worker is taken.

    Args:
        limit: bytes for everything.
        worker_memory: how many of these the workers' own buffers take by now.
    """

    def __init__(self, limit: int, worker_memory: Callable[[], int]) -> None:
        self._limit = limit
        self._worker_memory = worker_memory
        #: Bytes of ranges that are not whole yet, by stream; the one that has waited longest comes first.
        self._gathered: OrderedDict[Gatherer, int] = OrderedDict()
        self._held = 0
        self._in_flight = 0
        self._waiting: FairQueue[_Place] = FairQueue()
        #: Out of the queue already, but there is not enough room for it yet.
        self._first: _Place | None = None
        self._places: dict[Gatherer, _Place] = {}
        self._wanted = 0

    @property
    def used(self) -> int:
        """How many bytes are held."""
        return self._held + self._in_flight

    @property
    def most(self) -> int:
        """How many bytes may be held by now; no single range may be larger."""
        return max(1, self._limit - self._worker_memory())

    def take_now(self, who: Gatherer, size: int) -> int:
        """Room for up to `size` bytes if it can be had at once, else 0. It counts as gathered by `who`."""
        free = self.most - self.used
        if self._first is not None or len(self._waiting) or free < min(size, LEAST_ROOM, self.most):
            return 0
        return self._gather(who, min(size, free))

    async def take(self, who: Gatherer, turn: Turn, size: int) -> int:
        """Wait for room for up to `size` bytes.

        Returns:
            How many bytes there is room for, at least 1; or 0 after `withdraw`.
        """
        return await self._wait(_Place(who, turn, size))

    async def reserve(self, turn: Turn, size: int) -> None:
        """Wait for room for a whole range. It counts as under way from now on."""
        await self._wait(_Place(None, turn, size))

    def withdraw(self, who: Gatherer) -> None:
        """`who` does not wait for room any more."""
        place = self._places.get(who)
        if place is not None and not place.granted.cancelled():
            self._leave(place)
            place.granted.set_result(0)
            self._serve()

    def hand_over(self, who: Gatherer, size: int) -> None:
        """`size` bytes that `who` has gathered are a range, and under way from now on; room beyond them is given
        back."""
        gathered = self._gathered.pop(who, 0)
        self._held -= gathered
        self._in_flight += size
        if gathered > size:
            self._serve()

    def drop(self, who: Gatherer) -> None:
        """What `who` has gathered is thrown away."""
        self._held -= self._gathered.pop(who, 0)
        self._serve()

    def release(self, size: int) -> None:
        """A range of `size` bytes is not needed any more."""
        self._in_flight -= size
        self._serve()
        self.make_room()

    def make_room(self) -> None:
        """What is under way comes back by itself; for the rest of what is wanted, streams send what they have.

        Called by a stream, too, when it has filled room that it waited for: only now can it send that.
        """
        if self._coming() >= self._wanted:
            return
        # One that was given room in this very moment has no bytes yet, is passed over, and calls again.
        for who in tuple(self._gathered):
            who.flush()
            if self._coming() >= self._wanted:
                return

    def _coming(self) -> int:
        """How many bytes of room there are, or will be without anybody's help."""
        return self._in_flight + max(0, self.most - self.used)

    def _gather(self, who: Gatherer, size: int) -> int:
        self._gathered[who] = self._gathered.get(who, 0) + size
        self._gathered.move_to_end(who)
        self._held += size
        return size

    async def _wait(self, place: _Place) -> int:
        self._waiting.push(place.turn, place, place.size)
        self._wanted += place.size
        if place.who is not None:
            self._places[place.who] = place
        self._serve()
        self.make_room()
        try:
            return await place.granted
        except BaseException:
            if not place.granted.cancel() and not place.granted.cancelled():
                self._give_back(place, place.granted.result())
            else:
                self._leave(place)
            self._serve()
            raise

    def _give_back(self, place: _Place, size: int) -> None:
        if place.who is None:
            self._in_flight -= size
        elif place.who in self._gathered:
            self._held -= size
            self._gathered[place.who] -= size

    def _leave(self, place: _Place) -> None:
        if place.left:
            return
        place.left = True
        self._wanted -= place.size
        if self._first is place:
            self._first = None
        else:
            self._waiting.remove(place)
        if place.who is not None:
            del self._places[place.who]

    def _serve(self) -> None:
        while self._first is not None or len(self._waiting):
            place = self._first = self._first or self._waiting.pop()
            if place.granted.cancelled():
                # Its task is being cancelled, and has not run since.
                self._leave(place)
                continue
            free = self.most - self.used
            # One larger than everything is let through once nothing else is held.
            enough = min(place.size, self.most) if place.who is None else min(place.size, LEAST_ROOM, self.most)
            if free < enough:
                return
            self._first = None
            self._wanted -= place.size
            size = place.size
            if place.who is None:
                self._in_flight += size
            else:
                del self._places[place.who]
                size = self._gather(place.who, min(size, free))
            place.granted.set_result(size)


class _Place:
    """A place in the queue for room."""

    def __init__(self, who: Gatherer | None, turn: Turn, size: int) -> None:
        self.who = who
        self.turn = turn
        self.size = size
        self.granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.left = False
