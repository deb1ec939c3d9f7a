"""What the sources of all uploads of a client share: threads, open files, and memory for streams."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from ..._concurrency import Threads
from ...config import KIB, MIB, UploadOptions
from ..sharing.adaptive import MEMORY, MOST_CHUNK, MOST_WORKERS
from .memory import StreamMemory
from .open_files import OpenFiles

#: Hashing less than this takes less time than handing it to a thread.
INLINE_HASH = 64 * KIB

#: So many bytes are hashed at a stretch: somewhat more than a millisecond.
STRETCH = MIB

#: Files are opened, looked at and closed in so many threads at most: each may wait for a network mount.
FILE_THREADS = 16

Digest = Literal["md5", "blake2b"]


class SourceResources:
    """Threads, open files and memory of one client, or of several that share a pool.

    Args:
        options: the bounds.
        worker_memory: how many bytes the workers' own buffers take by now; all that they may ever take if None.
        wall_clock: nanoseconds since 1970, as file systems count them.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        options: UploadOptions,
        *,
        worker_memory: Callable[[], int] | None = None,
        wall_clock: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        workers = MOST_WORKERS if options.max_workers == "auto" else options.max_workers
        chunk = min(MOST_CHUNK, MEMORY // workers) if options.chunk_size == "auto" else options.chunk_size
        waiting = options.max_waiting_buffers or workers
        reserved = workers * chunk
        self.options: UploadOptions = options
        self.wall_clock: Callable[[], int] = wall_clock
        self.sleep: Callable[[float], Awaitable[None]] = sleep
        #: For reading and hashing. More threads than processors would only take turns with the event loop's.
        self.reading: Threads = Threads(min(processors(), workers), "iqiyi-async reading")
        #: For opening, looking and closing: a dead mount holds up nobody's hashing.
        self.opening: Threads = Threads(FILE_THREADS, "iqiyi-async files")
        self.files: OpenFiles = OpenFiles(options.max_open_files, self.opening, options.source_timeout, sleep)
        self.memory: StreamMemory = StreamMemory((workers + waiting) * chunk, worker_memory or (lambda: reserved))

    async def hashed(self, view: memoryview | bytes, kind: Digest = "md5") -> str:
        """The digest of some bytes in lower-case hex: taken in a thread if there are many, where hashlib lets go of
        the interpreter's lock."""
        if len(view) <= INLINE_HASH:
            return digest(view, kind)
        return await self.reading.run(partial(digest, view, kind))

    async def aclose(self) -> None:
        """End the threads. Every upload has ended, so nothing waits in them any more."""
        self.reading.shutdown()
        self.opening.shutdown()


def digest(view: memoryview | bytes, kind: Digest) -> str:
    """The digest of some bytes in lower-case hex."""
    # MD5 is the service's own check; nothing here rests on its being hard to forge.
    hashing = hashlib.new(kind, usedforsecurity=False)
    view = memoryview(view)
    for start in range(0, len(view), STRETCH):
        if start:
            give_way()
        hashing.update(view[start : start + STRETCH])
    return hashing.hexdigest()


def give_way() -> None:
    """Between two stretches: let other threads that wait for this processor have it.

    A thread that hashes never waits for anything. Where all processors hash, the system would let the event loop have
    one at its next tick only, some 4 ms later.
    """
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
