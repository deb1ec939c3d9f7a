"""`upload`: several files in one go, and what becomes of each.

What belongs here: which files run when, what is said of each, how a signal ends it. What must not: an upload's life,
which is the library's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs

from iqiyi_async import (
    AsyncVideoCloud,
    AuthorizationError,
    Bottleneck,
    UploadError,
    UploadProgress,
    UploadReceipt,
    VideoCloudError,
    VideoStatus,
)

from . import words
from .display import Display
from .failures import FAILED, MISUSED, failure_of
from .jobs import Job
from .screen import Screen
from .signals import Signals

T = TypeVar("T")

#: Files under way at once. All share the client's workers; a few of them hide each other's beginnings and ends.
AT_ONCE = 4
#: What is under way at the first signal may take so many seconds to end well.
DRAIN_SECONDS = 10.0


@attrs.frozen
class Wishes:
    """What holds for all files of a command."""

    file_type: str | None = None
    wait: bool = False
    timeout: float | None = None
    resumable: bool = True
    again: bool = False
    key: str | None = None


class StoppedError(Exception):
    """The user has asked to stop."""


class Uploads:
    """The uploads of one command."""

    def __init__(
        self, cloud: AsyncVideoCloud, wishes: Wishes, screen: Screen, display: Display, signals: Signals
    ) -> None:
        self._cloud = cloud
        self._wishes = wishes
        self._screen = screen
        self._display = display
        self._signals = signals
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._begun: set[str] = set()
        self._refused = False
        self._drain: asyncio.Task[None] | None = None

    async def run(self, jobs: Sequence[Job]) -> int:
        """Upload all of them; one that fails does not keep the others from it.

        Returns:
            0 if all went well; 2 if none did because all were refused before they began; 1 if any failed; after a
            signal its own code.
        """
        self._signals.on_first = self._stop
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(job)) for job in jobs]
        except asyncio.CancelledError:
            self._screen.say(f"stopped at once; {self._how_to_go_on()}" if self._begun else "stopped: nothing was sent")
            raise
        except BaseExceptionGroup as problems:
            # Failures of files are results. What comes here is a mistake; the first one tells.
            raise problems.exceptions[0] from None
        finally:
            if self._drain is not None:
                await self._drain
        codes = {task.result() for task in tasks}
        if self._signals.number:
            if codes != {0}:
                self._screen.say(f"stopped; {self._how_to_go_on()}")
            return self._signals.exit_code
        return 0 if codes == {0} else MISUSED if codes == {MISUSED} else FAILED

    def _how_to_go_on(self) -> str:
        if self._wishes.resumable:
            return "run the same command again: it goes on from there"
        return "run the same command again: it starts over"

    def _stop(self) -> None:
        """The first signal."""
        if not self._begun:
            self._signals.cancel()
            return
        self._screen.note(
            "stopping: what is under way may end well, for up to"
            f" {DRAIN_SECONDS:.0f} s; a second Ctrl-C (or SIGTERM) stops at once",
            "yellow",
        )
        self._drain = asyncio.create_task(self._cloud.drain(DRAIN_SECONDS), name="drain")

    async def _one(self, job: Job) -> int:
        async with self._slots:
            if self._signals.asked.is_set() or self._refused:
                self._screen.note(f"{job.label}: not begun")
                self._result(job, ok=False, file_id=None, error=None, message="not begun", resumable=False)
                return FAILED
            self._display.begin(job.label, job.size)
            try:
                receipt = await self._cloud.upload(
                    job.path,
                    job.metadata,
                    file_type=self._wishes.file_type,
                    on_progress=partial(self._progress, job),
                    key=self._wishes.key,
                    again=self._wishes.again,
                )
            except (VideoCloudError, OSError) as error:
                # Whoever is refused for one file is refused for all of them.
                self._refused |= isinstance(error, AuthorizationError)
                self._display.end(job.label)
                return self._failed(job, error)
        # A video that is reviewed keeps no other file waiting.
        return await self._uploaded(job, receipt)

    async def _uploaded(self, job: Job, receipt: UploadReceipt) -> int:
        if not self._screen.machine:
            self._screen.result(receipt.file_id if self._screen.quiet else f"{job.label}: {_sentence(receipt)}")
        status: VideoStatus | None = None
        try:
            if self._wishes.wait:
                self._display.waiting(job.label)
                waiting = self._cloud.wait_until_published(receipt.file_id, timeout=self._wishes.timeout)
                status = await self._unless_stopped(waiting)
        except (VideoCloudError, OSError) as error:
            return self._failed(job, error, receipt)
        except StoppedError:
            self._screen.note(f"{job.label}: complete, but not waited for; see: iqiyi-async status {receipt.file_id}")
        finally:
            self._display.end(job.label)
        if status is not None and not self._screen.machine:
            self._screen.note(f"{job.label}: published")
        self._result(job, ok=True, **attrs.asdict(receipt), state=None if status is None else status.state.value)
        return 0

    def _progress(self, job: Job, progress: UploadProgress) -> None:
        if job.label not in self._begun:
            self._begun.add(job.label)
            if 0 < progress.accepted < progress.total:
                self._screen.note(f"{job.label}: goes on; {words.size(progress.accepted)} are at the service already")
        self._display.update(job.label, progress)

    def _failed(self, job: Job, error: VideoCloudError | OSError, receipt: UploadReceipt | None = None) -> int:
        """Report a failure, also to machines."""
        failure = failure_of(error)
        resumable = isinstance(error, UploadError) and error.resumable
        if resumable and not self._wishes.resumable:
            resumable = False
            failure = attrs.evolve(failure, hint="run the same command again: without a journal it starts over")
        if receipt is not None:
            failure = attrs.evolve(failure, hint=failure.hint.replace("FILE_ID", receipt.file_id))
        if type(error) is UploadError and self._signals.number:
            self._screen.say(f"{job.label}: stopped at {words.size(error.accepted)} of {words.size(job.size)}")
        else:
            self._screen.failure(failure, job.label)
        known = attrs.asdict(receipt) if receipt else {"file_id": getattr(error, "file_id", None)}
        self._result(
            job,
            ok=False,
            **known,
            error=type(error).__name__,
            message=failure.message,
            hint=failure.hint,
            accepted=getattr(error, "accepted", 0 if receipt is None else receipt.size),
            resumable=resumable,
        )
        return failure.code

    def _result(self, job: Job, **fields: Any) -> None:
        if self._screen.machine:
            self._screen.record({"event": "result", "path": job.label, **fields})

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that a signal may end."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._signals.asked.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await task
            raise StoppedError
        finally:
            for each in (task, stop):
                each.cancel()
            await asyncio.wait((task, stop))


_CAUSES = {
    Bottleneck.SOURCE: "reading of the file",
    Bottleneck.HASHING: "hashing",
    Bottleneck.WORKERS: "number of workers",
    Bottleneck.BANDWIDTH_LIMIT: "bandwidth limit",
    Bottleneck.BACKOFF: "waits after failures",
    Bottleneck.TOKEN: "renewal of the token",
}


def _sentence(receipt: UploadReceipt) -> str:
    """What became of an upload that went well."""
    if not receipt.chunks and receipt.resumed_bytes:
        return f"was uploaded before as {receipt.file_id}; nothing was sent (--again uploads it anew)"
    sent = receipt.size - receipt.resumed_bytes
    parts = [words.size(receipt.size), f"in {words.span(receipt.elapsed)}", words.count(receipt.chunks, "chunk")]
    if receipt.elapsed >= 0.1:
        parts.insert(2, f"{words.size(sent / receipt.elapsed)}/s")
    if receipt.retries:
        parts.append(words.count(receipt.retries, "retry"))
    if receipt.time_by_cause:
        cause = max(receipt.time_by_cause, key=lambda each: receipt.time_by_cause[each])
        parts.append(f"bound by the {_CAUSES.get(cause, cause.value)}")
    if receipt.resumed_bytes:
        parts.append(f"{words.size(receipt.resumed_bytes)} were there already")
    return f"uploaded as {receipt.file_id} ({', '.join(parts)})"
