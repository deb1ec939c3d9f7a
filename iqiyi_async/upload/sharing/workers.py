"""The workers that all uploads of a client share: each is a permit and a buffer.

A range borrows one for as long as its bytes move. Who is next is decided by group and priority (`_fair_queue`); memory
is bounded by ``max_workers x chunk_size``, however many uploads there are.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Self

from ..._fair_queue import FairQueue, Turn
from ...config import UploadOptions
from ...errors import ConfigurationError
from ..reading.memory import allocate
from ..reading.resources import SourceResources
from .adaptive import Tuner
from .bandwidth import BandwidthLimiter
from .latency import LatencyTracker


class Worker:
    """A permit to send one range, and a buffer that is used again.

    Attributes:
        since: when it was lent (loop time, seconds).
    """

    def __init__(self, grown: Callable[[int], None]) -> None:
        self._grown = grown
        self._buffer = memoryview(b"")
        self.since: float = 0.0

    def lent(self) -> Self:
        """It is held by somebody from now on."""
        self.since = asyncio.get_running_loop().time()
        return self

    def buffer(self, size: int) -> memoryview:
        """Memory for `size` bytes; kept for the next range. Sources that are in memory already never ask."""
        if len(self._buffer) < size:
            self._grown(size - len(self._buffer))
            self._buffer = allocate(size)
        return self._buffer[:size]


class WorkerPool:
    """The workers of one client, or of several that share them.

    Args:
        options: how many, how large their buffers are, and the limit of the bandwidth.
        late_seconds: no range is sent once more before.
    """

    def __init__(self, options: UploadOptions, late_seconds: float = 1.0) -> None:
        self.tuner: Tuner = Tuner(options.max_workers, options.chunk_size)
        self.latency: LatencyTracker = LatencyTracker(late_seconds)
        self.bandwidth: BandwidthLimiter = BandwidthLimiter(options.max_bandwidth, time.monotonic)
        #: What the sources of all uploads share.
        self.resources: SourceResources = SourceResources(options, worker_memory=lambda: self._buffered)
        #: Parts the fields of a form; 128 bits that no content can foresee.
        self.boundary: str = secrets.token_hex(16)
        self._clients = 0
        self._closed = False
        self._busy = 0
        self._buffered = 0
        self._idle: list[Worker] = []
        self._waiting: FairQueue[asyncio.Future[Worker]] = FairQueue()

    @property
    def busy(self) -> int:
        """How many workers are borrowed."""
        return self._busy

    @property
    def free(self) -> int:
        """How many workers could be had at once."""
        # Under a limit, more workers would only get less each.
        return max(0, self.bandwidth.workers(self.tuner.workers) - self._busy)

    async def acquire(self, turn: Turn, size: int) -> Worker:
        """Wait for a worker; who takes one gives it back.

        Args:
            turn: whose range it is for.
            size: bytes of the range: the shares of groups are counted by them.
        """
        if self.free and not len(self._waiting):
            self._waiting.charge(turn, size)
            return self._lend()
        place: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.push(turn, place, size)
        try:
            return await place
        except BaseException:
            if place.cancel() or place.cancelled():
                self._waiting.remove(place)
            else:
                # Cancelled at the very moment when its turn came.
                self.release(place.result())
            raise

    def release(self, worker: Worker) -> None:
        """Give a worker back: whose turn it is gets it at once."""
        self._busy -= 1
        self._idle.append(worker)
        self._serve()

    def set_bandwidth(self, rate: int | None) -> None:
        """Limit what is sent to `rate` bytes a second; None is no limit, 0 a pause."""
        self.bandwidth.set_rate(rate)
        self._serve()

    def arrived(self, worker: Worker, size: int, since: float) -> None:
        """A range of `size` bytes that was sent at `since` (loop time, seconds), with a worker, was accepted."""
        now = asyncio.get_running_loop().time()
        self.latency.note(size, since, now)
        self.tuner.arrived(size, now - since, now, now - worker.since)
        self._serve()

    def trouble(self) -> None:
        """A range has to be sent again."""
        self.tuner.trouble()

    def join(self) -> None:
        """One more client uses the pool, until it leaves.

        Raises:
            ConfigurationError: the last one has left already.
        """
        if self._closed:
            raise ConfigurationError("pool is a client that is closed: its workers are gone; make a new one")
        self._clients += 1

    async def leave(self) -> None:
        """A client is closed. The last one ends the threads."""
        self._clients -= 1
        if not self._clients:
            self._closed = True
            await self.resources.aclose()

    def _count(self, grown: int) -> None:
        self._buffered += grown

    def _lend(self) -> Worker:
        self._busy += 1
        # The one used last: its buffer is warm.
        return (self._idle.pop() if self._idle else Worker(self._count)).lent()

    def _serve(self) -> None:
        while len(self._waiting) and self.free:
            place = self._waiting.pop()
            if not place.done():
                place.set_result(self._lend())
