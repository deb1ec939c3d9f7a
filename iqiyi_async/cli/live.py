"""The live display: one row for each upload under way, one for all of them, and what was heard last.

What belongs here: drawing on a terminal. It takes as many lines as there are uploads at once, redraws ten times a
second, and is gone at the end; results are printed above it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import PurePath
from typing import Literal, Self

from rich.console import Group, RenderableType
from rich.live import Live as Region
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from iqiyi_async import UploadProgress

from .rates import Meter
from .screen import Screen
from .words import clean, count, size, sizes, span

#: What was heard last stays for so many seconds.
GLANCE_SECONDS = 6.0
#: In characters: a name and its bar, where the terminal is at least `WIDE`, and where it is not.
ROOMY, TIGHT, WIDE = (24, 24), (16, 8), 100
#: Name, bar, share, bytes.
LEFT_TO_RIGHT: tuple[Literal["left", "right"], ...] = ("left", "left", "right", "right")


class Row:
    """One upload."""

    def __init__(self, label: str, total: int) -> None:
        self.name: str = clean(PurePath(label).name)
        self.total = total
        self.meter: Meter = Meter()
        self.began: float = time.monotonic()
        self.publishing: float | None = None

    @property
    def accepted(self) -> int:
        """Bytes that are safe at the service."""
        return self.meter.latest.accepted if self.meter.latest else 0

    def words(self, now: float) -> str:
        """Everything right of the bytes."""
        progress = self.meter.latest
        if self.publishing is not None:
            return f"complete, being published ({span(now - self.publishing)})"
        if progress is None:
            return f"asking the service ({span(now - self.began)})"
        if progress.accepted == progress.total:
            return "complete, finishing"
        rate, left = self.meter.rate(now), self.meter.left(now)
        parts = [f"{size(rate)}/s" if rate else "", f"{span(left)} left" if left else ""]
        parts.append(f"{progress.chunks_in_flight} in flight" if progress.chunks_in_flight else "")
        parts.append(count(progress.retries, "retry") if progress.retries else "")
        return "  ".join(filter(None, parts))


class Live:
    """Draws uploads on the terminal of stderr."""

    def __init__(self, screen: Screen, *, files: int, size: int) -> None:
        self._screen = screen
        self._files, self._size = files, size
        self._over, self._over_bytes = 0, 0
        self._rows: dict[str, Row] = {}
        self._glance, self._glanced = "", 0.0
        self._region = self._new_region()

    def __enter__(self) -> Self:
        self._screen.paused = self._paused
        self._screen.glance = self._heard
        self._region.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._region.stop()
        self._screen.paused = nullcontext

    def begin(self, label: str, total: int) -> None:
        """A row appears."""
        self._rows[label] = Row(label, total)

    def update(self, label: str, progress: UploadProgress) -> None:
        """The row changes at the next redraw."""
        self._rows[label].meter.update(progress, time.monotonic())

    def waiting(self, label: str) -> None:
        """The row says so."""
        self._rows[label].publishing = time.monotonic()

    def end(self, label: str) -> None:
        """The row goes."""
        row = self._rows.pop(label)
        self._over += 1
        self._over_bytes += row.accepted

    def _new_region(self) -> Region:
        return Region(
            get_renderable=self._draw,
            console=self._screen.errors,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _heard(self, text: str) -> None:
        self._glance, self._glanced = text, time.monotonic()

    @contextmanager
    def _paused(self) -> Generator[None, None, None]:
        """Room for a line on stdout, which may be the same terminal."""
        self._region.stop()
        try:
            yield
        finally:
            # A used one remembers its height, and would draw over the line.
            self._region = self._new_region()
            self._region.start(refresh=True)

    def _draw(self) -> RenderableType:
        now = time.monotonic()
        # The thread that redraws must not meet a dictionary that changes.
        rows = list(self._rows.values())
        widths = ROOMY if self._screen.errors.width >= WIDE else TIGHT
        table = Table.grid(padding=(0, 2, 0, 0))
        for justify in LEFT_TO_RIGHT:
            table.add_column(justify=justify, no_wrap=True)
        # Only the words may be cut when the terminal is narrow.
        table.add_column(no_wrap=False)
        for row in rows:
            table.add_row(*_cells(row.name, row.accepted, row.total, widths, row.words(now)))
        if self._files > 1:
            done = self._over_bytes + sum(row.accepted for row in rows)
            words = f"{self._over} of {self._files} files"
            table.add_row(*_cells("all", done, self._size, widths, words), style="bold")
        parts: list[RenderableType] = [table]
        if now - self._glanced < GLANCE_SECONDS and self._glance:
            parts.append(_one_line(self._glance, "dim"))
        return Group(*parts)


def _cells(name: str, done: int, total: int, widths: tuple[int, int], words: str) -> tuple[RenderableType, ...]:
    text = Text(name)
    text.truncate(widths[0], overflow="ellipsis")
    bar = ProgressBar(total=total, completed=done, width=widths[1])
    share = Text(f"{done * 100 // max(total, 1)} %")
    return text, bar, share, Text(sizes(done, total)), _one_line(words)


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
