"""One runner: takes items from the ledger as fast as they are uploaded, until nothing is left.

The rules of this file:

- No more is claimed than can start at once, and everything that is claimed is ended or given back.
- A failure counts only where it is the item's. What stops one item for a reason that stops all of them (quota,
  credentials) stops the batch; in an outage the runner waits, and tries with one item.
- An outcome is told only when the ledger has it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import anyio
import attrs

from .._clocks import boottime
from .._concurrency import run_to_completion
from .._redaction import shown
from ..client import AsyncVideoCloud
from ..errors import VideoCloudError
from ..models import UploadItem, UploadOutcome, UploadReceipt, VideoStatus
from ..upload.handle import UploadHandle
from .claims import FIRST_WAIT, LONGEST_WAIT, Claims
from .heartbeat import Heartbeat
from .item_journal import ItemJournal
from .ledger.base import Ledger, LedgerError
from .models import Claim, Ending, ItemState
from .outage import OutageWatch
from .publication import Reviewed, Watchers
from .settings import COMPLETE, PUBLISHED, Settings
from .slots import Slot
from .sources import close_source, item_of, open_source, upload_key
from .starting import start, takes_uploads
from .verdicts import REVIEW_HINT, Verdict, hint_for, retry_after_of, review_of, verdict_of, words

logger: logging.Logger = logging.getLogger(__name__)

#: So many items are claimed at once, at the most.
LOT = 50


@attrs.frozen
class RunningItem:
    """An upload that is under way.

    Attributes:
        source: the item's, as a report shows it.
        handle: the upload.
    """

    source: str
    handle: UploadHandle


class Runner:
    """One run of a batch by one process.

    Args:
        cloud: the client.
        ledger: the batch.
        settings: how items are tried.
        concurrency: uploads at the same time.
        wait: items end when their videos are published.
    """

    def __init__(
        self, cloud: AsyncVideoCloud, ledger: Ledger, settings: Settings, *, concurrency: int, wait: bool
    ) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._settings = settings
        self._concurrency = concurrency
        self._wait = wait
        self.slot: Slot = Slot(cloud, ledger, settings.lease_seconds, settings.max_bandwidth)
        self._heartbeat = Heartbeat(ledger, settings.lease_seconds, clock=boottime, after=self._changed)
        self._claims = Claims(ledger, self._heartbeat, settings.ledger_patience)
        self._outage = OutageWatch(asyncio.get_running_loop().time)
        self._watchers = Watchers(cloud, self._reviewed, self._broken)
        self._outcomes: asyncio.Queue[UploadOutcome | None] = asyncio.Queue()
        self._uploads: dict[asyncio.Task[None], RunningItem | None] = {}
        self._change = asyncio.Event()
        self._over = False
        self._stopping = False
        self._problem: Exception | None = None
        self._within: float | None = None
        self._telling: asyncio.Task[None] | None = None
        self._helpers: list[asyncio.Task[None]] = []
        #: Set when nothing is under way any more.
        self.ended: asyncio.Event = asyncio.Event()

    async def outcomes(self) -> AsyncGenerator[UploadOutcome, None]:
        """Run, and give each item's outcome as it completes."""
        try:
            await self._claims.ask(self._ledger.clear_stop)
            await self._claims.ask(self.slot.take)
            self._help(self._heartbeat.run())
            self._help(self.slot.run(self._claims.ask))
            more = True
            while more:
                self.ended.clear()
                self._help(self._run())
                while (outcome := await self._outcomes.get()) is not None:
                    self._changed()
                    yield outcome
                more = await self._left()
            if self._problem is not None:
                raise self._problem
        finally:
            await run_to_completion(self.aclose())

    async def _left(self) -> bool:
        """Whether something is to be done after the last outcome: its taker may have added an item, or retried one."""
        if self._over or self._stopping:
            return False
        outlook = await self._claims.ask(self._ledger.outlook)
        return outlook.waiting > 0 and not outlook.stopping

    def stop(self, within: float) -> None:
        """Take no more items; uploads that will not be done within so many seconds end where they can go on."""
        self._over, self._within = True, within
        for each in self.running:
            each.handle.stop(within)
        self._changed()

    async def aclose(self) -> None:
        """End what is under way, and give back what is held."""
        self._over = True
        helpers, self._helpers = self._helpers, []
        await self._watchers.aclose()
        # A helper that has just got items may begin them, or have them watched, before it is cancelled.
        while ending := [each for each in (*self._uploads, *helpers, self._telling) if each and not each.done()]:
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)
            await self._watchers.aclose()
        await self._claims.give_all_back()
        await self.slot.free()

    def cut_off(self) -> None:
        """End what is still under way."""
        for task in list(self._uploads):
            task.cancel()
        self._changed()

    @property
    def running(self) -> list[RunningItem]:
        """The uploads under way."""
        return [each for each in self._uploads.values() if each is not None]

    @property
    def reviewed(self) -> int:
        """How many videos are waited for."""
        return len(self._watchers)

    # The loop

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                if self._wait:
                    group.create_task(self._feed_watchers())
            while self._uploads:
                await asyncio.wait(self._uploads)
            if not self._over and not self._stopping:
                await self._watchers.idle()
            if self._telling is not None:
                await self._telling
        except* Exception as group:  # noqa: BLE001 - raised by the one who takes the outcomes
            self._fail(group.exceptions[0])
        finally:
            self._outcomes.put_nowait(None)
            self.ended.set()

    async def _feed(self) -> None:
        wait = FIRST_WAIT
        while not self._over:
            room = self._outage.allowed(self._concurrency) - len(self._uploads)
            if room <= 0 or self._outcomes.qsize() > self._concurrency:
                await self._next_change(self._outage.pause)
                continue
            claims = await self._claims.take(self._ledger.claim, min(room, LOT))
            for claim in self._wanted(claims):
                self._begin(claim)
            if claims:
                wait = FIRST_WAIT
                continue
            outlook = await self._claims.ask(self._ledger.outlook)
            if outlook.stopping or not outlook.waiting + outlook.held:
                return
            # Others may give back what they hold at any time: that is only seen by looking.
            await self._next_change(min(wait, max(outlook.due, FIRST_WAIT)))
            wait = min(2 * wait, LONGEST_WAIT)

    async def _feed_watchers(self) -> None:
        """Wait for what was uploaded by other runs too; it is over when no item is left in any runner's hands."""
        wait = FIRST_WAIT
        while not self._over:
            room = self._watchers.room
            claims = await self._claims.take(self._ledger.claim_uploaded, room) if room else []
            for claim in self._wanted(claims):
                self._watchers.add(Reviewed(claim, None))
            if claims:
                wait = FIRST_WAIT
                continue
            outlook = await self._claims.ask(self._ledger.outlook)
            self._stopping = outlook.stopping
            if outlook.stopping or not outlook.waiting + outlook.held + outlook.reviewed:
                return
            await self._next_change(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _wanted(self, claims: list[Claim]) -> list[Claim]:
        """What was taken in the last moment is given back at the end."""
        return [] if self._over else claims

    def _begin(self, claim: Claim) -> None:
        task = self._task(self._upload(claim))
        self._uploads[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._uploads[task]
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._fail(problem)
        self._changed()

    # One item

    async def _upload(self, claim: Claim) -> None:
        item = item_of(claim, self._settings.root)
        try:
            outcome = await self._outcome(claim, item)
        except asyncio.CancelledError:
            await run_to_completion(self._claims.give_back(claim))
            raise
        if outcome is not None:
            self._outcomes.put_nowait(outcome)

    async def _outcome(self, claim: Claim, item: UploadItem) -> UploadOutcome | None:
        """Upload an item, and write what has come of it."""
        begun = bool(claim.file_id)
        journal = ItemJournal(self._ledger, claim.number, claim.fence, self._heartbeat, begun=begun)
        try:
            receipt = await self._send(claim, item, journal)
        except Exception as error:  # noqa: BLE001 - a failure is an outcome, whatever a source raises
            return await self._failed(claim, item, journal, error)
        self._outage.success()
        done = attrs.evolve(claim, file_id=receipt.file_id, size=receipt.size, attempts=claim.attempts + 1)
        keep = self._wait and self._watchers.room > 0 and not self._over
        ending = Ending(
            ItemState.UPLOADED,
            attempts=done.attempts,
            file_id=receipt.file_id,
            size=receipt.size,
            seconds=receipt.elapsed,
            keep=keep,
            durable=self._settings.tidies,
        )
        if not await self._claims.end(claim, ending):
            return None
        if keep:
            self._watchers.add(Reviewed(done, receipt))
            return None
        if not self._wait:
            await self._settings.tidy(self._cloud, self._ledger, done, COMPLETE)
            return UploadOutcome(item, receipt)
        return None

    async def _send(self, claim: Claim, item: UploadItem, journal: ItemJournal) -> UploadReceipt:
        source = await open_source(item.source, self._settings.open_source)
        try:
            wanted = attrs.evolve(item, source=source, key=upload_key(claim))
            async with start(self._cloud, wanted, journal, self._settings.lease_seconds) as handle:
                task = asyncio.current_task()
                assert task is not None
                self._uploads[task] = RunningItem(shown(claim.source), handle)
                if self._within is not None:
                    handle.stop(self._within)
                return await handle
        finally:
            if source is not item.source:
                await run_to_completion(close_source(source))

    async def _failed(
        self, claim: Claim, item: UploadItem, journal: ItemJournal, error: Exception
    ) -> UploadOutcome | None:
        verdict = verdict_of(error)
        ours = self._over or not takes_uploads(self._cloud)
        if ours or journal.refused or not self._heartbeat.holds(claim.number, claim.fence):
            # It was stopped, or its claim is gone: no failure of the item.
            verdict = verdict if verdict in (Verdict.DUPLICATE, Verdict.STOP) else Verdict.RELEASE
        if not takes_uploads(self._cloud):
            self._fail(VideoCloudError("the client was closed while its batch was running", retryable=True))
        if verdict is Verdict.OUTAGE:
            verdict = self._outage.failure(claim.number, down=self._cloud.stats().outage)
        if verdict is Verdict.STOP:
            self._stop_all(error)
        if verdict in (Verdict.STOP, Verdict.RELEASE):
            await self._claims.give_back(claim)
            return None
        if verdict is Verdict.DUPLICATE:
            return await self._duplicate(claim, item, journal, error)
        attempts = claim.attempts + 1
        again = verdict is not Verdict.FAIL and attempts < self._settings.max_attempts
        ending = Ending(
            ItemState.WAITING if again else ItemState.FAILED,
            delay=max(self._settings.backoff(attempts, random.random), retry_after_of(error)) if again else 0.0,
            attempts=attempts,
            error=words(error),
            hint=hint_for(error),
        )
        if not await self._claims.end(claim, ending) or again:
            return None
        return UploadOutcome(item, error=error)

    async def _duplicate(
        self, claim: Claim, item: UploadItem, journal: ItemJournal, error: Exception
    ) -> UploadOutcome | None:
        """The bytes are a video already: the outcome has its receipt."""
        file_id = getattr(error, "file_id", None) or ""
        task = asyncio.current_task()
        running = None if task is None else self._uploads.get(task)
        size = claim.size if running is None else running.handle.progress.total or claim.size
        tries, durable = claim.attempts + 1, self._settings.tidies
        ending = Ending(ItemState.DUPLICATE, 0.0, tries, file_id, size, error=words(error), durable=durable)
        if not await self._claims.end(claim, ending):
            return None
        safe = PUBLISHED if self._wait else COMPLETE
        done = attrs.evolve(claim, file_id=file_id)
        await self._settings.tidy(self._cloud, self._ledger, done, safe, journal.found.get(file_id))
        return UploadOutcome(item, UploadReceipt(file_id, size, 0, 0, 0, 0.0), duplicate=True)

    async def _reviewed(self, reviewed: Reviewed, outcome: VideoStatus | VideoCloudError) -> None:
        """A video was published, or never will be."""
        claim, status = reviewed.claim, None if isinstance(outcome, VideoCloudError) else outcome
        state, error = review_of(outcome)
        said, hint = ("", "") if error is None else (words(error), REVIEW_HINT)
        ending = Ending(state, attempts=claim.attempts, error=said, hint=hint, durable=self._settings.tidies)
        if await self._claims.end(claim, ending):
            if error is None:
                await self._settings.tidy(self._cloud, self._ledger, claim, ())
            receipt = reviewed.receipt or UploadReceipt(claim.file_id, claim.size, 0, 0, claim.size, 0.0)
            self._outcomes.put_nowait(UploadOutcome(item_of(claim, self._settings.root), receipt, status, error))
        self._changed()

    def _stop_all(self, error: Exception) -> None:
        """The batch as a whole can't go on: all runners stop."""
        if self._problem is None:
            logger.error("the batch stops: %s", error)
            self._problem = error
            self._over = True
            self._telling = self._task(self._tell_all(words(error)))
        self._changed()

    async def _tell_all(self, problem: str) -> None:
        try:
            await self._claims.ask(lambda: self._ledger.stop(problem))
        except LedgerError as error:
            logger.warning("other runners could not be told to stop: %s", error)

    def _broken(self, problem: BaseException) -> None:
        """Nothing can be looked at any more."""
        if isinstance(problem, Exception) and verdict_of(problem) is Verdict.STOP:
            self._stop_all(problem)
        else:
            self._fail(problem)

    def _helper_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._fail(problem)

    def _fail(self, problem: BaseException) -> None:
        if self._problem is None:
            self._problem = problem if isinstance(problem, Exception) else RuntimeError(repr(problem))
        self._over = True
        self._changed()

    def _changed(self) -> None:
        self._change.set()

    async def _next_change(self, seconds: float | None) -> None:
        self._change.clear()
        with anyio.move_on_after(seconds):
            await self._change.wait()

    def _help(self, work: Coroutine[Any, Any, None]) -> None:
        helper = self._task(work)
        self._helpers.append(helper)
        helper.add_done_callback(self._helper_ended)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name="iqiyi-async batch")
