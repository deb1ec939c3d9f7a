"""The live display: one row for each upload under way, one for all of them, and what was logged last, drawn on the
terminal of stderr by rich and gone at the end. Lines are printed above it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Self

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from iqiyi_async import UploadProgress

from .display import measure
from .region import Region
from .screen import Screen
from .texts import count, joined, tr
from .words import shorten

#: Seconds between two redraws: often enough for eyes, seldom enough to cost nothing.
TICK = 0.25
#: So many uploads that wait to be published have rows of their own; the others are counted.
WAITING_ROWS = 4
#: From so many columns on there is room for everything, and for all but the rates.
WIDE, MEDIUM = 100, 60


class Live:
    """Draws uploads on the terminal of stderr."""

    def __init__(self, screen: Screen, *, files: int, size: int) -> None:
        self._screen = screen
        self._console = screen.errors
        self._files = files
        # Rows and rates are its own; the region draws it.
        self._bars = Progress(console=self._console, auto_refresh=False)
        self._all: TaskID = self._bars.add_task(tr("all"), total=size, note="")
        self._rows: dict[str, TaskID] = {}
        self._waiting: dict[str, None] = {}
        self._accepted: dict[str, int] = {}
        self._over = self._over_bytes = 0
        self._layouts = {width: _columns(width, self._console.encoding) for width in (WIDE, MEDIUM, 0)}
        self._region = Region(screen, self._draw, seconds=TICK)

    def __enter__(self) -> Self:
        self._region.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._region.__exit__()

    def begin(self, label: str, total: int) -> None:
        """A row appears."""
        self._rows[label] = self._bars.add_task(PurePath(label).name, total=total, note=tr("asking the service"))

    def update(self, label: str, progress: UploadProgress) -> None:
        """The row changes at the next redraw."""
        row = self._rows[label]
        measure(self._bars, row, progress, first=label not in self._accepted)
        self._accepted[label] = progress.accepted
        self._bars.update(row, note=_note(progress))

    def waiting(self, label: str) -> None:
        """The row says so."""
        self._waiting[label] = None
        self._bars.update(self._rows[label], note=tr("complete, being published"))

    def end(self, label: str) -> None:
        """The row goes."""
        self._waiting.pop(label, None)
        self._over += 1
        self._over_bytes += self._accepted.pop(label, 0)
        self._bars.remove_task(self._rows.pop(label))

    def _draw(self) -> RenderableType:
        width = self._console.width
        rows, waiting = dict(self._rows), list(self._waiting)
        hidden = {rows.get(label) for label in waiting[WAITING_ROWS:]}
        shown = [task for task in self._bars.tasks if task.id in rows.values() and task.id not in hidden]
        if self._files > 1:
            parts = [tr("{done} of {files}", done=self._over, files=count(self._files, "file"))]
            if waiting:
                parts.append(tr("{number} being published", number=len(waiting)))
            done = self._over_bytes + sum(dict(self._accepted).values())
            self._bars.update(self._all, completed=done, note=joined(parts))
            shown += [task for task in self._bars.tasks if task.id == self._all]
        columns = next(columns for least, columns in self._layouts.items() if width >= least)
        return _table(columns, shown)


def _note(progress: UploadProgress) -> str:
    """What the columns of rich don't say."""
    if progress.accepted == progress.total:
        return tr("complete, finishing")
    parts = [tr("{number} in flight", number=progress.chunks_in_flight)] if progress.chunks_in_flight else []
    if progress.retries:
        parts.append(count(progress.retries, "retry"))
    return "  ".join(parts)


class _Name(ProgressColumn):
    """The name of a file, cut here: rich would mark the cut with a letter that the encoding may lack."""

    def __init__(self, width: int, encoding: str) -> None:
        super().__init__(_fixed(width))
        self._width, self._encoding = width, encoding

    def render(self, task: Task) -> Text:
        """The name."""
        return Text(shorten(task.description, self._width, self._encoding))


class _Note(ProgressColumn):
    """Everything else, as far as there is room."""

    def __init__(self, encoding: str) -> None:
        super().__init__(Column(no_wrap=True, overflow="crop", ratio=1))
        self._encoding = encoding

    def render(self, task: Task) -> Text:
        """The words."""
        return Text(shorten(str(task.fields["note"]), 1000, self._encoding))


def _fixed(width: int) -> Column:
    return Column(width=width, no_wrap=True, overflow="crop")


def _columns(width: int, encoding: str) -> list[ProgressColumn]:
    """What fits into a terminal of at least so many columns. Only the note may be cut."""
    share = TextColumn("{task.percentage:>3.0f}%", table_column=_fixed(4))
    note = _Note(encoding)
    if width < MEDIUM:
        return [_Name(14, encoding), share, note]
    size = DownloadColumn(binary_units=True, table_column=Column(width=17, no_wrap=True, justify="right"))
    if width < WIDE:
        return [_Name(16, encoding), BarColumn(8), share, size, note]
    rate = TransferSpeedColumn(table_column=_fixed(10))
    left = TimeRemainingColumn(compact=True, table_column=_fixed(7))
    return [_Name(24, encoding), BarColumn(20), share, size, rate, left, note]


def _table(columns: list[ProgressColumn], tasks: list[Task]) -> RenderableType:
    """Rows of tasks; the last column takes what is left of the line."""
    table = Table.grid(*(column.get_table_column().copy() for column in columns), padding=(0, 1), expand=True)
    for task in tasks:
        table.add_row(*(column(task) for column in columns))
    return table
