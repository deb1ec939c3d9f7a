"""`batch run`: what is added, what runs, how a signal ends it, and the summary at the end."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit, urlunsplit

import attrs

from iqiyi_async import AuthorizationError, ConfigurationError, QuotaExceededError, UploadItem, UploadOutcome
from iqiyi_async.batch import AddResult, Batch, BatchStatus, HotFolder, Manifest

from .batch_display import BatchDisplay
from .failures import FAILED, Failure, failure_of
from .messages import told
from .screen import Screen
from .signals import Signals
from .texts import about, count, joined, later, tr
from .words import clean, size, span

#: What is under way at the first signal may take so many seconds to end well.
DRAIN_SECONDS = 10.0
#: Seconds between two looks at a watched folder.
WATCH_SECONDS = 1.0
#: So many kinds of failures are told in the summary.
KINDS = 5


@attrs.frozen
class RunOptions:
    """What holds for a run.

    Attributes:
        ledger: its URL.
        name: of the batch.
        concurrency: uploads at the same time.
        wait: for publication.
        root: what relative paths start from, as it was given, or None.
        on_success: what becomes of files, as it was given.
        report: where a report is written, or None.
        watch: a folder that is watched, or None.
        settle_seconds: how long a file there must not have changed.
    """

    ledger: str
    name: str
    concurrency: int
    wait: bool
    root: Path | None = None
    on_success: str = "none"
    report: Path | None = None
    watch: Path | None = None
    settle_seconds: float = 5.0


class BatchRun:
    """One `batch run`."""

    def __init__(self, batch: Batch, options: RunOptions, screen: Screen, signals: Signals) -> None:
        self._batch = batch
        self._options = options
        self._screen = screen
        self._signals = signals
        self._began = time.monotonic()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._drain: asyncio.Task[None] | None = None
        #: Bytes at the service when it began, where that is known.
        self._before: int | None = None

    async def add(self, manifest: Manifest) -> None:
        """Write what is given into the ledger."""
        added = await self._added(manifest)
        if self._screen.machine:
            self._screen.record({"event": "added", **attrs.asdict(added)})
        parts = [tr("{number} added", number=f"{added.added:,}")]
        parts += [tr("{number} known already", number=f"{added.known:,}")] if added.known else []
        parts += [tr("{number} invalid", number=f"{added.invalid:,}")] if added.invalid else []
        self._screen.note(about(self._options.name, joined(parts)))
        for error in manifest.errors[:KINDS]:
            self._screen.say(told(str(error)))
        if len(manifest.errors) > KINDS:
            more = f"{len(manifest.errors) - KINDS:,}"
            self._screen.say(tr("and {number} more lines that can't be used: see the report", number=more))
        if manifest.ignored_columns:
            self._screen.note(tr("columns that are not used: {columns}", columns=joined(manifest.ignored_columns)))

    async def run(self) -> int:
        """Run the batch to its end, or until a signal.

        Returns:
            0 if nothing has failed and nothing is left; 1 otherwise; after a signal its own code.
        """
        self._signals.on_first = self._stop
        stopped: Failure | None = None
        try:
            async with BatchDisplay(self._screen, self._batch, self._options.name) as display:
                self._before = display.counts.status.bytes
                await (self._once() if self._options.watch is None else self._watched(self._options.watch))
        except* (AuthorizationError, QuotaExceededError) as group:
            # What stops all items; what was done before it is told all the same.
            stopped = failure_of(first_of(group))
        finally:
            if self._drain is not None:
                await self._drain
        code = await self.conclude()
        if stopped is not None:
            self._screen.failure(stopped)
        return code

    async def conclude(self) -> int:
        """The report and the summary."""
        status = await self._batch.status()
        if self._options.report is not None:
            report = await self._batch.report()
            await asyncio.to_thread(report.write, self._options.report)
        self._summary(status)
        if self._signals.number:
            return self._signals.exit_code
        left = status.unfinished or (self._options.wait and status.uploaded)
        return FAILED if status.failures or left else 0

    async def _once(self) -> None:
        async for outcome in self._batch.run(self._options.concurrency, self._options.wait):
            self._tell(outcome)

    async def _watched(self, folder: Path) -> None:
        """Take what settles in a folder, until a signal."""
        hot, found = HotFolder(folder, settle_seconds=self._options.settle_seconds), asyncio.Event()
        found.set()

        async def look() -> None:
            while not self._signals.asked.is_set():
                items = await asyncio.to_thread(hot.look)
                if items and (await self._added(items)).added:
                    found.set()
                await asyncio.sleep(WATCH_SECONDS)

        self._screen.note(tr("watching {folder}; Ctrl-C ends it", folder=folder))
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look())
            stopped = group.create_task(self._signals.asked.wait())
            while not stopped.done():
                found.clear()
                await self._once()
                waiting = group.create_task(found.wait())
                await asyncio.wait([waiting, stopped, looking], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            looking.cancel()

    async def _added(self, items: list[UploadItem] | Manifest) -> AddResult:
        """Add what was given, or has settled in a watched folder. Where files that are done are moved or deleted, a
        file that lies there now is another one."""
        if self._options.on_success == "none":
            return await self._batch.add(items)
        return await self._batch.add_arrivals(items, published=self._options.wait)

    def _tell(self, outcome: UploadOutcome) -> None:
        source = _label(str(outcome.item.source))
        if outcome.error is None:
            if self._screen.machine:
                receipt = outcome.receipt
                fields = {} if receipt is None else {"file_id": receipt.file_id, "bytes": receipt.size}
                state = "uploaded" if outcome.status is None else outcome.status.state.value
                state = "duplicate" if outcome.duplicate else state
                self._screen.record({"event": "result", "source": source, "ok": True, "state": state, **fields})
            return
        failure = failure_of(outcome.error, options=not isinstance(outcome.error, ConfigurationError))
        self._reasons[type(outcome.error).__name__, failure.message] += 1
        if self._screen.machine:
            self._screen.record(
                {
                    "event": "result",
                    "source": source,
                    "ok": False,
                    "error": type(outcome.error).__name__,
                    "message": failure.message,
                    "hint": failure.hint,
                    "file_id": None if outcome.receipt is None else outcome.receipt.file_id,
                }
            )
        else:
            # Some errors say what they are about.
            self._screen.say(failure.message if source in failure.message else about(source, failure.message))

    def _stop(self) -> None:
        """The first signal."""
        self._screen.note(
            tr(
                "stopping: what is under way has {seconds} s to end well; once more stops at once",
                seconds=f"{DRAIN_SECONDS:.0f}",
            )
        )
        self._drain = asyncio.create_task(self._batch.drain(DRAIN_SECONDS))

    def _summary(self, status: BatchStatus) -> None:
        seconds = time.monotonic() - self._began
        counts = {name: getattr(status, name) for name in _STATES}
        again = self._again("run")
        retry = self._again("retry") if status.failures > status.invalid else ""
        if self._screen.machine:
            rest = {"bytes": status.bytes, "seconds": round(seconds, 3), "problem": status.problem, "retry": retry}
            self._screen.record({"event": "summary", "total": status.total, **counts, **rest})
            return
        states = joined(f"{number:,} {state_words(name)}" for name, number in counts.items() if number)
        what = about(count(status.total, "file"), states or tr("nothing to do"))
        self._screen.result(about(self._options.name, what))
        parts = [tr("{size} at the service; this run took {time}", size=size(status.bytes), time=span(seconds))]
        sent = 0 if self._before is None else status.bytes - self._before
        parts += [f"{size(sent / seconds)}/s"] if seconds >= 1 and sent > 0 else []
        self._screen.note(joined(parts))
        for (kind, message), number in self._reasons.most_common(KINDS):
            self._screen.say(about(f"{number:,} x {kind}", clean(message)))
        if status.unfinished or (status.uploaded and self._options.wait):
            self._screen.say(tr("the same command goes on, or: {command}", command=again))
        if retry:
            self._screen.say(tr("failed items are tried again by: {command}", command=retry))

    def _again(self, command: str) -> str:
        words: list[str] = ["iqiyi-async", "batch", command, "--ledger", _shown(self._options.ledger)]
        words = [*words, "--name", self._options.name]
        if command == "run":
            root, after = self._options.root, self._options.on_success
            words += ["--root", str(root)] if root is not None else []
            words += ["--wait"] if self._options.wait else []
            words += ["--on-success", after] if after != "none" else []
        return shlex.join(words) if sys.platform != "win32" else " ".join(words)


def state_words(state: str) -> str:
    """A state of items, as the ledger calls it, in words."""
    return tr(_STATES.get(state, state.replace("_", " ")))


#: States as the ledger calls them, in the order of a summary.
_STATES = {
    "published": later("published"),
    "uploaded": later("uploaded"),
    "duplicate": later("duplicate"),
    "waiting": later("waiting"),
    "held": later("held"),
    "failed": later("failed"),
    "review_failed": later("review failed"),
    "publish_failed": later("publish failed"),
    "invalid": later("invalid"),
}


def first_of(error: BaseException) -> BaseException:
    """The first error of a group, or of the groups in it."""
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        error = group.exceptions[0]
    return error


def _label(source: str) -> str:
    """A source for the screen: a URL without user, query and fragment, which may be secret."""
    if "://" not in source:
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def ledger_file(ledger: str) -> Path | None:
    """The file of a ledger in SQLite; None for any other."""
    if "://" not in ledger:
        return Path(ledger)
    parts = urlsplit(ledger)
    local = parts.scheme.lower() == "sqlite" and not parts.netloc and len(parts.path) > 1
    return Path(unquote(parts.path)[1:]) if local else None


def _shown(ledger: str) -> str:
    """A ledger's URL without its password."""
    scheme, found, rest = ledger.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{found}{user.partition(':')[0]}{at}{host}"
