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
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

import anyio

__all__ = ["BackgroundThread", "Batches", "raise_clean", "settle"]

T = TypeVar("T")
C = TypeVar("C")


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


async def raise_clean(work: Coroutine[Any, Any, T], failure: Callable[[BaseException], BaseException]) -> T:
    """Carry `work` out in a task of its own, whose frames no error that leaves here shows: they may hold secrets.

    A caller that is cancelled cancels it, and waits for its end.

    Args:
        work: what is done.
        failure: what is raised in place of an error of `work`.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await settle(task)
        raise
    error = task.exception()
    if error is None:
        return task.result()
    problem = failure(error)
    del task, error
    raise problem


class BackgroundThread:
    """One thread that does one job after the other; it starts with the first one.

    It belongs to no event loop and may serve several, one after the other or at once. In a forked child, where the
    thread is missing, it starts again.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._pid = 0
        self._starting = threading.Lock()

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job in the thread. A caller that is cancelled waits for the end of a job that has started."""
        ticket = self.submit(job)
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
        done = asyncio.wrap_future(self.submit(job))
        await settle(done)
        return done.result()

    def stop(self) -> None:
        """Let the thread end after the jobs that wait; the next job starts another."""
        with self._starting:
            executor, self._executor = self._executor, None
        if executor is not None and self._pid == os.getpid():
            executor.shutdown(wait=False)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Have a job done in the thread."""
        with self._starting:
            if self._executor is None or self._pid != os.getpid():
                self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
                self._pid = os.getpid()
            return self._executor.submit(job)


class Batches(Generic[C]):
    """Jobs on a connection, done together: what comes while a batch is under way goes into the next.

    There is no timer: a thread that has nothing to do begins as soon as the event loop has run what is ready, so that
    jobs of the same moment share a batch. What comes back has been committed.

    Args:
        thread: where they are done.
        commit: does several jobs in one transaction, and each so that its failure undoes nothing of the others.
    """

    def __init__(self, thread: BackgroundThread, commit: Callable[[list[Job[C]]], None]) -> None:
        self._thread = thread
        self._commit = commit
        self._waiting: deque[Job[C]] = deque()
        self._lock = threading.Lock()
        #: Which event loop will begin the next batch. A loop that has stopped must not keep the others waiting.
        self._beginning: asyncio.AbstractEventLoop | None = None

    async def run(self, work: Callable[[C], T], *, durable: bool = False, whole: bool = False) -> T:
        """Do a job.

        Args:
            work: the job.
            durable: it has to survive a loss of power.
            whole: it is done even if its caller is cancelled before its turn; the caller waits for that.
        """
        loop = asyncio.get_running_loop()
        job = Job(work, durable, loop)
        with self._lock:
            self._waiting.append(job)
            begin, self._beginning = self._beginning is not loop, loop
        if begin:
            loop.call_soon(self._begin)
        try:
            return cast("T", await job.done)
        except asyncio.CancelledError:
            if whole or not self._withdraw(job):
                await settle(job.ended())
            raise

    async def finish(self, job: Callable[[], None]) -> None:
        """Do what waits, and then certainly and wholly this."""
        self._begin()
        await self._thread.finish(job)

    def _begin(self) -> None:
        try:
            self._thread.submit(self._do)
        except RuntimeError as problem:  # There is no thread any more: the interpreter is ending.
            jobs = self._take()
            for job in jobs:
                job.failed(problem)
            _tell(jobs)

    def _take(self) -> list[Job[C]]:
        """The jobs of the next batch."""
        with self._lock:
            jobs = list(self._waiting)
            self._waiting.clear()
            self._beginning = None
        return jobs

    def _withdraw(self, job: Job[C]) -> bool:
        """Forget a job whose batch has not begun."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                return True
        return False

    def _do(self) -> None:
        jobs = self._take()
        if not jobs:
            return
        try:
            self._commit(jobs)
        except BaseException as problem:  # noqa: BLE001 - told to those who wait for it
            for job in jobs:
                job.failed(problem)
        _tell(jobs)


def _tell(jobs: Sequence[Job[Any]]) -> None:
    """Tell what came of jobs; each event loop is woken once, whatever their number."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, told in by_loop.items():
        with suppress(RuntimeError):  # It is closed: nobody waits there any more.
            loop.call_soon_threadsafe(_finish, told)


def _finish(jobs: Sequence[Job[Any]]) -> None:
    for job in jobs:
        job.finish()


class Job(Generic[C]):
    """A job on a connection, and what came of it.

    Attributes:
        durable: it has to survive a loss of power.
        loop: whose task waits for it.
        done: what it waits for. It is cancelled with that task.
    """

    def __init__(self, work: Callable[[C], Any], durable: bool, loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self.durable: bool = durable
        self.loop: asyncio.AbstractEventLoop = loop
        self.done: asyncio.Future[Any] = loop.create_future()
        self._result: Any = None
        self._problem: BaseException | None = None
        self._told = False
        self._ended: asyncio.Future[None] | None = None

    def do(self, connection: C) -> None:
        """Do it; its result is told once it is committed.

        Raises:
            Exception: what it raised.
        """
        self._result, self._problem = None, None
        self._result = self._work(connection)

    def failed(self, problem: BaseException) -> None:
        """It was undone; or the batch as a whole has failed."""
        self._problem = problem

    def ended(self) -> asyncio.Future[None]:
        """Done once the job has ended, for a task that was cancelled while it waited."""
        self._ended = self.loop.create_future()
        if self._told:
            self._ended.set_result(None)
        return self._ended

    def finish(self) -> None:
        """Tell what came of it, in its event loop."""
        self._told = True
        if self._ended is not None:
            self._ended.set_result(None)
        if self.done.done():
            return  # Its task was cancelled.
        if self._problem is not None:
            self.done.set_exception(self._problem)
        else:
            self.done.set_result(self._result)
