"""The two streams: results go to stdout, everything else to stderr.

What belongs here: how a line gets out, and what becomes of it when nobody reads. What must not: what the lines say.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .failures import Failure
from .words import clean

#: As wide as any row of a table gets when it does not go to a terminal, where it must not be cut.
ENDLESS = 100_000


class QuietPipe(Console):
    """A console that leaves a broken pipe to whoever prints."""

    def on_broken_pipe(self) -> None:
        """Rich would exit here."""
        raise BrokenPipeError


class Screen:
    """What a command prints on.

    Args:
        machine: stdout is for JSON only.
        quiet: say nothing that is not a result or an error.
        steadfast: go on when the reader of stdout goes away, because the work matters more than its report.
    """

    def __init__(self, *, machine: bool = False, quiet: bool = False, steadfast: bool = False) -> None:
        self.machine = machine
        self.quiet = quiet
        self._steadfast = steadfast
        #: Where news goes that is worth a glance, not a line; a live display replaces it.
        self.glance: Callable[[str], None] = _nowhere
        #: What surrounds a line on stdout; a live display replaces it, to make room.
        self.paused: Callable[[], AbstractContextManager[object]] = nullcontext
        self.errors: QuietPipe = QuietPipe(stderr=True, highlight=False, markup=False, emoji=False)
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal's encoding lacks must not end the program.
            if reconfigure := getattr(stream, "reconfigure", None):
                reconfigure(errors="backslashreplace")

    @property
    def live(self) -> bool:
        """Whether a person watches stderr on a terminal that can redraw."""
        return sys.stderr.isatty() and not self.errors.is_dumb_terminal and not self.quiet

    def record(self, record: dict[str, Any]) -> None:
        """One JSON object on a line of stdout. ASCII, whatever the terminal's encoding is."""
        self._put(json.dumps(record))

    def result(self, text: str) -> None:
        """One line on stdout, for people."""
        self._put(clean(text))

    def lines(self, text: str) -> None:
        """Several lines on stdout, as they are."""
        self._put(text.rstrip("\r\n"))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """A table on stdout: as wide as the terminal, or as wide as it needs to be."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for at, header in enumerate(headers):
            # The first column is what people copy.
            table.add_column(header, justify="right" if header in right else "left", overflow="fold", no_wrap=at == 0)
        for row in rows:
            table.add_row(*(Text(clean(cell)) for cell in row))
        console = Console(width=None if sys.stdout.isatty() else ENDLESS)
        with console.capture() as drawn:
            console.print(table)
        for line in drawn.get().splitlines():
            self._put(line.rstrip())

    def note(self, text: str, style: str = "") -> None:
        """A line on stderr, unless told to be quiet."""
        if not self.quiet:
            self.say(Text(clean(text), style=style))

    def failure(self, failure: Failure, where: str = "") -> None:
        """The two lines of a failure on stderr."""
        about = f"{where}: " if where else ""
        self.say(Text.assemble(("error: ", "bold red"), clean(about + failure.message)))
        if failure.hint:
            self.say(Text.assemble(("hint: ", "bold"), clean(failure.hint)))

    def say(self, text: Text | str, end: str = "\n") -> None:
        """A line on stderr in any case."""
        try:
            self.errors.print(clean(text) if isinstance(text, str) else text, end=end, soft_wrap=True)
        except BrokenPipeError:
            _silence(sys.stderr)

    def _put(self, line: str) -> None:
        with self.paused(), self._to_stdout():
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    @contextmanager
    def _to_stdout(self) -> Generator[None, None, None]:
        try:
            yield
        except BrokenPipeError:
            if not self._steadfast:
                raise
            _silence(sys.stdout)


class LogLines(logging.Handler):
    """The library's log on stderr, above a live display if there is one.

    Args:
        screen: where.
        level: records from here on get a line; of lesser ones a live display shows the latest for a moment.
    """

    def __init__(self, screen: Screen, level: int) -> None:
        super().__init__(logging.INFO)
        self._screen = screen
        self._line = level

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; exceptions are told in one line."""
        text = clean(record.getMessage())
        if record.levelno < self._line:
            self._screen.glance(text)
            return
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        self._screen.say(Text(f"{record.levelname.lower()}: {text}", style=style))


@contextmanager
def logging_to(screen: Screen, level: int) -> Generator[None, None, None]:
    """While it lasts, what the library logs from `level` on appears on the screen."""
    logger = logging.getLogger("iqiyi_async")
    handler = LogLines(screen, level)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _nowhere(_: str) -> None:
    """Nobody glances."""


def _silence(stream: TextIO) -> None:
    """Nobody reads this stream any more: let it lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
