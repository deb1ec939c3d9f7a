"""What is seen of uploads while they run, when nobody draws: lines for people, objects for machines, or nothing.

What belongs here: when something is said. What must not: drawing on a terminal (`live`).
"""

from __future__ import annotations

import time
from typing import Protocol, Self

import attrs

from iqiyi_async import UploadProgress

from .rates import Meter
from .screen import Screen
from .words import count, size, span

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
    """Each upload's snapshots as JSON objects on stdout: at its beginning, now and then, at its end."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._next: dict[str, float] = {}

    def update(self, label: str, progress: UploadProgress) -> None:
        """Tell the first, the last, and one every half second."""
        now = time.monotonic()
        if now < self._next.get(label, 0) and progress.accepted < progress.total:
            return
        self._next[label] = now + RECORD_SECONDS
        self._screen.record({"event": "progress", "path": label, **attrs.asdict(progress)})

    def end(self, label: str) -> None:
        """Forget it."""
        self._next.pop(label, None)


@attrs.define
class _Said:
    """What was said of one upload last."""

    meter: Meter = attrs.field(factory=Meter)
    at: float = 0.0
    tenth: int = 0


class Lines(Silence):
    """Plain lines on stderr, for logs and pipes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said: dict[str, _Said] = {}

    def begin(self, label: str, total: int) -> None:
        """Say what begins."""
        self._said[label] = _Said()
        self._screen.note(f"{label}: uploading {size(total)}")

    def update(self, label: str, progress: UploadProgress) -> None:
        """Say it if enough has happened since the last time."""
        said, now = self._said[label], time.monotonic()
        said.meter.update(progress, now)
        tenth = progress.accepted * 10 // progress.total
        waited = now - said.at
        if waited < LINE_LEAST or not (tenth > said.tenth or (waited >= LINE_SECONDS and said.at)):
            said.at = said.at or now
            return
        said.at, said.tenth = now, tenth
        self._screen.note(f"{label}: {line(said.meter, now)}")

    def waiting(self, label: str) -> None:
        """Say what is waited for."""
        self._screen.note(f"{label}: complete; waiting until it is published")

    def end(self, label: str) -> None:
        """Forget it."""
        self._said.pop(label, None)


def line(meter: Meter, now: float) -> str:
    """An upload in one line."""
    progress = meter.latest
    if progress is None:
        return "beginning"
    parts = [f"{progress.accepted * 100 // progress.total} %", f"{size(progress.accepted)} of {size(progress.total)}"]
    if (rate := meter.rate(now)) is not None:
        parts.append(f"{size(rate)}/s")
    if left := meter.left(now):
        parts.append(f"{span(left)} left")
    if progress.chunks_in_flight:
        parts.append(f"{count(progress.chunks_in_flight, 'chunk')} in flight")
    if progress.retries:
        parts.append(count(progress.retries, "retry"))
    return ", ".join(parts)


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
