"""The lanes that all uploads of a client share, each a connection and a buffer; and which of two hosts is up.

A chunk borrows a lane, first come, first served. As every upload stands in the queue once, uploads share the lanes
fairly, whatever their sizes; and memory is ``max_workers x chunk_size``, however many they are.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from urllib.parse import urlsplit

from .._lanes import Lanes
from ..config import UploadOptions
from ..transport import Connection, Network
from .adaptive import Tuner
from .latency import LatencyTracker


class Worker:
    """A connection and a reusable buffer."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._buffer = memoryview(b"")

    def buffer(self, size: int) -> memoryview:
        """Memory for `size` bytes; kept for the next range. Sources that are in memory already never ask."""
        if len(self._buffer) < size:
            # Straight from the system: a bytearray would be filled with zeros first, here, on the event loop.
            self._buffer = memoryview(mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS))
        return self._buffer[:size]

    async def aclose(self) -> None:
        """Close the connection."""
        await self.connection.aclose()


class WorkerPool(Lanes[Worker]):
    """The chunk lanes of one client."""

    def __init__(self, network: Network, options: UploadOptions, backups: Mapping[str, str]) -> None:
        self.tuner: Tuner = Tuner(options.max_workers, options.chunk_size)
        super().__init__(self.tuner.workers, lambda: Worker(Connection(network)))
        self.options = options
        #: Parts the fields of a form; 128 bits that no content can foresee.
        self.boundary: str = secrets.token_hex(16)
        self.hosts: Hosts = Hosts(backups)
        #: For reading and hashing. More threads than processors would only take turns with the event loop's.
        self.threads: ThreadPoolExecutor = ThreadPoolExecutor(min(processors(), self.tuner.most_workers), "iqiyi-async")
        self.pace: LatencyTracker = LatencyTracker()

    async def aclose(self) -> None:
        """Close every connection, and end the threads."""
        await super().aclose()
        # Nothing is waited for: whoever used a thread has waited for its end already (see `source.settled`).
        self.threads.shutdown(wait=False)

    def arrived(self, size: int, since: float, now: float) -> None:
        """A range of so many bytes that set out at `since` was accepted `now` (loop time, seconds)."""
        self.pace.note(size, since, now)
        self.tuner.arrived(size, now - since, now)
        self.resize(self.tuner.workers)

    def trouble(self) -> None:
        """A range has to be sent again."""
        self.tuner.trouble()
        self.resize(self.tuner.workers)


class Grant:
    """The right to a lane: given back once, whoever does it first."""

    def __init__(self, pool: WorkerPool, lane: Worker) -> None:
        self._pool = pool
        self._lane: Worker | None = lane

    @property
    def held(self) -> bool:
        """Whether there is a lane now."""
        return self._lane is not None

    @property
    def lane(self) -> Worker:
        """The lane."""
        assert self._lane is not None
        return self._lane

    async def take(self) -> None:
        """Stand in the queue for another one."""
        self._lane = await self._pool.take()

    def release(self) -> None:
        """Give the lane back, if there is one."""
        lane, self._lane = self._lane, None
        if lane is not None:
            self._pool.give(lane)


class Hosts:
    """Which host takes the ranges: the one the service named, or its backup while that one is down (contract, B6)."""

    def __init__(self, backups: Mapping[str, str]) -> None:
        self._backups = {_host(host): _host(backup) for host, backup in backups.items()}
        self._down: set[str] = set()

    def route(self, upload_url: str) -> str:
        """The address to use now for an `upload_url`."""
        if not self._down or (host := _host(upload_url)) not in self._down:
            return upload_url
        return self._backups[host] + upload_url[len(host) :]

    def failed(self, upload_url: str, used: str) -> None:
        """Note that a request to `used`, for `upload_url`, did not get through: the next one tries the other host."""
        host = _host(upload_url)
        if host not in self._backups:
            return
        if _host(used) == host:
            self._down.add(host)
        else:
            self._down.discard(host)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
