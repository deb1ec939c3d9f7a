"""What the sources of a client's uploads share: threads, open files, memory for streams."""

from __future__ import annotations

import asyncio
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from .._concurrency import run_to_completion
from ..config import KIB, MIB, UploadOptions
from .adaptive import MOST_CHUNK, MOST_WORKERS
from .fair_queue import FairQueue, Turn

#: Hashing less than this takes less time than the way to a thread and back.
INLINE_HASH = 64 * KIB

#: So many bytes are hashed at a stretch: somewhat more than a millisecond.
STRETCH = MIB

#: Threads that open, look and close. A dead mount may hold them up; it holds up nothing else.
OPENING_THREADS = 4


class SourceResources:
    """What the sources of one client share."""

    def __init__(self, options: UploadOptions) -> None:
        workers = MOST_WORKERS if options.max_workers == "auto" else options.max_workers
        chunk = MOST_CHUNK if options.chunk_size == "auto" else options.chunk_size
        waiting = workers if options.max_waiting_buffers is None else options.max_waiting_buffers
        self.opening: ThreadPoolExecutor = ThreadPoolExecutor(OPENING_THREADS, "iqiyi-async opening")
        # More threads than processors would only take turns with the event loop's.
        self.reading: ThreadPoolExecutor = ThreadPoolExecutor(min(processors(), workers), "iqiyi-async reading")
        self.files: OpenFiles = OpenFiles(options.max_open_files or _files_by_default())
        # The other part of the bound are the workers' own buffers: max_workers x chunk_size.
        self.memory: StreamMemory = StreamMemory(waiting * chunk)
        self.source_timeout: float = options.source_timeout
        self.flush_after: float = options.flush_after

    async def hashed(self, view: memoryview) -> str:
        """The MD5 of some bytes, in lower-case hex: in a thread if there are many."""
        if len(view) <= INLINE_HASH:
            return md5_of(view)
        return await run_to_completion(asyncio.get_running_loop().run_in_executor(self.reading, md5_of, view))

    async def aclose(self) -> None:
        """End the threads. Who used one has waited for its end already."""
        self.opening.shutdown(wait=False)
        self.reading.shutdown(wait=False)


class Holder(Protocol):
    """A source that holds a file open."""

    def give_up(self) -> None:
        """Close it: somebody else needs the place."""
        ...


class OpenFiles:
    """A bound for the files that are open at once."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._idle: dict[Holder, None] = {}

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for one."""
        return len(self._waiting) > 0

    async def acquire(self, turn: Turn) -> None:
        """Wait until one more file may be opened. One that is open and not being read is closed for it."""
        if not self._free and self._idle:
            next(iter(self._idle)).give_up()
        if self._free and not self.wanted:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.push(turn, place, 1)
        try:
            await place
        except BaseException:
            if place.cancel() or place.cancelled():
                self._waiting.remove(place)
            else:
                self.release()
            raise

    def idle(self, holder: Holder) -> None:
        """A file stays open although it is not being read."""
        self._idle[holder] = None

    def busy(self, holder: Holder) -> None:
        """A file is being read, or closed."""
        self._idle.pop(holder, None)

    def release(self) -> None:
        """One was closed."""
        self._free += 1
        while self._free and len(self._waiting):
            place = self._waiting.pop()
            if not place.done():
                self._free -= 1
                place.set_result(None)


class Gatherer(Protocol):
    """A stream that is gathering bytes."""

    def flush(self) -> None:
        """Send what there is as a short range: others need room."""
        ...


class StreamMemory:
    """A bound for the bytes that streams hold, gathered or under way.

    Bytes are counted when they come; a stream that waits for its peer holds what it has and no more. When all is used
    up, the stream that has been gathering for longest sends what it has, so that room always comes back.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._gathering: dict[Gatherer, None] = {}
        self._room = asyncio.Event()

    @property
    def held(self) -> int:
        """How many bytes are held."""
        return self._held

    def take(self, who: Gatherer, wanted: int) -> int:
        """Count up to `wanted` bytes as held by a stream, if there is room; none if there is not, and then somebody was
        asked to make some."""
        count = min(wanted, self._most - self._held)
        if count > 0:
            self._held += count
            self._gathering.setdefault(who)
            return count
        oldest = next(iter(self._gathering), None)
        if oldest is not None:
            oldest.flush()
        return 0

    def sending(self, who: Gatherer) -> None:
        """What a stream has gathered is about to be sent."""
        self._gathering.pop(who, None)

    def give_back(self, count: int) -> None:
        """Bytes are not needed any more."""
        if count:
            self._held -= count
            room, self._room = self._room, asyncio.Event()
            room.set()

    async def reserve(self, count: int) -> None:
        """Wait until `count` bytes can be held; as many as there are at all, if it is more."""
        while self._held and self._held + count > self._most:
            oldest = next(iter(self._gathering), None)
            if oldest is not None:
                oldest.flush()
            await self._room.wait()
        self._held += count

    async def room(self) -> None:
        """Wait until something was given back."""
        await self._room.wait()


def md5_of(view: memoryview) -> str:
    """The MD5 of some bytes, in lower-case hex."""
    # The service's own check; nothing here rests on its being hard to forge.
    hashing = hashlib.md5(usedforsecurity=False)
    for start in range(0, len(view), STRETCH):
        if start:
            give_way()
        hashing.update(view[start : start + STRETCH])
    return hashing.hexdigest()


def give_way() -> None:
    """Between two stretches: let a thread that waits for this processor have it.

    A thread that hashes never waits for anything. Where all processors hash, the system would let the event loop have
    one at its next tick only, some 4 ms later.
    """
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _files_by_default() -> int:
    """A quarter of what the process may open: the rest is for connections, and for the application."""
    try:
        import resource
    except ImportError:  # Windows
        return 128
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(4, min(256, soft // 4))
