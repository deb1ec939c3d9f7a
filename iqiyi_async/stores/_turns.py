"""Who is next: a queue for each key, within one event loop.

What belongs here: waiting inside a process, where an event wakes the next one. What must not: waiting for other
processes, which send no event.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import anyio

__all__ = ["Turns"]


class Turns:
    """Locks by key, made when they are first asked for, in the event loop that asks.

    A loop takes its locks with it when it goes, so that a holder that died with its loop keeps nobody waiting in the
    next one. A lock may be given back by another task than the one that took it.
    """

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, anyio.Semaphore]] = WeakKeyDictionary()

    def of(self, key: str) -> anyio.Semaphore:
        """The lock of a key in the running loop. It serves in the order of arrival."""
        locks = self._loops.setdefault(asyncio.get_running_loop(), {})
        return locks.setdefault(key, anyio.Semaphore(1, max_value=1))
