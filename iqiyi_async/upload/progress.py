"""How far an upload is: snapshots that never go backwards, and never come too often."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..models import UploadProgress
from .ranges import Range

OnProgress = Callable[[UploadProgress], object]

#: Seconds between two snapshots: a person sees no more of them, and a slow listener costs no throughput.
INTERVAL = 0.1


def check_on_progress(on_progress: Any) -> None:
    """Refuse what can't be called from the engine's loop.

    Raises:
        ConfigurationError: not a plain function.
    """
    if on_progress is None:
        return
    if not callable(on_progress):
        raise ConfigurationError("on_progress must be a function that takes an UploadProgress")
    if inspect.iscoroutinefunction(on_progress):
        raise ConfigurationError("on_progress must be a plain function, not a coroutine function: it must not wait")


class Progress:
    """Counts what one upload sends and what the service accepts of it."""

    def __init__(self, total: int, clock: Callable[[], float], on_progress: OnProgress | None) -> None:
        self._total = total
        self._clock = clock
        self._began = clock()
        self._on_progress = on_progress
        self._next = self._began
        self._sent: dict[int, int] = {}
        self._sent_done = 0
        self._failure: Exception | None = None
        self._late: asyncio.TimerHandle | None = None
        self.file_id: str = ""
        self.accepted: int = 0
        self.resumed_bytes: int = 0
        self.chunks: int = 0
        self.in_flight: int = 0
        self.retries: int = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the upload began."""
        return self._clock() - self._began

    @property
    def rate(self) -> float:
        """Bytes a second that the service accepted of this run; 0 before the first."""
        return (self.accepted - self.resumed_bytes) / max(self.elapsed, 1e-6)

    def anew(self) -> Progress:
        """For the same source under another file_id: the bytes count from 0 again, time and repetitions go on."""
        self.close()
        fresh = Progress(self._total, self._clock, self._on_progress)
        fresh._began, fresh.retries = self._began, self.retries
        return fresh

    def resumed(self, file_id: str, accepted: int) -> None:
        """The upload has a name, and so many bytes are there already."""
        self.file_id = file_id
        self.resumed_bytes = accepted
        self.accepted += accepted
        self._sent_done += accepted
        self._tell()

    def planned(self, part: Range) -> None:
        """A range is the next to be sent: its bytes count from here until it has arrived."""
        self._sent[part.first] = 0

    def sending(self, part: Range) -> Callable[[int], None]:
        """A range sets out; the result is to be called with the bytes of each piece. A repetition counts only beyond
        the last one, and a second sending not at all once the first has arrived."""
        sent = 0

        def on_sent(count: int) -> None:
            nonlocal sent
            sent = min(part.size, sent + count)
            if part.first in self._sent:
                self._sent[part.first] = max(self._sent[part.first], sent)
            self._tell_safely()

        return on_sent

    def check(self) -> None:
        """Raise what the listener raised while bytes were sent. There it would have passed through the HTTP library,
        which would take the broken pipe of a terminal for one of its own."""
        if self._failure is not None:
            raise self._failure

    def arrived(self, part: Range) -> None:
        """A range was accepted."""
        self._sent.pop(part.first, None)
        self._sent_done += part.size
        self.accepted += part.size
        self.chunks += 1
        self._tell()

    def snapshot(self) -> UploadProgress:
        """How far it is at this moment."""
        return UploadProgress(
            file_id=self.file_id,
            total=self._total,
            sent=self._sent_done + sum(self._sent.values()),
            accepted=self.accepted,
            chunks_done=self.chunks,
            chunks_in_flight=self.in_flight,
            retries=self.retries,
            elapsed=self.elapsed,
        )

    def finished(self) -> None:
        """The last snapshot is always told."""
        self._tell(now=True)

    def close(self) -> None:
        """Say no more."""
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _tell(self, *, now: bool = False) -> None:
        if self._on_progress is None:
            return
        wait = self._next - self._clock()
        if not now and wait > 0:
            # Told later, even if nothing else happens until then: a stall must not leave an old picture standing.
            self._late = self._late or asyncio.get_running_loop().call_later(wait, self._tell_late)
            return
        self.close()
        self._next = self._clock() + INTERVAL
        self._on_progress(self.snapshot())

    def _tell_late(self) -> None:
        self._late = None
        self._tell_safely(now=True)

    def _tell_safely(self, *, now: bool = False) -> None:
        if self._failure is None:
            try:
                self._tell(now=now)
            except Exception as problem:  # noqa: BLE001 - the listener's, and `check` raises it
                self._failure = problem
