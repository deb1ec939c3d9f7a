"""Blocking calls beside the event loop, each carried out to its end.

What belongs here: how a store waits for a thread. What must not: what is done there.

Two laws. A job that has started is waited for, even by a caller that was cancelled: whatever it opened, locked or
began is known when the cancellation goes on. And a job whose turn has not come is never started for a caller that is
gone.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import anyio

__all__ = ["Worker", "settle"]

T = TypeVar("T")


async def settle(work: asyncio.Future[Any]) -> None:
    """Wait until `work` is done, however often the waiter is cancelled meanwhile.

    What `work` ended with is left in it, and counts as seen.

    Raises:
        asyncio.CancelledError: the waiter was cancelled; raised when `work` is done, not before.
    """
    cancelled = False
    # The scope holds back cancellation that is delivered again at every step; a task.cancel() comes through once.
    with anyio.CancelScope(shield=True):
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                cancelled = True
    if not work.cancelled():
        work.exception()
    if cancelled:
        raise asyncio.CancelledError


class Worker:
    """One thread that does one job after the other; it starts with the first one.

    It belongs to no event loop and may serve several, one after the other or at once. In a forked child, where the
    thread is missing, it starts anew.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._pid = 0
        self._starting = threading.Lock()

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job in the thread. Whoever is cancelled waits for the end of a job that has started."""
        ticket = self._submit(job)
        done = asyncio.wrap_future(ticket)
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            ticket.cancel()  # of use only while the job waits for the thread
            await settle(done)
            raise
        return done.result()

    async def finish(self, job: Callable[[], T]) -> T:
        """Do a job in the thread, certainly and wholly: what gives something back must not be left out."""
        done = asyncio.wrap_future(self._submit(job))
        await settle(done)
        return done.result()

    def stop(self) -> None:
        """Let the thread end after the jobs that wait; the next job starts another."""
        with self._starting:
            executor, self._executor = self._executor, None
        if executor is not None and self._pid == os.getpid():
            executor.shutdown(wait=False)

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        with self._starting:
            if self._executor is None or self._pid != os.getpid():
                self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
                self._pid = os.getpid()
            return self._executor.submit(job)
