"""All ranges of one upload to the service, in parallel, each as often as it takes.

The laws of this file: an upload stands in the queue for lanes once, so that uploads share them fairly; it never has
more ranges under way than the pool has lanes, waiting ones included; a lane waits for nobody who is backing off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import cast

import anyio

from .._session import Session
from ..errors import UploadError, VideoCloudError
from ..models import ChunkReceipt, UploadTicket
from .chunk import send_range
from .journal import Log
from .plan import Range, ranges
from .pool import Lane, Pool
from .progress import Progress
from .source import Data, Source

logger = logging.getLogger(__name__)


class Sender:
    """Sends what is missing of one upload."""

    def __init__(
        self, session: Session, pool: Pool, source: Source, ticket: UploadTicket, log: Log, progress: Progress
    ) -> None:
        self._session = session
        self._pool = pool
        self._source = source
        self._ticket = ticket
        self._log = log
        self._progress = progress
        self._window = anyio.Semaphore(pool.options.max_workers, fast_acquire=True)
        self.stopping = False
        self._stopped = False

    async def send_all(self, accepted: Iterable[Range]) -> None:
        """Send every range that is not accepted yet.

        Raises:
            VideoCloudError: one range could not be brought there. The others have ended by then.
        """
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        try:
            async with asyncio.TaskGroup() as group:
                await self._dispatch(group, accepted)
            # Only now: an error in the block above would have cut off the ranges under way.
            if self._stopped:
                raise UploadError("the upload was stopped because the client is shutting down", retryable=True)
        except BaseExceptionGroup as problems:
            error = _first(problems)
            if task.cancelling() > cancels:
                # The caller cancels at the moment of an error: cancellation is what the caller waits for.
                raise asyncio.CancelledError from error
            raise error from (problems if len(problems.exceptions) > 1 else error.__cause__)

    async def _dispatch(self, group: asyncio.TaskGroup, accepted: Iterable[Range]) -> None:
        for part in ranges(self._source.size, self._pool.options.chunk_size, accepted):
            await self._window.acquire()
            grant = Grant(self._pool, await self._pool.take())
            data = None
            if self.stopping:
                grant.release()
                self._stopped = True
                return
            try:
                self._log.check()
                if not self._source.rereadable:
                    data = await self._source.read(part, grant.lane.buffer)
            except BaseException:
                grant.release()
                raise
            task = group.create_task(self._chunk(part, grant, data))
            # Not in the task itself: one that is cancelled before its first step never reaches its own `finally`.
            task.add_done_callback(partial(self._ended, grant))

    def _ended(self, grant: Grant, _: asyncio.Task[None]) -> None:
        grant.release()
        self._window.release()

    async def _chunk(self, part: Range, grant: Grant, held: Data | None) -> None:
        """One range until it is accepted. What a stream gave is held, with its lane; anything else is read anew each
        time."""
        attempts = 0

        async def attempt() -> str:
            nonlocal attempts
            attempts += 1
            if not grant.held:
                await grant.take()
            try:
                data = held or await self._source.read(part, grant.lane.buffer)
                await self._send(grant.lane, part, data)
            finally:
                if held is None:
                    grant.release()
            return data.md5

        def on_retry(error: VideoCloudError, wait: float) -> None:
            self._progress.retries += 1
            logger.info("%s; range %d-%d again in %.1f s", error, part.first, part.end - 1, wait)

        md5 = await self._session.retries.run(attempt, progress=lambda: self._progress.chunks, on_retry=on_retry)
        self._progress.arrived(part)
        await self._log.record(ChunkReceipt(part.first, part.end - 1, md5, attempts))

    async def _send(self, lane: Lane, part: Range, data: Data) -> None:
        on_sent = self._progress.sending(part)
        self._progress.in_flight += 1
        try:
            await send_range(self._session, self._pool, lane, self._ticket, part, data, on_sent)
        finally:
            self._progress.in_flight -= 1


class Grant:
    """The right to a lane: given back once, whoever does it first."""

    def __init__(self, pool: Pool, lane: Lane) -> None:
        self._pool = pool
        self._lane: Lane | None = lane

    @property
    def held(self) -> bool:
        """Whether there is a lane now."""
        return self._lane is not None

    @property
    def lane(self) -> Lane:
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


Group = BaseExceptionGroup[BaseException]


def _first(problems: Group) -> BaseException:
    """The error to raise of several: a mistake in the caller's code or ours before one of the service, then the
    earliest."""
    flat = [
        _first(cast("Group", each)) if isinstance(each, BaseExceptionGroup) else each for each in problems.exceptions
    ]
    return min(flat, key=lambda error: isinstance(error, VideoCloudError))
