"""Runs the program on a terminal of its own, as a person does."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from termios import TIOCSWINSZ

from iqiyi_async.emulator import ThreadedEmulatorServer

from .program import PATIENCE, environment

#: In a session of its own the terminal becomes the controlling one, so that it turns Ctrl-C into a signal. Who runs the
#: tests in the background has them ignore that signal; a program on a terminal does not.
ON_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "[signal.signal(getattr(signal, name), signal.SIG_IGN) for name in os.environ.pop('IGNORING').split()];"
    "os.execv(sys.executable, [sys.executable, '-m', 'iqiyi_async', *sys.argv[1:]])"
)
CTRL_C = "\x03"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self._process = process
        self._fd = fd
        self.seen = ""

    @property
    def text(self) -> str:
        """Everything that was drawn, without colours and movements."""
        return _CONTROL.sub("", self.seen)

    def until(self, pattern: str) -> None:
        """Read until a pattern is drawn."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text):
            assert self._read(deadline), f"no {pattern!r} in {self.text!r}"

    def hang_up(self) -> None:
        """The terminal goes away, as when its window is closed."""
        os.close(self._fd)
        self._fd = -1

    def close(self) -> None:
        """Give it back, if it is still there."""
        if self._fd >= 0:
            os.close(self._fd)

    def type(self, text: str) -> None:
        """What a person types."""
        os.write(self._fd, text.encode())

    def finish(self) -> int:
        """Read the rest; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._fd >= 0 and self._read(deadline):
            pass
        return self._process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"the program hangs after {self.text!r}"
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # How Linux says that the other side has closed.
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def terminal(
    service: ThreadedEmulatorServer | None, *words: object, columns: int = 120, ignoring: str = "", **env: str
) -> Iterator[Terminal]:
    """Run a command on a terminal of 24 rows, and end it if the test does not."""
    mine, theirs = pty.openpty()
    ioctl(mine, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    terminals = environment(service, TERM="xterm-256color", IGNORING=ignoring)
    for name in ("COLUMNS", "LINES"):
        # The size of whoever runs the tests.
        terminals.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**terminals, **env},
    )
    os.close(theirs)
    seen = Terminal(process, mine)
    with process:
        try:
            yield seen
        finally:
            process.kill()
            seen.close()
