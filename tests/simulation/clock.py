"""An event loop without a machine below it: when nothing is ready, time jumps to the next timer.

So hours of back-off take no time, and a run that waits for something that can never come is known at once: there is
no timer left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class HangError(Exception):
    """Everybody waits, and nothing will ever wake anybody."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop of timers and callbacks; no sockets, no threads, no signals."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0
        # Looked for by the base class: how it waits, and what for.
        self._selector = self
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds since the run began."""
        return self._virtual_now

    def select(self, timeout: float | None) -> list[Any]:
        """Wait: that is, let the time pass."""
        if timeout is None:
            raise HangError("everybody waits, and there is no timer left")
        self._virtual_now += timeout
        return []

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """At once: while a thread works no time may pass, or a run would not be the same twice."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits in a system call."""
