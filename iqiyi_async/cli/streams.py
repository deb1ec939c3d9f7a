"""stdout and stderr as places that may fail: a full disk, a closed pipe, a terminal that went away, a pipe that nobody
reads. A report that can't be written never holds up or ends the work that it reports."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import TextIO

#: So many writes may wait before those that can be spared are dropped.
LAG = 64
#: Bytes of one system call: what a pipe takes at once, so that a slow reader is told from none at all.
PIECE = 4096
#: Seconds in which more may come before it is written: each waking of the thread takes the processor from the uploads.
GATHER = 0.02
#: A reader that has taken nothing for so many seconds after the work has ended is not waited for any longer.
PATIENCE = 5.0


class Writer:
    """Writes to file descriptors in the order in which it was asked to, from a thread of its own."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Output, bytes]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pieces = 0
        self._busy = False

    @property
    def lagging(self) -> bool:
        """Whether so much waits that what can be spared should be left out."""
        return len(self._waiting) > LAG

    @property
    def idle(self) -> bool:
        """Whether everything was written."""
        return not self._waiting and not self._busy

    def put(self, output: Output, data: bytes) -> None:
        """Write it soon."""
        with self._changed:
            self._waiting.append((output, data))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="output", daemon=True)
                self._thread.start()
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def finish(self) -> bool:
        """Wait until everything is written, or until nobody has read for a while.

        Returns:
            Whether everything was written.
        """
        with self._changed:
            while not self.idle:
                before = self._pieces
                if not self._changed.wait_for(lambda: self.idle or self._pieces > before, PATIENCE):  # noqa: B023
                    return False
        return True

    def _next(self) -> tuple[Output, bytes]:
        """What goes to one place without anything for another between it."""
        output, data = self._waiting.popleft()
        parts = [data]
        while self._waiting and self._waiting[0][0] is output:
            parts.append(self._waiting.popleft()[1])
        return output, b"".join(parts)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
            time.sleep(GATHER)
            with self._changed:
                output, data = self._next()
                self._busy = True
            for at in range(0, len(data), PIECE):
                output.write_now(data[at : at + PIECE])
                with self._changed:
                    self._pieces += 1
                    self._changed.notify_all()


class Output:
    """One stream of the process, as far as rich needs one.

    Args:
        stream: stdout or stderr.
        name: what errors call it.
        writer: writes in the background, and what can't be written is left out. Without one, a write returns once it
            is done, and raises what went wrong.
    """

    def __init__(self, stream: TextIO, name: str, writer: Writer | None = None) -> None:
        self._stream = stream
        self._name = name
        self._writer = writer
        self._encoding = stream.encoding or "utf-8"
        #: The first thing that went wrong; nothing is written from then on.
        self.error: OSError | None = None
        try:
            self._fd: int | None = stream.fileno()
        except (OSError, ValueError):
            # Not a stream of the system: somebody else collects what is printed.
            self._fd = None

    @property
    def encoding(self) -> str:
        """The name of its encoding."""
        return self._encoding

    @property
    def lagging(self) -> bool:
        """Whether it takes less than it is given."""
        return self._writer is not None and self._writer.lagging

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._fd is not None and os.isatty(self._fd)

    def fileno(self) -> int:
        """The number that the system knows it by; OSError if there is none."""
        if self._fd is None:
            raise OSError("there is none")
        return self._fd

    def write(self, text: str) -> int:
        """Write text; what the encoding lacks is written as an escape."""
        if self.error is None:
            if self._fd is None:
                self._stream.write(text)
                return len(text)
            data = text.encode(self._encoding, "backslashreplace")
            if self._writer is None:
                self.write_now(data)
                if self.error is not None:
                    raise self.error
            else:
                self._writer.put(self, data)
        return len(text)

    def flush(self) -> None:
        """Nothing waits here: the writer has all of it, or the system."""
        if self._fd is None:
            self._stream.flush()

    def write_now(self, data: bytes) -> None:
        """Hand bytes to the system; what goes wrong is kept, not raised."""
        left = memoryview(data)
        while left and self.error is None:
            try:
                left = left[os.write(self.fileno(), left) :]
            except BlockingIOError:
                # The parent process has made the stream non-blocking.
                select.select([], [self.fileno()], [], PATIENCE)
            except OSError as error:
                error.filename = self._name
                self.error = error


def same_terminal(one: Output, other: Output) -> bool:
    """Whether both lead to one terminal, so that what is printed on one moves what is drawn on the other."""
    if not (one.isatty() and other.isatty()):
        return False
    return os.fstat(one.fileno()).st_rdev == os.fstat(other.fileno()).st_rdev
