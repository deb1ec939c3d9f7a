"""`upload`: several files in one go, what is said of each, and how a signal ends it."""

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
    ConfigurationError,
    UploadError,
    UploadProgress,
    UploadReceipt,
    VideoCloudError,
    VideoStatus,
)

from . import words
from .display import Display
from .failures import FAILED, MISUSED, failure_of
from .jobs import BadPath, Job
from .screen import Screen
from .signals import Signals
from .texts import about, count, joined, later, tr

T = TypeVar("T")

#: Files under way at once. All share the client's workers; a few of them hide each other's beginnings and ends.
AT_ONCE = 4
#: What is under way at the first signal may take so many seconds to end well.
DRAIN_SECONDS = 10.0
#: Of shorter uploads (seconds) it is chance what they waited for.
BOUND_SECONDS = 0.5
_CAUSES = {
    Bottleneck.TOKEN: later("the token"),
    Bottleneck.BACKOFF: later("failures of the service"),
    Bottleneck.BANDWIDTH_LIMIT: later("--max-bandwidth"),
    Bottleneck.SOURCE: later("reading the file"),
    Bottleneck.HASHING: later("the processor"),
    Bottleneck.WORKERS: later("the number of workers"),
    Bottleneck.NETWORK: later("the network"),
    Bottleneck.SERVICE: later("the service"),
}


@attrs.frozen
class Wishes:
    """What holds for all files of a command."""

    file_type: str | None = None
    key: str | None = None
    again: bool = False
    wait: bool = False
    timeout: float | None = None
    resumable: bool = True


#: Begins what the library says of its journal.
_JOURNAL = "the upload journal can't be"


class StoppedError(Exception):
    """The user has asked to stop."""


