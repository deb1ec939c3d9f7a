"""Waiting for work that must not be left half done, and threads of our own, each kind of work with its own few."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import anyio

__all__ = ["Background", "Threads", "is_cancellation", "run_to_completion"]

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


def is_cancellation(problem: BaseException, since: int = 0) -> bool:
    """Whether an exception is a `CancelledError` by which somebody has asked the current task to end.

    Else it is not meant for the task: code that it has called (a caller's source, transport or journal) has waited for
    something that was cancelled. A group of tasks would take such a task for one that it need not wait for.

    Args:
        problem: the exception.
        since: what the task's `cancelling()` was before.
    """
    task = asyncio.current_task()
    return isinstance(problem, asyncio.CancelledError) and task is not None and task.cancelling() > since


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
        while running := [task for task in self._tasks if not task.done()]:
            await run_to_completion(running[0])


class Threads:
    """A bounded number of threads for one kind of blocking work.

    Args:
        most: so many jobs run at a time; further ones wait in order.
        name: what the threads are called.
    """

    def __init__(self, most: int, name: str) -> None:
        self._executor: ThreadPoolExecutor = ThreadPoolExecutor(most, name)

    async def run(self, job: Callable[[], T], *, discard: Callable[[T], object] | None = None) -> T:
        """Do a job in a thread.

        A caller that is cancelled waits for the end of a job that has begun; one that has not is never begun. With
        `discard` the caller waits for a moment only, and what the job returns later is given to it, in the thread: for
        jobs that a dead file system may hold forever.
        """
        running, done = self._begin(job)
        try:
            return await done
        except asyncio.CancelledError:
            if running.cancel():
                raise
            await _ended(running, None if discard is None else MOMENT)
            if discard is not None:
                running.add_done_callback(partial(_discard, discard))
            raise

    async def finish(self, job: Callable[[], T]) -> T:
        """Do a job in a thread, certainly and wholly, even if the caller is cancelled: what gives something back must
        not be left out."""
        running, done = self._begin(job)
        try:
            return await done
        except asyncio.CancelledError:
            await _ended(running, None)
            raise

    def _begin(self, job: Callable[[], T]) -> tuple[Future[T], asyncio.Future[T]]:
        # Not `asyncio.wrap_future`: it takes two callbacks and a second turn of the loop for each job.
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        return self._executor.submit(_do, job, loop, done), done

    def run_in_executor(self, executor: None, job: Callable[[], T]) -> Awaitable[T]:
        """`run`, as aiofiles asks for it: an object of this class is given to it as its ``loop``."""
        return self.run(job)

    def submit(self, job: Callable[[], object]) -> None:
        """Do a job in a thread, some time; nobody waits for it."""
        self._executor.submit(job)

    def shutdown(self) -> None:
        """Let the threads end after the jobs that have begun or wait. Nothing is waited for."""
        self._executor.shutdown(wait=False)


def _do(job: Callable[[], T], loop: asyncio.AbstractEventLoop, done: asyncio.Future[T]) -> T:
    """Do a job, in a thread, and tell the event loop."""
    try:
        result = job()
    except BaseException as problem:
        with suppress(RuntimeError):  # It is closed: nobody waits there any more.
            loop.call_soon_threadsafe(_fail, done, problem)
        raise
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_succeed, done, result)
    return result


def _succeed(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[T], problem: BaseException) -> None:
    if not done.done():
        done.set_exception(problem)


async def _ended(running: Future[Any], timeout: float | None) -> None:
    """Wait for the end of a job whose caller was cancelled; what comes of it is lost."""
    ended = asyncio.wrap_future(running)
    ended.add_done_callback(lambda each: each.cancelled() or each.exception())
    await run_to_completion(asyncio.wait([ended], timeout=timeout))


def _discard(discard: Callable[[T], object], running: Future[T]) -> None:
    if not running.cancelled() and running.exception() is None:
        discard(running.result())
