"""The two streams: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import IO, Any, Self, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .failures import Failure
from .messages import told
from .streams import Output, Writer, same_terminal
from .texts import about, later, tr
from .words import clean

#: As wide as any row of a table gets when it does not go to a terminal, where it must not be cut.
ENDLESS = 100_000
#: Help is laid out for so many columns at least: for fewer (COLUMNS=1 in the environment) rich finds no end.
NARROWEST = 20


def at_least(console: Console, columns: int) -> None:
    """Let a console have so many columns."""
    if console.width < columns:
        console.width = columns


class Results(Console):
    """stdout for rich."""

    def __init__(self, out: Output, *, width: int | None = None) -> None:
        super().__init__(file=cast("IO[str]", out), width=width)
        at_least(self, NARROWEST)

    def on_broken_pipe(self) -> None:
        """Rich would exit here; the caller decides what a broken stream means."""
        raise BrokenPipeError


class Screen:
    """What a command prints on. stderr never fails a command: what can't be written there is left out.

    Args:
        machine: stdout is for JSON only.
        quiet: say nothing that is not a result or an error.
        steadfast: the work matters more than its report: stdout is written in the background, and what can't be
            written there is left out as well. Otherwise OSError leaves whatever prints there.
    """

    def __init__(self, *, machine: bool = False, quiet: bool = False, steadfast: bool = False) -> None:
        self.machine = machine
        self.quiet = quiet
        self._steadfast = steadfast
        self._err_writer = Writer()
        self._err = Output(sys.stderr, "stderr", self._err_writer)
        self._out = Output(sys.stdout, "stdout")
        self._one_terminal = same_terminal(self._out, self._err)
        self._out_writer: Writer | None = None
        if steadfast or self._one_terminal:
            # On one terminal the order matters.
            self._out_writer = self._err_writer if self._one_terminal else Writer()
            self._out = Output(sys.stdout, "stdout", self._out_writer)
        self.errors: Console = Console(
            file=cast("IO[str]", self._err), highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._above: Callable[[Text], None] | None = None
        self._glance: Callable[[str], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def live(self) -> bool:
        """Whether a person watches stderr on a terminal that can redraw."""
        return self._err.isatty() and not self.errors.is_dumb_terminal and not self.quiet

    @property
    def results(self) -> Console:
        """stdout for what rich lays out."""
        return Results(self._out)

    @property
    def lagging(self) -> bool:
        """Whether stderr takes less than it is given."""
        return self._err.lagging

    @contextmanager
    def drawn_on(self, *, above: Callable[[Text], None], glance: Callable[[str], None]) -> Generator[None, None, None]:
        """While it lasts, a live display has the terminal: it prints the lines, and shows for a moment what is worth a
        glance only."""
        self._above, self._glance = above, glance
        try:
            yield
        finally:
            self._above = self._glance = None

    def close(self) -> None:
        """See that everything gets out for which there is a reader."""
        if self._out_writer is not None and not self._out_writer.finish():
            self.say(tr("nobody reads stdout: some results were not written; the work is not touched by that"))
        elif self._steadfast and self._out.error is not None and not isinstance(self._out.error, BrokenPipeError):
            reason = told(self._out.error.strerror or "")
            self.say(
                tr("stdout: {reason}: some results were not written; the work is not touched by that", reason=reason)
            )
        self._err_writer.finish()

    def record(self, record: dict[str, Any], *, spare: bool = False) -> None:
        """One JSON object on a line of stdout. ASCII, whatever the terminal's encoding is.

        Args:
            record: what it says.
            spare: leave it out where the reader lags.
        """
        if not (spare and self._out.lagging):
            self._out.write(json.dumps(record) + "\n")
            self._out.flush()

    def result(self, text: str) -> None:
        """One line on stdout, for people."""
        line = clean(text)
        if self._above is not None and self._one_terminal:
            self._above(Text(line))
            return
        self._out.write(line + "\n")
        self._out.flush()

    def lines(self, text: str) -> None:
        """Several lines on stdout, as they are."""
        self._out.write(text.rstrip("\r\n") + "\n")
        self._out.flush()

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """A table on stdout: as wide as the terminal, or as wide as it needs to be."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for at, header in enumerate(headers):
            # The first column is what people copy.
            table.add_column(header, justify="right" if header in right else "left", overflow="fold", no_wrap=at == 0)
        for row in rows:
            table.add_row(*(Text(clean(cell)) for cell in row))
        console = Results(self._out, width=None if self._out.isatty() else ENDLESS)
        with console.capture() as drawn:
            console.print(table)
        for line in drawn.get().splitlines():
            self._out.write(line.rstrip() + "\n")
        self._out.flush()

    def note(self, text: str, style: str = "") -> None:
        """A line on stderr, unless told to be quiet."""
        if not self.quiet:
            self.say(Text(clean(text), style=style))

    def failure(self, failure: Failure, where: str = "") -> None:
        """The two lines of a failure on stderr."""
        text = about(where, failure.message) if where else failure.message
        self.say(Text.assemble((tr("error: "), "bold red"), clean(text)))
        self.hint(failure.hint)

    def hint(self, text: str) -> None:
        """A line that says what to do, if there is anything to do."""
        if text:
            self.say(Text.assemble((tr("hint: "), "bold"), clean(text)))

    def say(self, text: Text | str, end: str = "\n") -> None:
        """A line on stderr in any case."""
        line = Text(clean(text)) if isinstance(text, str) else text
        if self._above is not None:
            self._above(line)
        elif self.errors.is_terminal:
            self.errors.print(line, end=end)
        else:
            # Without colours and a width rich has nothing to do.
            self._err.write(line.plain + end)
            self._err.flush()

    def glance(self, text: str) -> None:
        """Something that is worth a glance, not a line."""
        if self._glance is not None:
            self._glance(text)


_LEVELS = {
    logging.INFO: later("info"),
    logging.WARNING: later("warning"),
    logging.ERROR: later("error"),
    logging.CRITICAL: later("error"),
}


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
        text = clean(told(record.getMessage()))
        if record.levelno < self._line:
            self._screen.glance(text)
            return
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        self._screen.say(Text(about(tr(_LEVELS.get(record.levelno, "info")), text), style=style))


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
