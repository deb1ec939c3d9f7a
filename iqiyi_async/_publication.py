"""Waiting until videos are published: one poller for all tasks of a client.

The list shows published videos only. So a round asks for all videos by pages of 100, looks once at each that turned
up there (for its URLs), and at ten of the others, for those that failed: the ones least recently looked at. A few
videos are looked at one by one, ever less often.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from .errors import AuthorizationError, ConfigurationError, VideoCloudError
from .models import Video, VideoPage, VideoState, VideoStatus
from .protocol.videos import batches

logger: logging.Logger = logging.getLogger(__name__)

#: The first wait between two looks at a video, and the longest, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
#: Single looks of a round. As many videos or fewer need no pages.
SINGLE_LOOKS = 10
#: Requests that are under way at once, and the most a second on the average over rounds with pages.
AT_ONCE, PER_SECOND = 16, 20.0
#: A video that is not published after so many seconds is worth a word in the log.
LONG = 600.0


@attrs.define(eq=False)
class Watch:
    """A video that a task waits for.

    Attributes:
        file_id: which.
        began: since when (seconds of the poller's clock, like all times here).
        due: when it is to be looked at.
        wait: the wait before the next look.
        looked: when it was last looked at by itself.
        state: what was seen last.
        problem: why the last look failed, or None.
        outcome: what it has ended with, or None.
        listeners: where it is put when it has ended.
        first_round: set when it has been looked at, one way or the other.
        reported: whether the log has a word about it.
        listed: whether it has turned up in the list.
    """

    file_id: str
    began: float
    due: float
    wait: float = FIRST_WAIT
    looked: float = -math.inf
    state: VideoState = VideoState.UNKNOWN
    problem: VideoCloudError | None = None
    outcome: VideoStatus | VideoCloudError | None = None
    listeners: list[asyncio.Queue[Watch]] = attrs.field(factory=list["asyncio.Queue[Watch]"])
    first_round: asyncio.Event = attrs.Factory(asyncio.Event)
    reported: bool = False
    listed: bool = False


class Publication:
    """The poller of one client. Its task runs while a task waits.

    Args:
        status: looks at one video (section 4).
        page: looks for at most 100 videos in the list (section 5).
        patience: how long failures in a row are outlived, in seconds.
        sleep: waits for so many seconds.
        clock: seconds, never going back.
        random: a number from 0 to 1.
    """

    def __init__(
        self,
        status: Callable[[str], Awaitable[VideoStatus]],
        page: Callable[[tuple[str, ...]], Awaitable[VideoPage]],
        *,
        patience: float,
        sleep: Callable[[float], Awaitable[object]],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._status = status
        self._page = page
        self._patience = patience
        self._sleep = sleep
        self._clock = clock
        self._random = random
        self._watches: dict[str, Watch] = {}
        self._joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._not_before = -math.inf
        self._failing_since: float | None = None

    async def ended(self, file_ids: Iterable[str], timeout: float | None) -> AsyncGenerator[VideoStatus, None]:
        """Videos as they reach a state that the service will not move them out of: published, failed, unknown.

        Args:
            file_ids: which; each is given once.
            timeout: seconds to wait at most; forever if None; with 0 there is one round of looks.

        Raises:
            TimeoutError: not all of them have, after those that have.
            VideoCloudError: one could not be looked at, after all others; or none, for longer than the patience.
        """
        queue: asyncio.Queue[Watch] = asyncio.Queue()
        refused: VideoCloudError | None = None
        deadline = None if timeout is None else self._clock() + timeout
        with self._watching(file_ids, queue) as watches:
            if timeout == 0:
                for watch in watches:
                    await watch.first_round.wait()
            for number in range(len(watches)):
                ended = await self._next(queue, deadline)
                if ended is None:
                    raise _late(watches, number, timeout or 0.0)
                if isinstance(ended.outcome, VideoStatus):
                    yield ended.outcome
                else:
                    refused = refused or ended.outcome
        if refused is not None:
            raise refused

    async def aclose(self) -> None:
        """End all waits with an error."""
        for watch in list(self._watches.values()):
            text = f"the wait for video {watch.file_id} has ended: the client was closed"
            self._end(watch, VideoCloudError(text, operation="get_status", file_id=watch.file_id, retryable=True))
        task = self._stop()
        if task is not None:
            await asyncio.wait([task])

    async def _next(self, queue: asyncio.Queue[Watch], deadline: float | None) -> Watch | None:
        """The next one that has ended, or None when the time is over."""
        if not queue.empty():
            return queue.get_nowait()
        limit = asyncio.timeout(None if deadline is None else deadline - self._clock())
        try:
            async with limit:
                return await queue.get()
        except TimeoutError:
            if not limit.expired():
                raise
            # It may have ended in the turn of the loop in which the time was over.
            return None if queue.empty() else queue.get_nowait()

    @contextmanager
    def _watching(self, file_ids: Iterable[str], queue: asyncio.Queue[Watch]) -> Generator[list[Watch], None, None]:
        now = self._clock()
        watches = [self._watches.setdefault(each, Watch(each, now, now)) for each in dict.fromkeys(file_ids)]
        for watch in watches:
            watch.listeners.append(queue)
        self._joined.set()
        if self._task is None and watches:
            self._task = asyncio.create_task(self._run(), name="iqiyi-async: waiting for publication")
        try:
            yield watches
        finally:
            for watch in watches:
                watch.listeners.remove(queue)
                if not watch.listeners and self._watches.get(watch.file_id) is watch:
                    del self._watches[watch.file_id]
            if not self._watches:
                self._stop()

    def _stop(self) -> asyncio.Task[None] | None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    async def _run(self) -> None:
        try:
            while self._watches:
                now = self._clock()
                due = max(self._not_before, min(watch.due for watch in self._watches.values()))
                if due > now:
                    await self._pause(due - now)
                else:
                    await self._round(now)
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until another task begins to wait."""
        self._joined.clear()
        joined = asyncio.ensure_future(self._joined.wait())
        slept = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait([joined, slept], return_when=asyncio.FIRST_COMPLETED)
        finally:
            joined.cancel()
            slept.cancel()
            await asyncio.wait([joined, slept])

    async def _round(self, now: float) -> None:
        watches = list(self._watches.values())
        if len(watches) > SINGLE_LOOKS:
            lots = list(batches(tuple(self._watches)))
            # Nobody looks more often because there are more of them.
            self._not_before = now + (len(lots) + SINGLE_LOOKS) / PER_SECOND
            turned_up = await self._turned_up(lots)
            others = (watch for watch in watches if watch.file_id not in turned_up)
            looked_at = heapq.nsmallest(SINGLE_LOOKS, others, key=lambda watch: watch.looked)
            looked_at += [watch for watch in watches if watch.file_id in turned_up]
        else:
            watches = looked_at = [watch for watch in watches if watch.due <= now]
        await _bounded([self._look(watch) for watch in looked_at])
        now = self._clock()
        for watch in watches:
            watch.due = now + watch.wait * (0.9 + 0.2 * self._random())
            watch.wait = min(1.5 * watch.wait, LONGEST_WAIT)
            watch.first_round.set()
        self._report([each for each in watches if now - each.began > LONG and each.outcome is None])

    def _report(self, late: Sequence[Watch]) -> None:
        """Say once of each that it takes very long, all that have become late together in one line."""
        late = [watch for watch in late if not watch.reported]
        for watch in late:
            watch.reported = True
        if late:
            logger.warning(
                "%d %s not published after %.0f s (%s is %s): a video whose metadata was not set before its upload was"
                " finished never will be",
                len(late),
                "video is" if len(late) == 1 else "videos are",
                LONG,
                late[0].file_id,
                late[0].state.value,
                extra={"file_id": late[0].file_id},
            )

    async def _turned_up(self, lots: Sequence[tuple[str, ...]]) -> set[str]:
        """Which videos the list has, as far as they are worth a look."""
        found: list[Video] = []

        async def ask(lot: tuple[str, ...]) -> None:
            try:
                page = await self._page(lot)
            except VideoCloudError as error:
                # What one page can't give, single looks may: only what is refused to all of them ends their waits.
                if isinstance(error, AuthorizationError | ConfigurationError):
                    self._end_all(error)
                else:
                    self._failed(error)
            else:
                self._failing_since = None
                found.extend(page.videos)

        await _bounded([ask(lot) for lot in lots])
        return {video.file_id for video in found if self._is_news(video)}

    def _is_news(self, video: Video) -> bool:
        """Whether an entry of the list is worth a look: in its last state, or there for the first time. One that was
        published before its review stays in the list as it is for a long time."""
        watch = self._watches.get(video.file_id)
        if watch is None:
            return False
        first, watch.listed = not watch.listed, True
        return first or video.state.final

    async def _look(self, watch: Watch) -> None:
        try:
            status = await self._status(watch.file_id)
        except VideoCloudError as error:
            watch.problem = error
            if error.retryable:
                self._failed(error)
            else:
                self._end(watch, error)
        else:
            self._failing_since = watch.problem = None
            watch.state = status.state
            if status.state.final:
                self._end(watch, status)
        watch.looked = self._clock()

    def _failed(self, error: VideoCloudError) -> None:
        now = self._clock()
        self._failing_since = now if self._failing_since is None else self._failing_since
        if now - self._failing_since >= self._patience:
            self._failing_since = None
            self._end_all(error)

    def _end_all(self, error: VideoCloudError) -> None:
        for watch in list(self._watches.values()):
            self._end(watch, error)

    def _end(self, watch: Watch, outcome: VideoStatus | VideoCloudError) -> None:
        if watch.outcome is None and self._watches.get(watch.file_id) is watch:
            del self._watches[watch.file_id]
            watch.outcome = outcome
            watch.first_round.set()
            for queue in watch.listeners:
                queue.put_nowait(watch)


async def _bounded(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all of it, not more than `AT_ONCE` at a time."""
    left = iter(work)

    async def some() -> None:
        for each in left:
            await each

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(work))):
                group.create_task(some())
    finally:
        for each in left:
            each.close()


def _late(watches: Sequence[Watch], ended: int, timeout: float) -> TimeoutError:
    watch = next(watch for watch in watches if watch.outcome is None)
    after = f"after {timeout:g} s"
    problem = "" if watch.problem is None else f"; the last look failed: {watch.problem}"
    if len(watches) == 1:
        return TimeoutError(f"video {watch.file_id} is not published {after} ({watch.state.value}){problem}")
    left = len(watches) - ended
    return TimeoutError(f"{left} of {len(watches)} videos are not published {after}, {watch.file_id} first{problem}")
