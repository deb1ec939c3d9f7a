"""Waiting until the videos of a batch are published: in lots, all with the client's one poller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import attrs

from .._concurrency import run_to_completion
from ..client import AsyncVideoCloud
from ..errors import AuthorizationError, ConfigurationError, VideoCloudError
from ..models import UploadReceipt, VideoStatus
from .models import Claim

logger: logging.Logger = logging.getLogger(__name__)

#: So many videos are waited for at once by a runner; the others stay in the ledger.
MOST_WATCHED = 5000
#: What comes within so many seconds is waited for together.
GATHER = 0.2
#: The waits between looks that fail, in seconds.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
#: A video that can't be looked at, for a reason that does not pass, is given up after so many times.
TRIES = 3


@attrs.frozen
class Reviewed:
    """A video that is waited for: the claim of its item, and the receipt, if it was uploaded by this run."""

    claim: Claim
    receipt: UploadReceipt | None


class Watchers:
    """Waits for the videos of one runner.

    Args:
        cloud: the client.
        ended: called with each that has ended: its status, or the error that it was given up with.
        failed: called with what ends the waiting as a whole.
    """

    def __init__(
        self,
        cloud: AsyncVideoCloud,
        ended: Callable[[Reviewed, VideoStatus | VideoCloudError], Awaitable[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._cloud = cloud
        self._ended = ended
        self._failed = failed
        self._arrived: list[Reviewed] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def room(self) -> int:
        """How many more can be waited for."""
        return max(0, MOST_WATCHED - self._count)

    def add(self, reviewed: Reviewed) -> None:
        """Wait for one more."""
        self._count += 1
        self._arrived.append(reviewed)
        if len(self._arrived) == 1:
            task = asyncio.get_running_loop().create_task(self._watch(), name="iqiyi-async batch: publication")
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def idle(self) -> None:
        """Wait until all have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def aclose(self) -> None:
        """Wait for nothing any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self) -> None:
        await asyncio.sleep(GATHER)
        lot, self._arrived = self._arrived, []
        left: dict[str, list[Reviewed]] = {}
        for each in lot:
            left.setdefault(each.claim.file_id, []).append(each)
        wait, tries = FIRST_WAIT, 0
        while left:
            try:
                async for status in self._cloud.wait_all_published(list(left)):
                    wait = FIRST_WAIT
                    for each in left.pop(status.file_id):
                        await self._end(each, status)
            except (AuthorizationError, ConfigurationError) as error:
                self._failed(error)
                return
            except VideoCloudError as error:
                logger.warning("%d videos can't be looked at: %s", len(left), error)
                tries += not error.retryable
                if tries >= TRIES:
                    for each in [each for lot in left.values() for each in lot]:
                        await self._end(each, error)
                    return
            if left:
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    async def _end(self, each: Reviewed, outcome: VideoStatus | VideoCloudError) -> None:
        await run_to_completion(self._ended(each, outcome))
        self._count -= 1

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._failed(problem)