def report_bad_paths(screen: Screen, bad: Sequence[BadPath]) -> None:
    """Name everything that can't be uploaded, all at once, and each remedy once."""
    for each in bad:
        failure = failure_of(each.error)
        screen.failure(attrs.evolve(failure, hint=""))
        if screen.machine:
            known = {"error": ConfigurationError.__name__, "message": failure.message, "hint": failure.hint}
            screen.record(
                {"event": "result", "path": each.label, "ok": False, "file_id": None, **known, "resumable": False}
            )
    for hint in dict.fromkeys(each.error.hint for each in bad):
        screen.hint(hint)


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
        self._going_on: set[str] = set()
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
            self._screen.say(
                f"{tr('stopped at once')}; {self._how_to_go_on()}" if self._begun else tr("stopped: nothing was sent")
            )
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
                self._screen.say(f"{tr('stopped')}; {self._how_to_go_on()}")
            return self._signals.exit_code
        return 0 if codes == {0} else MISUSED if codes == {MISUSED} else FAILED

    def _how_to_go_on(self) -> str:
        if self._wishes.resumable:
            return tr("run the same command again: it goes on from there")
        return tr("run the same command again: it starts over")

    def _stop(self) -> None:
        """The first signal."""
        if not self._begun:
            self._signals.cancel()
            return
        self._screen.note(
            tr(
                "stopping: what is under way may end well, for up to {seconds} s; a second Ctrl-C (or SIGTERM) stops"
                " at once",
                seconds=f"{DRAIN_SECONDS:.0f}",
            ),
            "yellow",
        )
        self._drain = asyncio.create_task(self._cloud.drain(DRAIN_SECONDS), name="drain")

    async def _one(self, job: Job) -> int:
        async with self._slots:
            if self._signals.asked.is_set() or self._refused:
                self._screen.note(tr("{path}: not begun", path=job.label))
                self._result(job, ok=False, file_id=None, error=None, message=tr("not begun"), resumable=False)
                return FAILED
            self._display.begin(job.label, job.size)
            try:
                receipt = await self._cloud.upload(
                    job.path,
                    job.metadata,
                    file_type=self._wishes.file_type,
                    key=self._wishes.key,
                    again=self._wishes.again,
                    on_progress=partial(self._progress, job),
                )
            except (VideoCloudError, OSError) as error:
                # Credentials that are refused for one file are refused for all of them.
                self._refused |= isinstance(error, AuthorizationError)
                self._display.end(job.label)
                return self._failed(job, error)
            if self._wishes.wait:
                self._display.waiting(job.label)
        # A video that is reviewed keeps no other from being sent.
        return await self._uploaded(job, receipt)

    async def _uploaded(self, job: Job, receipt: UploadReceipt) -> int:
        if not self._screen.machine:
            self._screen.result(receipt.file_id if self._screen.quiet else about(job.label, _sentence(receipt)))
        status: VideoStatus | None = None
        try:
            if self._wishes.wait:
                waiting = self._cloud.wait_until_published(receipt.file_id, timeout=self._wishes.timeout)
                status = await self._unless_stopped(waiting)
        except (VideoCloudError, OSError) as error:
            return self._failed(job, error, receipt)
        except StoppedError:
            self._screen.note(
                tr(
                    "{path}: complete, but not waited for; see: iqiyi-async status {file_id}",
                    path=job.label,
                    file_id=receipt.file_id,
                )
            )
        finally:
            self._display.end(job.label)
        if status is not None and not self._screen.machine:
            self._screen.note(tr("{path}: published", path=job.label))
        self._result(job, ok=True, **attrs.asdict(receipt), state=None if status is None else status.state.value)
        return 0

    def _progress(self, job: Job, progress: UploadProgress) -> None:
        self._begun.add(job.label)
        going_on = not progress.chunks_done and 0 < progress.accepted < progress.total
        if going_on and job.label not in self._going_on:
            self._going_on.add(job.label)
            there = words.size(progress.accepted)
            self._screen.note(tr("{path}: goes on; {size} are at the service already", path=job.label, size=there))
        self._display.update(job.label, progress)

    def _failed(self, job: Job, error: VideoCloudError | OSError, receipt: UploadReceipt | None = None) -> int:
        """Report a failure, also to machines."""
        failure = failure_of(error)
        resumable = isinstance(error, UploadError) and error.resumable
        if resumable and not self._wishes.resumable:
            resumable = False
            hint = tr("run the same command again: without a journal it starts over")
            failure = attrs.evolve(failure, hint=hint)
        if isinstance(error, UploadError) and isinstance(error.__cause__, OSError) and _JOURNAL in str(error):
            hint = tr(
                "uploads are recorded in the state folder (XDG_STATE_HOME): put that right and run the same command"
                " again; --no-journal uploads without a record"
            )
            # What to do about it is the hint's, in the words of the command line.
            failure = attrs.evolve(failure, message=failure.message.partition(": mend the journal")[0], hint=hint)
        if receipt is not None:
            failure = attrs.evolve(failure, hint=failure.hint.replace("FILE_ID", receipt.file_id))
        if type(error) is UploadError and self._signals.number:
            self._screen.say(
                tr(
                    "{path}: stopped at {done} of {total}",
                    path=job.label,
                    done=words.size(error.accepted),
                    total=words.size(job.size),
                )
            )
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


def _sentence(receipt: UploadReceipt) -> str:
    """What became of an upload that went well."""
    if not receipt.chunks and receipt.resumed_bytes:
        return tr(
            "was uploaded before as {file_id}; nothing was sent (--again uploads it anew)", file_id=receipt.file_id
        )
    sent = receipt.size - receipt.resumed_bytes
    parts = [words.size(receipt.size), tr("in {time}", time=words.span(receipt.elapsed))]
    if receipt.elapsed >= 0.1:
        parts.append(f"{words.size(sent / receipt.elapsed)}/s")
    parts.append(count(receipt.chunks, "chunk"))
    if receipt.retries:
        parts.append(count(receipt.retries, "retry"))
    if receipt.resumed_bytes:
        parts.append(tr("{size} were there already", size=words.size(receipt.resumed_bytes)))
    if bound := _bound(receipt):
        parts.append(bound)
    return tr("uploaded as {file_id} ({details})", file_id=receipt.file_id, details=joined(parts))


def _bound(receipt: UploadReceipt) -> str:
    """What the upload waited for most."""
    if not receipt.time_by_cause or receipt.elapsed < BOUND_SECONDS:
        return ""
    cause, share = max(receipt.time_by_cause.items(), key=lambda item: item[1])
    return tr("bound by {cause} ({share} %)", cause=tr(_CAUSES[cause]), share=f"{share * 100:.0f}") if share else ""
