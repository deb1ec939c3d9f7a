"""The one display of a batch, for any number of files: totals, rate, time left, what runs now, failures so far.

What belongs here: what is drawn or said, and how often: at most one redraw a second, a line every few seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import PurePath
from typing import Self

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from iqiyi_async.batch import Batch, BatchStatus

from .region import Region
from .screen import Screen
from .texts import about, count, joined, tr
from .words import clean, shorten, size, span

#: Seconds between two looks at the ledger, two plain lines, and two records.
LOOK_SECONDS, LINE_SECONDS, RECORD_SECONDS = 2.0, 5.0, 2.0
#: Looking at a ledger of a million items takes its time: the pause is so many times as long.
COSTLY = 20
#: A rate looks back so many seconds.
WINDOW = 15.0
#: So many uploads have a line of their own.
ROWS = 5
#: Seconds between two redraws: 50 KB a minute of output must do.
TICK = 1.0


class Counts:
    """What is known of a batch at this moment."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.status: BatchStatus = BatchStatus()
        self._marks: deque[tuple[float, int]] = deque()

    async def look(self) -> None:
        """Ask the ledger, and note how far the uploads are."""
        self.status = await self._batch.status()
        now = time.monotonic()
        self._marks.append((now, self.bytes))
        while len(self._marks) > 2 and self._marks[1][0] < now - WINDOW:
            self._marks.popleft()

    @property
    def bytes(self) -> int:
        """Bytes at the service: of all items of the batch that are complete, and of those under way here."""
        return self.status.bytes + sum(each.handle.progress.accepted for each in self._batch.running)

    @property
    def done(self) -> int:
        """Items that have ended, or only wait for their publication."""
        return self.status.total - self.status.unfinished

    @property
    def rate(self) -> float:
        """Bytes a second of late."""
        if len(self._marks) < 2:
            return 0.0
        (since, before), (until, now) = self._marks[0], self._marks[-1]
        return max(0.0, (now - before) / max(until - since, 0.001))

    @property
    def left(self) -> float | None:
        """Seconds until all is uploaded, if the files to come are like those before."""
        complete = self.done - self.status.invalid - self.status.failed - self.status.duplicate
        if complete <= 0 or self.rate < 1024 or not self.status.unfinished:
            return None
        to_come = self.status.bytes / complete * self.status.unfinished
        under_way = self.bytes - self.status.bytes
        return max(0.0, to_come - under_way) / self.rate

    def words(self) -> str:
        """The totals in one line."""
        status, left = self.status, self.left
        done = tr("{done} of {files}", done=f"{self.done:,}", files=count(status.total, "file"))
        parts = [done, size(self.bytes)]
        parts += [f"{size(self.rate)}/s"] if self.rate >= 1024 else []
        parts += [tr("{time} left", time=span(left))] if left is not None else []
        parts += [tr("{number} in review", number=f"{status.uploaded:,}")] if self._batch.reviewed else []
        parts += [tr("{number} failed", number=f"{status.failures:,}")] if status.failures else []
        parts += [tr("{number} runners", number=status.runners)] if status.runners > 1 else []
        return joined(parts)


class BatchDisplay:
    """Shows a batch while it runs.

    Args:
        screen: where.
        batch: which.
        name: of the batch.
    """

    def __init__(self, screen: Screen, batch: Batch, name: str) -> None:
        self._screen = screen
        self._batch = batch
        self._name = clean(name)
        self.counts: Counts = Counts(batch)
        self._task: asyncio.Task[None] | None = None
        self._region: Region | None = None

    async def __aenter__(self) -> Self:
        await self.counts.look()
        self._task = asyncio.create_task(self._run(), name="iqiyi-async batch display")
        if self._screen.live and not self._screen.machine:
            self._region = Region(self._screen, self._draw, seconds=TICK)
            self._region.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._region is not None:
            self._region.__exit__()

    async def _run(self) -> None:
        said = time.monotonic()
        every = RECORD_SECONDS if self._screen.machine else LINE_SECONDS
        pause = LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self.counts.look()
                pause = max(LOOK_SECONDS, COSTLY * (time.monotonic() - began))
            except OSError:
                # The run says so, and waits for the ledger.
                continue
            now = time.monotonic()
            if self._region is None and now - said >= every:
                said = now
                self._say()

    def _say(self) -> None:
        if self._screen.machine:
            status = self.counts.status
            counts = {
                name: getattr(status, name) for name in ("total", "unfinished", "uploaded", "published", "failures")
            }
            self._screen.record(
                {"event": "progress", **counts, "bytes": self.counts.bytes, "bytes_per_second": round(self.counts.rate)}
            )
        elif not self._screen.quiet:
            self._screen.note(about(self._name, self.counts.words()))

    def _draw(self) -> RenderableType:
        status = self.counts.status
        running = list(self._batch.running)
        width, encoding = self._screen.errors.width, self._screen.errors.encoding
        head = shorten(about(self._name, self.counts.words()), width - 1, encoding)
        bar = ProgressBar(total=max(1, status.total), completed=self.counts.done, width=min(60, width - 1))
        parts: list[RenderableType] = [Text(head, style="bold"), bar]
        for each in running[:ROWS]:
            progress = each.handle.progress
            share = tr("begins")
            if progress.total:
                share = f"{progress.accepted * 100 // progress.total} % / {size(progress.total)}"
            # The name is cut, not the share.
            name = shorten(PurePath(each.source).name, max(width - len(share) - 5, 1), encoding)
            parts.append(Text(f"  {name}  {share}"))
        if len(running) > ROWS:
            parts.append(Text("  " + tr("and {number} more", number=len(running) - ROWS), style="dim"))
        return Group(*parts)
