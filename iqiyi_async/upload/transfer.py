"""All ranges of one upload to the service, in parallel, each as often as it takes.

The laws of this file: an upload stands in the queue for lanes once, so that uploads share them fairly; it never has
more ranges under way than the pool has lanes, waiting ones included; a lane waits for nobody who is backing off.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import cast

import anyio
import anyio.lowlevel

from .._session import Session
from ..errors import UploadError, VideoCloudError
from ..models import ChunkReceipt, UploadTicket
from .chunk import send_range
from .flight import RangeAttempt
from .journal_session import JournalSession
from .pool import Grant, Worker, WorkerPool
from .progress import Progress
from .ranges import Range, ranges
from .source import Data, Source

logger: logging.Logger = logging.getLogger(__name__)

#: How long the end of an upload goes without a look at its late ranges, in seconds.
LOOK_SECONDS = 0.5


class Transfer:
    """Sends what is missing of one upload."""

    def __init__(
        self,
        session: Session,
        pool: WorkerPool,
        source: Source,
        ticket: UploadTicket,
        log: JournalSession,
        progress: Progress,
    ) -> None:
        self._session = session
        self._pool = pool
        self._source = source
        self._ticket = ticket
        self._log = log
        self._progress = progress
        self._flights: set[RangeAttempt] = set()
        self._news = asyncio.Event()
        self._window = asyncio.Semaphore(pool.tuner.most_workers)
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
                # The caller cancels at the moment of an error: cancellation is what the caller waits for. From Python
                # 3.13 on the group has repeated it, without a name; a scope of anyio, which knows its own by name,
                # repeats it too.
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                await anyio.lowlevel.checkpoint_if_cancelled()
                raise asyncio.CancelledError from error
            raise error from (problems if len(problems.exceptions) > 1 else error.__cause__)

    async def _dispatch(self, group: asyncio.TaskGroup, accepted: Iterable[Range]) -> None:
        for part in ranges(self._source.size, lambda: self._pool.tuner.chunk_size, accepted):
            await self._window.acquire()
            grant = await self._grant(group)
            data = None
            if self.stopping:
                grant.release()
                self._stopped = True
                break
            try:
                self._log.check()
                if not self._source.rereadable:
                    data = await self._source.read(part, grant.lane.buffer)
            except BaseException:
                grant.release()
                raise
            self._progress.planned(part)
            flight = RangeAttempt(part, grant)
            self._flights.add(flight)
            task = group.create_task(self._bring(flight, data))
            # Not in the task itself: one that is cancelled before its first step never reaches its own `finally`.
            task.add_done_callback(partial(self._ended, flight))
        await self._see_home(group)

    async def _grant(self, group: asyncio.TaskGroup) -> Grant:
        """A lane for the next range. A range that hangs goes first: its lane has done nothing for a long while, and
        is back as soon as the range has arrived over another."""
        while True:
            grant = Grant(self._pool, await self._pool.take())
            oldest = None if self.stopping else self._oldest()
            if oldest is None or not self._hangs(oldest):
                return grant
            self._rescue(oldest, grant, group)

    def _oldest(self) -> RangeAttempt | None:
        """Of the ranges under way that were sent only once at a time, the one that has been for longest."""
        alone = [each for each in self._flights if each.since is not None and each.rescue is None]
        return min(alone, key=lambda flight: flight.since or 0.0, default=None)

    def _hangs(self, flight: RangeAttempt) -> bool:
        """Whether a range is late, and those behind it are not. Where all have become slow, the link has no room for
        any of them twice."""
        if flight.since is None or self._due(flight) > asyncio.get_running_loop().time():
            return False
        return self._pool.pace.overtaken(flight.since) >= self._pool.tuner.workers

    def _due(self, flight: RangeAttempt) -> float:
        """When (loop time) a range is late, as far as that is known; never for one that can't be read again."""
        if flight.since is None or not self._source.rereadable:
            return math.inf
        return self._pool.pace.due(flight.part.size, flight.since, asyncio.get_running_loop().time())

    def _ended(self, flight: RangeAttempt, _: asyncio.Task[None]) -> None:
        flight.over()
        self._flights.discard(flight)
        self._window.release()
        self._news.set()

    async def _bring(self, flight: RangeAttempt, held: Data | None) -> None:
        """One range until it is accepted. What a stream gave is held, with its lane; the rest is read anew each
        time."""
        part, grant = flight.part, flight.grant

        async def attempt() -> str:
            if flight.rescued is not None:
                return flight.rescued
            flight.attempts += 1
            if not grant.held:
                await grant.take()
            try:
                data = held or await self._source.read(part, grant.lane.buffer)
                async with flight.scope():
                    await self._send(flight, grant.lane, data)
            except TimeoutError:
                if flight.rescued is None:
                    raise
                # The same bytes either way: which of the two sendings brought them does not matter.
                return flight.rescued
            else:
                return data.md5
            finally:
                if held is None:
                    grant.release()

        def on_retry(error: VideoCloudError, wait: float) -> None:
            self._progress.retries += 1
            self._pool.trouble()
            logger.info("%s; range %d-%d again in %.1f s", error, part.first, part.end - 1, wait)

        md5 = await self._session.retries.run(attempt, progress=lambda: self._progress.chunks, on_retry=on_retry)
        self._progress.arrived(part)
        await self._log.record(ChunkReceipt(part.first, part.end - 1, md5, flight.attempts))

    async def _send(self, flight: RangeAttempt, lane: Worker, data: Data) -> None:
        loop = asyncio.get_running_loop()
        flight.since = began = loop.time()
        try:
            await self._exchange(lane, flight.part, data)
        finally:
            flight.since = None
        self._pool.arrived(flight.part.size, began, loop.time())

    async def _exchange(self, lane: Worker, part: Range, data: Data) -> None:
        on_sent = self._progress.sending(part)
        self._progress.in_flight += 1
        try:
            await send_range(self._session, self._pool, lane, self._ticket, part, data, on_sent)
        finally:
            self._progress.in_flight -= 1
        self._progress.check()

    async def _see_home(self, group: asyncio.TaskGroup) -> None:
        """Every range is under way: until the last has arrived, send those once more that are late (see `pace`).

        It is waited here, not at the end of the group: when one fails there, 3.11 leaves the waiting task marked as
        cancelled, and the failure would be taken for the caller's wish.
        """
        loop = asyncio.get_running_loop()
        while self._flights:
            self._news.clear()
            oldest = self._oldest() if self._pool.free else None
            now = loop.time()
            due = math.inf if oldest is None else self._due(oldest)
            if oldest is not None and due <= now:
                self._rescue(oldest, Grant(self._pool, await self._pool.take()), group)
                continue
            look = loop.call_at(min(due, now + LOOK_SECONDS), self._news.set)
            try:
                await self._news.wait()
            finally:
                look.cancel()

    def _rescue(self, flight: RangeAttempt, grant: Grant, group: asyncio.TaskGroup) -> None:
        logger.info("range %d-%d is late; it is sent once more", flight.part.first, flight.part.end - 1)
        flight.attempts += 1
        self._progress.retries += 1
        flight.rescue = group.create_task(self._bring_too(flight, grant.lane))
        flight.rescue.add_done_callback(lambda _: grant.release())

    async def _bring_too(self, flight: RangeAttempt, lane: Worker) -> None:
        part = flight.part
        data = await self._source.read(part, lane.buffer)
        try:
            await self._exchange(lane, part, data)
        except VideoCloudError as error:
            logger.info("%s; the first sending of range %d-%d goes on", error, part.first, part.end - 1)
        else:
            flight.arrived_otherwise(data.md5)


Group = BaseExceptionGroup[BaseException]


def _first(problems: Group) -> BaseException:
    """The error to raise of several: a mistake in the caller's code or ours before one of the service, then the
    earliest."""
    flat = [
        _first(cast("Group", each)) if isinstance(each, BaseExceptionGroup) else each for each in problems.exceptions
    ]
    return min(flat, key=lambda error: isinstance(error, VideoCloudError))
