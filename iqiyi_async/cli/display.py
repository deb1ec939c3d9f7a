"""What is seen of uploads while they run, when nobody draws: lines for people, objects for machines, or nothing.
`live` draws on a terminal."""

from __future__ import annotations

import time
from typing import Protocol, Self

import attrs
from rich.progress import Progress, Task, TaskID

from iqiyi_async import UploadProgress

from .screen import Screen
from .texts import about, count, joined, tr
from .words import size, span

#: Seconds between two lines about one upload, or a tenth of it, whichever comes first.
LINE_SECONDS = 5.0
#: Never more lines than this, however fast it goes (seconds).
LINE_LEAST = 0.5
#: Seconds between two objects about one upload.
RECORD_SECONDS = 0.5


class Display(Protocol):
    """Shows uploads. Each is known by its label."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """End it, and leave the terminal as it was."""
        ...

    def begin(self, label: str, total: int) -> None:
        """An upload of so many bytes begins."""
        ...

    def update(self, label: str, progress: UploadProgress) -> None:
        """It has come so far."""
        ...

    def waiting(self, label: str) -> None:
        """It is complete, and waits to be published."""
        ...

    def end(self, label: str) -> None:
        """It is over, well or badly."""
        ...


class Silence:
    """Nothing is shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def begin(self, label: str, total: int) -> None:
        """Nothing."""

    def update(self, label: str, progress: UploadProgress) -> None:
        """Nothing."""

    def waiting(self, label: str) -> None:
        """Nothing."""

    def end(self, label: str) -> None:
        """Nothing."""


class Records(Silence):
    """Each upload's snapshots as JSON objects on stdout: at its beginning, now and then, at its end. Where the reader
    lags they are left out."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._next: dict[str, float] = {}

    def update(self, label: str, progress: UploadProgress) -> None:
        """Tell the first, the last, and one every half second."""
        now = time.monotonic()
        if now < self._next.get(label, 0) and progress.accepted < progress.total:
            return
        self._next[label] = now + RECORD_SECONDS
        self._screen.record({"event": "progress", "path": label, **attrs.asdict(progress)}, spare=True)

    def end(self, label: str) -> None:
        """Forget it."""
        self._next.pop(label, None)


@attrs.define
class _Said:
    """What was said of one upload last."""

    task: TaskID
    begun: bool = False
    at: float = 0.0
    tenth: int = 0


class Lines(Silence):
    """Plain lines on stderr, for logs and pipes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said: dict[str, _Said] = {}
        # Nothing is drawn: it measures.
        self._progress = Progress(console=screen.errors, disable=True)

    def begin(self, label: str, total: int) -> None:
        """Say what begins."""
        self._said[label] = _Said(self._progress.add_task(label, total=total))
        self._screen.note(tr("{path}: uploading {size}", path=label, size=size(total)))

    def update(self, label: str, progress: UploadProgress) -> None:
        """Say it if enough has happened since the last time."""
        said, now = self._said[label], time.monotonic()
        measure(self._progress, said.task, progress, first=not said.begun)
        said.begun = True
        tenth = progress.accepted * 10 // progress.total
        waited = now - said.at
        if waited < LINE_LEAST or not (tenth > said.tenth or (waited >= LINE_SECONDS and said.at)):
            said.at = said.at or now
            return
        said.at, said.tenth = now, tenth
        task = next(task for task in self._progress.tasks if task.id == said.task)
        self._screen.note(about(label, line(task, progress)))

    def waiting(self, label: str) -> None:
        """Say what is waited for."""
        self._screen.note(tr("{path}: complete; waiting until it is published", path=label))

    def end(self, label: str) -> None:
        """Forget it."""
        if said := self._said.pop(label, None):
            self._progress.remove_task(said.task)


def measure(bars: Progress, task: TaskID, progress: UploadProgress, *, first: bool) -> None:
    """Tell rich how far an upload is.

    Args:
        bars: where it is kept.
        task: what it is known by.
        progress: how far it is.
        first: what an earlier run has brought to the service is no speed of this one.
    """
    if first:
        bars.reset(task, completed=progress.accepted, total=progress.total)
    bars.update(task, completed=progress.accepted)


def line(task: Task, progress: UploadProgress) -> str:
    """An upload in one line."""
    so_far = tr("{done} of {total}", done=size(progress.accepted), total=size(progress.total))
    parts = [f"{progress.accepted * 100 // progress.total} %", so_far]
    if task.speed:
        parts.append(f"{size(task.speed)}/s")
    if task.time_remaining:
        parts.append(tr("{time} left", time=span(task.time_remaining)))
    if progress.chunks_in_flight:
        parts.append(tr("{chunks} in flight", chunks=count(progress.chunks_in_flight, "chunk")))
    if progress.retries:
        parts.append(count(progress.retries, "retry"))
    return joined(parts)


def display_for(screen: Screen, *, files: int, size: int) -> Display:
    """The display that fits where the output goes.

    Args:
        screen: where it goes.
        files: how many there will be.
        size: the bytes of all of them.
    """
    if screen.machine:
        return Records(screen)
    if screen.live:
        from .live import Live

        return Live(screen, files=files, size=size)
    return Silence() if screen.quiet else Lines(screen)
