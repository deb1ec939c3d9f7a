"""All ranges of one upload to the service, in parallel, each as often as it takes; and its metadata beside the first.

The rules of this file: an upload stands in the queue for workers once, so that uploads share them fairly; it never has
more ranges under way than the pool has workers, waiting ones included; a worker waits for nobody who is backing off,
and for no stream. A range that takes far longer than the others is sent once more (`latency`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

import anyio
import anyio.lowlevel
import attrs

from .._fair_queue import Turn
from .._session import Session
from ..errors import ServiceError, UploadError, VideoCloudError
from ..models import Bottleneck, ChunkReceipt, UploadState, UploadTicket
from ..protocol import uploads
from ..protocol.wire import Call
from .journal.session import JournalSession
from .progress import Progress
from .range_attempt import RangeAttempt, cancelled_within, check_stored
from .ranges import Range, covered, gaps
from .reading.base import Chunk, UploadSource
from .reading.memory import allocate
from .routes import Route
from .sharing.workers import Worker, WorkerPool

logger: logging.Logger = logging.getLogger(__name__)

#: How long the end of an upload goes without a look at its late ranges, in seconds.
LOOK_SECONDS = 0.5

#: The service refuses a request for its size.
_TOO_LARGE = "HTTP 413"


class Transfer:
    """Sends what is missing of one upload.

    Args:
        session: sends the calls.
        pool: the workers.
        route: where the ranges go.
        source: where the bytes come from.
        ticket: the upload.
        describe: sets the metadata; runs beside the first ranges.
        journal: where accepted ranges are noted.
        progress: where bytes are counted.
        turn: whose upload it is.
        parameters: how a range says what it is.
        running: not set while the upload is paused.
        on_moved: called with the new address when the ranges go elsewhere.
    """

    def __init__(
        self,
        *,
        session: Session,
        pool: WorkerPool,
        route: Route,
        source: UploadSource,
        ticket: UploadTicket,
        describe: Callable[[], Awaitable[None]],
        journal: JournalSession,
        progress: Progress,
        turn: Turn,
        parameters: str,
        running: asyncio.Event,
        on_moved: Callable[[str], Awaitable[None]],
    ) -> None:
        self._session = session
        self._pool = pool
        self._route = route
        self._source = source
        self._ticket = ticket
        self._describe = describe
        self._journal = journal
        self._progress = progress
        self._turn = turn
        self._parameters = parameters
        self._running = running
        self._on_moved = on_moved
        self._attempts: set[RangeAttempt] = set()
        self._news = asyncio.Event()
        self._window = asyncio.Semaphore(pool.tuner.most_workers)
        self._left: list[Range] = []
        self._described = False
        self._sending = 0
        self._stopping = False
        self._stopped = False

    def stop(self) -> None:
        """Take no new ranges; those under way are finished."""
        self._stopping = True
        self._running.set()

    def paused(self) -> None:
        """The caller has paused the upload, or a range has ended: nothing may be under way any more."""
        if not self._running.is_set() and not self._sending and not self._stopping:
            self._progress.enter(UploadState.PAUSED)

    async def _until_running(self) -> None:
        if not self._running.is_set():
            self.paused()
            await self._running.wait()
            self._progress.enter(UploadState.SENDING)

    def causes(self) -> list[Bottleneck]:
        """What the ranges under way wait for."""
        return [attempt.cause for attempt in self._attempts]

    async def run(self, accepted: Sequence[ChunkReceipt]) -> None:
        """Send every range that is not accepted yet, and the metadata.

        Raises:
            VideoCloudError: the metadata was refused, or one range could not be sent. The others have ended by then.
        """
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        try:
            async with asyncio.TaskGroup() as group:
                metadata = group.create_task(self._set_metadata(), name="iqiyi-async metadata")
                metadata.add_done_callback(lambda _: self._news.set())
                if self._source.rereadable:
                    await self._dispatch(group, accepted)
                else:
                    await self._dispatch_stream(group, accepted)
                await self._wait_for_last(group)
            # Only now: an error in the block above would have cut off the ranges under way.
            if self._stopped:
                raise UploadError("the upload was stopped because the client is shutting down", retryable=True)
            self._check_complete()
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

    def _check_complete(self) -> None:
        """The service takes finish for an answer whether every byte has come or not."""
        known = [Range(each.first, each.size) for each in self._journal.accepted]
        if covered(self._source.size, known) != self._source.size:
            raise UploadError("not every range was accepted, so finish was not said", retryable=True)

    async def _set_metadata(self) -> None:
        try:
            await self._describe()
        except asyncio.CancelledError as problem:
            raise cancelled_within(problem)  # noqa: B904 - it has its cause, or is the same
        self._described = True

    # What is sent next

    async def _dispatch(self, group: asyncio.TaskGroup, accepted: Sequence[ChunkReceipt]) -> None:
        self._left = list(gaps(self._source.size, [Range(each.first, each.size) for each in accepted]))
        while True:
            if not self._left:
                await self._wait_for_last(group)
                if not self._left:
                    return
            await self._window.acquire()
            worker = None
            if self._source.reads_ahead:
                await self._until_running()
            else:
                self._progress.wait_for(Bottleneck.WORKERS)
                worker = await self._worker(group)
            if self._stopping:
                self._give_back(worker)
                self._window.release()
                self._stopped, self._left = bool(self._left), []
                return
            part = self._next_range()
            try:
                self._journal.check()
            except BaseException:
                self._give_back(worker)
                raise
            self._start(group, RangeAttempt(part, worker, Bottleneck.SOURCE), None)

    async def _dispatch_stream(self, group: asyncio.TaskGroup, accepted: Sequence[ChunkReceipt]) -> None:
        """A stream is gathered first: no worker waits for it. What was accepted earlier is read, compared, and not sent
        again."""
        known = sorted(accepted, key=lambda each: each.first)
        at = 0
        while at < self._source.size:
            while known and known[0].first < at:
                known.pop(0)
            if known and known[0].first == at:
                await self._source.compare(known[:1])
                at = known.pop(0).last + 1
                continue
            await self._window.acquire()
            await self._until_running()
            if self._stopping:
                self._stopped = True
                break
            end = known[0].first if known else self._source.size
            self._progress.wait_for(Bottleneck.SOURCE)
            chunk = await self._source.gather(min(self._pool.tuner.chunk_size, end - at))
            try:
                self._journal.check()
            except BaseException:
                chunk.release()
                raise
            self._start(group, RangeAttempt(Range(at, chunk.size), None, Bottleneck.WORKERS), chunk)
            at += chunk.size

    def _next_range(self) -> Range:
        gap = self._left[0]
        left = sum(each.size for each in self._left)
        part = Range(gap.first, min(self._pool.tuner.next_size(left, self._source.size), gap.size))
        if part.size == gap.size:
            del self._left[0]
        else:
            self._left[0] = Range(part.end, gap.end - part.end)
        return part

    def _start(self, group: asyncio.TaskGroup, attempt: RangeAttempt, chunk: Chunk | None) -> None:
        self._progress.planned(attempt.range)
        self._attempts.add(attempt)
        task = group.create_task(self._send_until_accepted(attempt, chunk))
        # Not in the task itself: one that is cancelled before its first step never reaches its own `finally`.
        task.add_done_callback(partial(self._ended, attempt, chunk))

    def _ended(self, attempt: RangeAttempt, chunk: Chunk | None, _: asyncio.Task[None]) -> None:
        if attempt.hedge is not None:
            attempt.hedge.cancel()
        self._give_back(attempt.take_worker())
        if chunk is not None:
            chunk.release()
        self._attempts.discard(attempt)
        self._window.release()
        self._news.set()

    # One range

    async def _send_until_accepted(  # noqa: C901 - one attempt in one frame: each costs time for each range
        self, attempt: RangeAttempt, chunk: Chunk | None
    ) -> None:
        """One range until it is accepted. What a stream gave is held; the rest is read again each time."""
        part = attempt.range
        source = self._source

        async def once() -> str:  # noqa: C901 - see above
            if attempt.hedged_md5 is not None:
                return attempt.hedged_md5
            worker, address = attempt.take_worker(), self._route.address()
            data: Chunk | None = chunk
            began, md5, sending = 0.0, "", False
            if self._session.is_down(address) and self._route.leave():
                await self._moved()
                address = self._route.address()
            self._sending += worker is not None
            try:
                if source.reads_ahead:
                    attempt.cause = source.reading
                    data = await source.read(part, allocate)
                if worker is None:
                    attempt.cause = Bottleneck.WORKERS
                    worker = await self._acquire(part.size, pin=data is None)
                    self._sending += 1
                attempt.number += 1
                if data is None:
                    attempt.cause = source.reading
                    data = await self._read(part, worker)
                md5 = data.md5
                on_sent, sending = self._on_sent(attempt), True
                began = asyncio.get_running_loop().time()
                async with attempt.sending(began):
                    call = self._call(part, data, address)
                    allow = None if self._pool.bandwidth.rate is None else self._allow(attempt)
                    stored = await self._session.exchange(call, on_sent=on_sent, on_resend=self._resent, allow=allow)
                self._pool.arrived(worker, part.size, began)
            except TimeoutError:
                assert attempt.hedged_md5 is not None  # nothing else ends it so
                # The same bytes either way: which of the two sendings arrived does not matter.
                return attempt.hedged_md5
            except VideoCloudError as error:
                await self._not_accepted(error, part, address)
                raise
            finally:
                if sending:
                    self._progress.in_flight -= 1
                if data is not None and data is not chunk:
                    data.release()
                attempt.not_sending(Bottleneck.SERVICE)
                if worker is not None:
                    self._pool.release(worker)
                    self._sending -= 1
                self.paused()
            self._progress.check()
            self._route.arrived()
            return check_stored(stored, self._ticket.file_id, part, md5)

        def on_retry(error: VideoCloudError, wait: float) -> None:
            attempt.cause = Bottleneck.BACKOFF
            self._progress.retries += 1
            self._pool.trouble()
            self._session.telemetry.retried(error)
            logger.info(
                "%s; range %d-%d again in %.1f s",
                error,
                part.first,
                part.end - 1,
                wait,
                extra={"file_id": self._ticket.file_id},
            )

        try:
            with self._session.telemetry.range(part.first, part.size):
                md5 = await self._session.retries.run(once, progress=self._got_on, on_retry=on_retry)
            await self._journal.record(ChunkReceipt(part.first, part.end - 1, md5, attempt.number))
        except _CutAgainError:
            self._left.insert(0, part)
            return
        except asyncio.CancelledError as problem:
            raise cancelled_within(problem)  # noqa: B904 - it has its cause, or is the same
        self._progress.arrived(part)
        self._session.telemetry.accepted(part.size)

    def _allow(self, attempt: RangeAttempt) -> Callable[[int], Awaitable[int]]:
        """Waits for the limit of the bandwidth before each write."""

        async def allow(most: int) -> int:
            attempt.cause = Bottleneck.BANDWIDTH_LIMIT
            count = await self._pool.bandwidth.take(most, self._turn)
            attempt.cause = Bottleneck.NETWORK
            return count

        return allow

    async def _acquire(self, size: int, *, pin: bool = True) -> Worker:
        """A worker, and the source ready to be read with it: nothing is opened while a worker is held."""
        await self._until_running()
        if not pin:
            return await self._pool.acquire(self._turn, size)
        await self._source.pin()
        try:
            return await self._pool.acquire(self._turn, size)
        except BaseException:
            self._source.unpin()
            raise

    def _give_back(self, worker: Worker | None) -> None:
        """A worker that was acquired to read is not needed."""
        if worker is not None:
            self._source.unpin()
            self._pool.release(worker)

    async def _read(self, part: Range, worker: Worker) -> Chunk:
        """Read what the source was made ready for."""
        try:
            return await self._source.read(part, worker.buffer)
        finally:
            self._source.unpin()

    def _resent(self) -> None:
        """A range met a connection that had been closed before, and is sent once more."""
        self._progress.retries += 1

    def _got_on(self) -> int:
        """Grows when the upload as a whole gets on: the count of attempts of a range is reset then."""
        return self._progress.chunks + self._route.moves

    def _call(self, part: Range, data: Chunk, address: str) -> Call[uploads.RangeAnswer]:
        ticket = self._ticket if address == self._ticket.upload_url else attrs.evolve(self._ticket, upload_url=address)
        return uploads.upload_chunk(
            ticket, part.first, data.view, parameters=self._parameters, boundary=self._pool.boundary
        )

    def _on_sent(self, attempt: RangeAttempt) -> Callable[[int], None]:
        """Counts the bytes of one sending as the network takes them."""
        count = self._progress.sending(attempt.range)
        self._progress.in_flight += 1
        left = attempt.range.size

        def on_sent(size: int) -> None:
            nonlocal left
            left -= size
            if left <= 0 and attempt.since is not None:
                attempt.cause = Bottleneck.SERVICE
            count(size)

        return on_sent

    async def _moved(self) -> None:
        upload_url = self._route.upload_url
        logger.warning(
            "the address of upload %s is unreachable; it goes on at %s",
            self._ticket.file_id,
            upload_url,
            extra={"file_id": self._ticket.file_id},
        )
        await self._on_moved(upload_url)

    async def _not_accepted(self, error: VideoCloudError, part: Range, address: str) -> None:
        if self._route.failed(address, error):
            logger.warning(
                "upload %s goes on at %s: %s",
                self._ticket.file_id,
                self._route.upload_url,
                error,
                extra={"file_id": self._ticket.file_id},
            )
            await self._on_moved(self._route.upload_url)
        if isinstance(error, ServiceError) and error.code == _TOO_LARGE:
            if self._source.rereadable and self._pool.tuner.too_large(part.size):
                raise _CutAgainError from error
            raise UploadError(
                f"a range of {part.size} bytes is too large for the service or for a proxy on the way (HTTP 413): set"
                " a smaller chunk_size in UploadOptions",
                file_id=self._ticket.file_id,
                retryable=False,
            ) from error

    # Late ranges

    async def _worker(self, group: asyncio.TaskGroup) -> Worker:
        """A worker for the next range. A range that hangs goes first: its worker has done nothing for a long while,
        and is back as soon as the range has arrived over another."""
        while True:
            worker = await self._acquire(self._pool.tuner.chunk_size)
            if not self._running.is_set():
                self._give_back(worker)
                continue
            oldest = None if self._stopping else self._oldest()
            if oldest is None or not self._hangs(oldest):
                return worker
            self._hedge(oldest, worker, group)

    def _oldest(self) -> RangeAttempt | None:
        """Of the ranges under way that were sent only once at a time, the one that has been for longest."""
        if not self._source.rereadable or self._source.reads_ahead or self._pool.bandwidth.rate is not None:
            # Under a limit, what waits for it is not late.
            return None
        alone = [each for each in self._attempts if each.since is not None and each.hedge is None]
        return min(alone, key=lambda attempt: attempt.since or 0.0, default=None)

    def _hangs(self, attempt: RangeAttempt) -> bool:
        """Whether a range is late, and those behind it are not. Where all have become slow, the link has no room for
        any of them twice."""
        if attempt.since is None or self._due(attempt) > asyncio.get_running_loop().time():
            return False
        return self._pool.latency.completed_after(attempt.since) >= self._pool.tuner.workers

    def _due(self, attempt: RangeAttempt) -> float:
        """When (loop time) a range is late, as far as that is known."""
        assert attempt.since is not None  # only those that are being sent are asked about
        return self._pool.latency.due(attempt.range.size, attempt.since, asyncio.get_running_loop().time())

    async def _wait_for_last(self, group: asyncio.TaskGroup) -> None:
        """Every range is under way: until the last has arrived, send those once more that are late.

        It is waited here, not at the end of the group: when one fails there, 3.11 leaves the waiting task marked as
        cancelled, and the failure would be taken for the caller's wish.
        """
        loop = asyncio.get_running_loop()
        while (self._attempts and not self._left) or not (self._described or self._left):
            self._news.clear()
            oldest = self._oldest() if self._pool.free and self._running.is_set() else None
            now = loop.time()
            due = math.inf if oldest is None else self._due(oldest)
            if oldest is not None and due <= now:
                self._hedge(oldest, await self._acquire(oldest.range.size), group)
                continue
            look = loop.call_at(min(due, now + LOOK_SECONDS), self._news.set)
            try:
                await self._news.wait()
            finally:
                look.cancel()

    def _hedge(self, attempt: RangeAttempt, worker: Worker, group: asyncio.TaskGroup) -> None:
        logger.info(
            "range %d-%d is late; it is sent once more",
            attempt.range.first,
            attempt.range.end - 1,
            extra={"file_id": self._ticket.file_id},
        )
        attempt.number += 1
        self._progress.retries += 1
        self._session.telemetry.hedged()
        attempt.hedge = group.create_task(self._send_too(attempt, worker))
        attempt.hedge.add_done_callback(lambda _: self._pool.release(worker))

    async def _send_too(self, attempt: RangeAttempt, worker: Worker) -> None:
        part = attempt.range
        data = await self._read(part, worker)
        on_sent = self._progress.sending(part)
        self._progress.in_flight += 1
        try:
            call = self._call(part, data, self._route.address())
            stored = await self._session.exchange(call, on_sent=on_sent, on_resend=self._resent)
            check_stored(stored, self._ticket.file_id, part, data.md5)
        except VideoCloudError as error:
            logger.info(
                "%s; the first sending of range %d-%d goes on",
                error,
                part.first,
                part.end - 1,
                extra={"file_id": self._ticket.file_id},
            )
        else:
            attempt.completed_by_hedge(data.md5)
        finally:
            self._progress.in_flight -= 1


class _CutAgainError(Exception):
    """A range was too large: it is cut into smaller ones."""


Group = BaseExceptionGroup[BaseException]


def _first(problems: Group) -> BaseException:
    """The error to raise of several: a mistake in the caller's code or ours before one of the service, then the
    earliest."""
    flat = [
        _first(cast("Group", each)) if isinstance(each, BaseExceptionGroup) else each for each in problems.exceptions
    ]
    return min(flat, key=lambda error: isinstance(error, VideoCloudError))
