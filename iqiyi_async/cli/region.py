"""The part of a terminal that is drawn again and again; lines are printed above it, and it is gone at the end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from .screen import Screen
from .words import shorten

#: What was logged last stays for so many seconds.
GLANCE_SECONDS = 6.0


class Region:
    """Draws on the terminal of stderr, from a thread.

    Args:
        screen: where.
        draw: what is drawn; called in the thread.
        seconds: between two redraws.
    """

    def __init__(self, screen: Screen, draw: Callable[[], RenderableType], *, seconds: float) -> None:
        self._screen = screen
        self._draw = draw
        self._seconds = seconds
        self._above: deque[Text] = deque()
        self._glance, self._glanced = "", 0.0
        self._live = Live(
            self,
            console=screen.errors,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._redraw, name="display", daemon=True)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._screen.drawn_on(above=self._above.append, glance=self._heard))
        self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._print_lines()
        self._live.stop()
        self._stack.close()

    def __rich__(self) -> RenderableType:
        """What is drawn: asked for at every redraw."""
        if time.monotonic() - self._glanced >= GLANCE_SECONDS or not self._glance:
            return self._draw()
        console = self._screen.errors
        return Group(self._draw(), Text(shorten(self._glance, console.width - 1, console.encoding), style="dim"))

    def _heard(self, text: str) -> None:
        self._glance, self._glanced = text, time.monotonic()

    def _redraw(self) -> None:
        while not self._ended.wait(self._seconds):
            # Frames are not kept for a terminal that does not keep up.
            if not self._screen.lagging and not self._print_lines():
                self._live.refresh()

    def _print_lines(self) -> bool:
        """All lines of late at once: each printing draws the region again."""
        lines: list[Text] = []
        while self._above:
            lines.append(self._above.popleft())
        if lines:
            self._screen.errors.print(*lines, sep="\n")
        return bool(lines)
