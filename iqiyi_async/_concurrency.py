"""Waiting for work that must not be left half done, and threads of our own, each kind of work with its own few."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import anyio

__all__ = ["Background", "Threads", "cancelled_since", "run_to_completion"]

T = TypeVar("T")

#: So long a cancelled caller waits for a job that may never end, in seconds.
MOMENT = 1.0


async def run_to_completion(work: Awaitable[T], patience: float | None = None) -> T:
    """Await `work`, and don't return before it has ended, even when cancelled.

    Otherwise a thread would still read into a buffer that the next range has got, or a request would change something
    after its caller had cleaned up.

    Args:
        work: a coroutine, a task or a future.
        patience: how long a cancelled caller waits, in seconds; then `work` is cancelled too, and its end awaited. As
            long as it takes if None.

    Returns:
        The result of `work`.

    Raises:
        asyncio.CancelledError: the caller was cancelled; raised once `work` has ended. What it ended with is lost.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        deadline = None if patience is None else asyncio.get_running_loop().time() + patience
        # The scope holds back a cancellation that is delivered again at every step; task.cancel() comes through.
        with anyio.CancelScope(shield=True):
            while not task.done():
                left = None if deadline is None else deadline - asyncio.get_running_loop().time()
                if left is not None and left <= 0:
                    task.cancel()
                    left = deadline = None
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task], timeout=left)
        if not task.cancelled():
            task.exception()  # counts as seen
        raise


def cancelled_since(count: int = 0) -> bool:
    """Whether somebody has cancelled the running task. If nobody has, a CancelledError comes from code that was called,
    such as a source whose own connection was cancelled: it is a failure, which a task group would take for success.

    Args:
        count: `cancelling()` of the task before.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > count


class Background:
    """Tasks that run beside their owner, who waits for all of them later."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task; it must not raise."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait for the end of all tasks, even when cancelled."""
        while self._tasks:
            await run_to_completion(asyncio.wait(list(self._tasks)))


class Threads:
    """A bounded number of threads for one kind of blocking work.

    Args:
        most: so many jobs run at a time; further ones wait in order.
        name: what the threads are called.
    """

    def __init__(self, most: int, name: str) -> None:
        self.executor: ThreadPoolExecutor = ThreadPoolExecutor(most, name)

    async def run(self, job: Callable[[], T], *, discard: Callable[[T], object] | None = None) -> T:
        """Do a job in a thread.

        A caller that is cancelled waits for the end of a job that has begun; one that has not is never begun. With
        `discard` the caller waits for a moment only, and what the job returns later is given to it, in the thread: for
        jobs that a dead file system may hold forever.
        """
        running = self.executor.submit(job)
        done = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if running.cancel():
                raise
            done.add_done_callback(lambda each: each.cancelled() or each.exception())
            if discard is None:
                with anyio.CancelScope(shield=True):
                    while not running.done():
                        with suppress(asyncio.CancelledError):
                            await asyncio.wait([done])
            else:
                with anyio.CancelScope(shield=True), suppress(asyncio.CancelledError):
                    await asyncio.wait([done], timeout=MOMENT)
                thrown_away = discard

                def ended(future: Future[T]) -> None:
                    if not future.cancelled() and future.exception() is None:
                        thrown_away(future.result())

                running.add_done_callback(ended)
            raise

    async def finish(self, job: Callable[[], T]) -> T:
        """Do a job in a thread, certainly and wholly, even if the caller is cancelled: what gives something back must
        not be left out."""
        return await run_to_completion(asyncio.wrap_future(self.executor.submit(job)))

    def submit(self, job: Callable[[], object]) -> None:
        """Do a job in a thread, some time; nobody waits for it."""
        self.executor.submit(job)

    def shutdown(self) -> None:
        """Let the threads end after the jobs that have begun or wait. Nothing is waited for."""
        self.executor.shutdown(wait=False)
