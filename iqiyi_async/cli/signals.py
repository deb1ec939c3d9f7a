"""Ctrl-C, SIGTERM and SIGHUP while an event loop runs: the first one asks, the second insists, the third does not ask.

Handlers are plain Python ones that wake the loop, as `asyncio.run` itself does it: that works on every platform, and
the last one works even when the loop does not turn any more.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

#: There is no SIGHUP on Windows.
WATCHED: tuple[int, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
HANGUP: int | None = getattr(signal, "SIGHUP", None)
SHOW_CURSOR = "\x1b[?25h"


class Signals:
    """What the user has asked for so far.

    Attributes:
        on_first: called in the loop by the first signal; by default the command is cancelled.
        asked: set by the first signal.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self.number: int = 0
        self.asked: asyncio.Event = asyncio.Event()
        self.on_first: Callable[[], object] = self.cancel

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal has ended; 0 if there was none."""
        return 128 + self.number if self.number else 0

    def cancel(self) -> None:
        """End the command, with everything that it cleans up."""
        self._task.cancel()

    def received(self, number: int, _: FrameType | None) -> None:
        """The handler: runs between any two instructions of the main thread."""
        if self._count and number == HANGUP:
            # A terminal that goes away sends it, and so does the shell on it: that is one request, not two.
            return
        self._count += 1
        self.number = number
        if self._count > 2:
            if sys.stderr.isatty():
                with suppress(OSError):
                    os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())
            os._exit(self.exit_code)
        try:
            self._loop.call_soon_threadsafe(self._first if self._count == 1 else self.cancel)
        except RuntimeError:
            # The loop has closed a moment ago: there is nothing to stop.
            raise SystemExit(self.exit_code) from None

    def _first(self) -> None:
        self.asked.set()
        self.on_first()


def heeded() -> tuple[int, ...]:
    """The signals that whoever started this program has not told it to ignore (`nohup` does, and so does a shell for
    what it starts in the background)."""
    return tuple(number for number in WATCHED if signal.getsignal(number) is not signal.SIG_IGN)


def run(command: Callable[[Signals], Coroutine[Any, Any, int]]) -> int:
    """Run a command to its end, or to the end that a signal asks for.

    Returns:
        The command's exit code; 129, 130 or 143 if a signal has cancelled it.
    """
    before = {number: signal.getsignal(number) for number in heeded()}
    try:
        return asyncio.run(_watched(command, before))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _watched(command: Callable[[Signals], Coroutine[Any, Any, int]], afterwards: dict[int, Any]) -> int:
    task = asyncio.current_task()
    assert task is not None
    signals = Signals(task)
    for number in heeded():
        signal.signal(number, signals.received)
    try:
        return await command(signals)
    except asyncio.CancelledError:
        if not signals.number:
            raise
        return signals.exit_code
    finally:
        if HANGUP is not None and signals.number == HANGUP:
            # The second of a pair may come now: it is not to end the writing of the last results.
            afterwards[HANGUP] = signal.SIG_IGN
