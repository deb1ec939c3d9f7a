"""Which files are held open: a bounded number, in the one order of all queues, given back when others wait."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Protocol, TypeVar

from ..._concurrency import Threads
from ..._fair_queue import FairQueue, Turn
from ...errors import UploadError

T = TypeVar("T")

#: Where the process has no descriptor left, somebody else may close one at any moment, and nobody announces it: so
#: opening is tried again after so many seconds.
AGAIN_SECONDS = 0.05

#: Never fewer files than this, nor more by default.
LEAST_FILES, MOST_FILES = 8, 1024


class Holder(Hashable, Protocol):
    """Whatever holds a file open."""

    @property
    def in_use(self) -> bool:
        """Whether its file is being read at this moment."""
        ...

    @property
    def needed(self) -> bool:
        """Whether its file will be read soon."""
        ...

    def give_up(self) -> int | None:
        """Let go of the file without closing it: its descriptor, or None if it is closed already."""
        ...


class OpenFiles:
    """The files that all uploads of a client hold open.

    Args:
        most: so many at most; a quarter of what the process may have if None.
        threads: where files are opened and closed.
        patience: how long a process without a free descriptor is waited for, in seconds.
        sleep: waits for so many seconds.
    """

    def __init__(
        self, most: int | None, threads: Threads, patience: float, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._most = most or default_limit()
        self._threads = threads
        self._patience = patience
        self._sleep = sleep
        #: By the order in which they were last used.
        self._held: OrderedDict[Holder, None] = OrderedDict()
        self._waiting: FairQueue[asyncio.Future[int | None]] = FairQueue()
        #: Those who hold a worker meanwhile.
        self._urgent: deque[asyncio.Future[int | None]] = deque()
        self._for: dict[asyncio.Future[int | None], Holder] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def enter(self, holder: Holder, turn: Turn, *, now: bool = False) -> None:
        """Wait for a place among the open files.

        Args:
            holder: who will hold a file open.
            turn: whose upload it is.
            now: take the place of any file that is not being read at this moment, because a worker waits.
        """
        if len(self._held) < self._most and not self._urgent and not len(self._waiting):
            self._held[holder] = None
            return
        victim = self._victim(needed_too=now)
        if victim is not None:
            del self._held[victim]
            self._held[holder] = None
            await self._close(victim.give_up())
            return
        place: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._for[place] = holder
        if now:
            self._urgent.append(place)
        else:
            self._waiting.push(turn, place, 1)
        try:
            await self._close(await place)
        except BaseException:
            if not place.cancel() and not place.cancelled():
                self._discard(place.result())
                self.leave(holder)
            self._waiting.remove(place)
            if place in self._urgent:
                self._urgent.remove(place)
            self._for.pop(place, None)
            raise

    def hurry(self, holder: Holder) -> None:
        """A worker has come to wait for the place that the holder waits for."""
        for place, who in self._for.items():
            if who is holder and self._waiting.remove(place):
                self._urgent.append(place)
                break
        victim = self._victim(needed_too=True) if self._urgent else None
        if victim is not None:
            del self._held[victim]
            self._serve(victim.give_up())

    def leave(self, holder: Holder) -> None:
        """The holder has closed its file, or never opened it."""
        if holder in self._held:
            del self._held[holder]
            self._serve(None)

    def rest(self, holder: Holder) -> None:
        """The holder does not read for now: its place goes to the next that waits."""
        if holder not in self._held:
            return
        self._held.move_to_end(holder)
        if holder.in_use:
            return
        if self._urgent or (len(self._waiting) and not holder.needed):
            del self._held[holder]
            self._serve(holder.give_up())

    async def open(self, job: Callable[[], T], discard: Callable[[T], object]) -> T:
        """Open a file in a thread. A process that has no descriptor left is waited for.

        Raises:
            OSError: it can't be opened.
            UploadError: there was no descriptor for too long.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            try:
                return await self._threads.run(job, discard=discard)
            except OSError as problem:
                if problem.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                victim = self._victim(needed_too=True)
                if victim is not None:
                    del self._held[victim]
                    await self._close(victim.give_up())
                elif clock() - began > self._patience:
                    raise UploadError(
                        f"the process has had no free file descriptor for {self._patience:g} s: raise its limit"
                        " (ulimit -n), or set max_open_files in UploadOptions",
                        retryable=True,
                    ) from None
                else:
                    await self._sleep(AGAIN_SECONDS)

    def _victim(self, *, needed_too: bool) -> Holder | None:
        idle = [holder for holder in self._held if not holder.in_use]
        unneeded = next((holder for holder in idle if not holder.needed), None)
        return unneeded or (idle[0] if needed_too and idle else None)

    def _serve(self, descriptor: int | None) -> None:
        while (self._urgent or len(self._waiting)) and len(self._held) < self._most:
            place = self._urgent.popleft() if self._urgent else self._waiting.pop()
            holder = self._for.pop(place)
            if not place.done():
                self._held[holder] = None
                place.set_result(descriptor)
                descriptor = None
        self._discard(descriptor)

    async def _close(self, descriptor: int | None) -> None:
        if descriptor is not None:
            await self._threads.finish(partial(os.close, descriptor))

    def _discard(self, descriptor: int | None) -> None:
        if descriptor is not None:
            self._threads.submit(partial(os.close, descriptor))


def default_limit() -> int:
    """A quarter of the descriptors that this process may have: the rest is for connections and the application."""
    try:
        import resource
    except ImportError:
        return MOST_FILES // 4
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_FILES
    return max(LEAST_FILES, min(MOST_FILES, soft // 4))
