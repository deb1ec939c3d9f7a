"""How far an upload is, and what it waits for: snapshots that never go backwards, and never come too often."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConfigurationError, VideoCloudError
from ..models import Bottleneck, UploadEvent, UploadProgress, UploadReceipt, UploadState
from .ranges import Range

logger: logging.Logger = logging.getLogger(__name__)

OnProgress = Callable[[UploadProgress], object]

_NOT_PLAIN = "on_progress must be a plain function, not a coroutine function: it must not wait"


def check_on_progress(on_progress: Any) -> None:
    """Refuse what can't be called from the engine's loop.

    Raises:
        ConfigurationError: not a plain function.
    """
    if on_progress is None:
        return
    if not callable(on_progress):
        raise ConfigurationError("on_progress must be a function that takes an UploadProgress")
    if inspect.iscoroutinefunction(on_progress) or inspect.iscoroutinefunction(type(on_progress).__call__):
        raise ConfigurationError(_NOT_PLAIN)


def _check_returned(outcome: object) -> None:
    """A plain function around a coroutine function can be told only now: nobody would await what it gives."""
    if inspect.iscoroutine(outcome):
        outcome.close()
        raise ConfigurationError(_NOT_PLAIN)


class ListenerCancelledError(BaseException):
    """The listener has raised a `CancelledError`, which leaves like all that is no `Exception`. By its own name it
    would be taken for the end of the task that it is raised in.

    Attributes:
        problem: what it raised.
    """

    def __init__(self, problem: asyncio.CancelledError) -> None:
        super().__init__()
        self.problem = problem


def _none() -> Sequence[Bottleneck]:
    return ()


def _ignore(event: UploadEvent) -> None:
    pass


class Progress:
    """Counts what one upload sends and what the service accepts of it, and tells it on.

    Args:
        clock: seconds, never going back.
        on_progress: the caller's listener, or None.
        on_event: called with the last event, and with each one before while somebody watches; it must not raise.
        event_seconds: between two events: a person sees no more of them, and a slow listener costs no throughput.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        on_progress: OnProgress | None = None,
        on_event: Callable[[UploadEvent], None] | None = None,
        event_seconds: float = 0.1,
    ) -> None:
        self._clock = clock
        self._began = clock()
        self._on_progress = on_progress
        self._on_event = on_event or _ignore
        self._event_seconds = event_seconds
        self._watched = False
        self._next = self._began
        self._total = 0
        self._sent: dict[int, int] = {}
        self._sent_done = 0
        self._failure: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._causes: Callable[[], Sequence[Bottleneck]] = _none
        self._waits_for = Bottleneck.SOURCE
        self._time: dict[Bottleneck, float] = {}
        self._committed = False
        self.state: UploadState = UploadState.WAITING
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

    def watch(self) -> None:
        """Somebody wants the events, not only the last one."""
        self._watched = True

    def begin(self, total: int) -> None:
        """The source is known: it has `total` bytes."""
        self._total = total
        self._tick()

    def begin_transfer(self, causes: Callable[[], Sequence[Bottleneck]]) -> None:
        """Ranges are sent from now on; `causes` tells what those under way wait for."""
        self._causes = causes

    def restart(self) -> None:
        """The same source under another file_id: the bytes count from 0 again, time and repetitions go on."""
        self._sent, self._sent_done = {}, 0
        self.file_id, self.accepted, self.resumed_bytes, self.chunks = "", 0, 0, 0

    def resumed(self, file_id: str, accepted: int) -> None:
        """The upload has a name, and `accepted` bytes are there already."""
        self.file_id = file_id
        self.resumed_bytes = accepted
        self.accepted += accepted
        self._sent_done += accepted
        self.enter(UploadState.SENDING)

    def enter(self, state: UploadState) -> None:
        """The upload is in another state now."""
        if state is not self.state:
            self.state = state
            self._tell_safely(now=True)

    def committed(self) -> None:
        """The finish request is sent from now on: an exception of a listener is logged, and costs no receipt."""
        self._committed = True
        self.enter(UploadState.FINISHING)
        self.wait_for(Bottleneck.SERVICE)

    def wait_for(self, cause: Bottleneck) -> None:
        """What the upload waits for while no range is under way."""
        self._waits_for = cause

    def planned(self, part: Range) -> None:
        """A range is the next to be sent: its bytes count from here until it has arrived."""
        self._sent[part.first] = 0

    def sending(self, part: Range) -> Callable[[int], None]:
        """A range is being sent; the result is to be called with the bytes of each piece. A repetition counts only
        beyond the last one, and a second sending not at all once the first has arrived."""
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
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

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

    def bottleneck(self) -> Bottleneck | None:
        """What all ranges wait for, or None if they wait for different things, or nothing is waited for."""
        if self.state.ended or self.state is UploadState.PAUSED:
            return None
        causes = set(self._causes()) or {self._waits_for}
        return causes.pop() if len(causes) == 1 else None

    def time_by_cause(self) -> dict[Bottleneck, float]:
        """The share of the time that each cause took so far; they sum to 1."""
        if not self._time:
            self._sample()
        whole = sum(self._time.values())
        return {cause: self._time[cause] / whole for cause in Bottleneck if cause in self._time}

    def ended(
        self, state: UploadState, receipt: UploadReceipt | None = None, error: VideoCloudError | None = None
    ) -> None:
        """The last event: the time stands still, and nobody is referred to any more."""
        self.close()
        self.state = state
        now, on_event = self._clock(), self._on_event
        self._clock, self._causes = lambda: now, _none
        self._on_progress, self._on_event = None, _ignore
        on_event(UploadEvent(state, self.snapshot(), None, receipt, error))

    def finished(self) -> None:
        """The last snapshot is always told to the listener.

        Raises:
            BaseException: what it raised, unless it is an `Exception`: that is logged.
        """
        self._tell(now=True)
        failure, self._failure = self._failure, None
        if failure is not None and not isinstance(failure, Exception):
            raise failure

    def close(self) -> None:
        """Say no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Tell something ten times a second even if nothing happens: a stall must not leave an old picture standing."""
        self._timer = asyncio.get_running_loop().call_later(self._event_seconds, self._tick)
        self._sample()
        self._tell_safely()

    def _sample(self) -> None:
        if self.state is UploadState.PAUSED:
            return
        causes = self._causes() or (self._waits_for,)
        for cause in causes:
            self._time[cause] = self._time.get(cause, 0.0) + 1 / len(causes)

    def _tell(self, *, now: bool = False) -> None:
        if self._on_progress is None and not self._watched:
            return
        if not now and self._clock() < self._next:
            return
        self._next = self._clock() + self._event_seconds
        snapshot = self.snapshot()
        self._on_event(UploadEvent(self.state, snapshot, self.bottleneck()))
        if self._on_progress is None or not self.file_id:
            return
        try:
            _check_returned(self._on_progress(snapshot))
        except asyncio.CancelledError as problem:
            raise ListenerCancelledError(problem) from None
        except Exception as problem:
            if not self._committed:
                raise
            logger.warning(
                "the listener of upload %s failed: %r", self.file_id, problem, extra={"file_id": self.file_id}
            )

    def _tell_safely(self, *, now: bool = False) -> None:
        if self._failure is None:
            try:
                self._tell(now=now)
            except BaseException as problem:  # noqa: BLE001 - the listener's, and `check` raises it
                self._failure = problem
