"""The append-only log that carries the state over a restart, and over a kill.

A change is appended in the order it happened and answered only after `commit`: what a client was told, a restart
knows. A process killed in the middle of a write leaves at most one torn last line, which was never answered; it is
dropped. At each opening the log is rewritten with the fewest entries, and put in place by an atomic rename.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import cast

from anyio import Lock

from .state import Entry
from .storage import write_all
from .threads import in_thread


class StateLog:
    """One log file, with mode 0600."""

    def __init__(self) -> None:
        self._pending: list[Entry] = []
        self._appended = 0
        self._committed = 0
        self._turn = Lock()
        self._file: FileIO | None = None
        # Re-entrant locks: entries come from the loop, and from other threads that turn the clock.
        self._guard = threading.RLock()
        self._writing = threading.RLock()

    @staticmethod
    def read(path: Path) -> list[Entry]:
        """The entries on disk. Blocking.

        Raises:
            ValueError: a line other than a torn last one is not an entry.
        """
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        entries: list[Entry] = []
        for number, line in enumerate(lines[:-1], 1):
            try:
                entry: object = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                raise ValueError(f"{path}: line {number} cannot be read")  # noqa: TRY004 - of the file, not of a caller
            entries.append(cast("Entry", entry))
        return entries

    def start(self, path: Path, entries: Iterable[Entry]) -> None:
        """Replace the log by these entries, and open it for more. Blocking."""
        fresh = path.with_suffix(".new")
        with _private(fresh, os.O_TRUNC) as file:
            write_all(file, _lines(entries))
            os.fsync(file.fileno())
        fresh.replace(path)
        self._file = _private(path, os.O_APPEND)

    def append(self, entry: Entry) -> None:
        """Note a change; `commit` brings it to disk."""
        with self._guard:
            self._pending.append(entry)
            self._appended += 1

    async def commit(self) -> None:
        """Return when everything appended so far is on disk. Callers that meet here share one write."""
        target = self._appended
        async with self._turn:
            if self._committed >= target:
                return
            await in_thread(self._write)

    def _write(self) -> None:
        # Held over the write, so that closing waits for it, and lines keep their order.
        with self._writing:
            with self._guard:
                entries, self._pending = self._pending, []
            if self._file is None or not entries:
                return
            size = os.fstat(self._file.fileno()).st_size
            try:
                write_all(self._file, _lines(entries))
            except OSError:
                # A full disk: no torn line may stay in the middle of the log, and the entries keep their turn.
                self._file.truncate(size)
                with self._guard:
                    self._pending[:0] = entries
                raise
            self._committed += len(entries)

    def close(self) -> None:
        """Write what is left and close. Blocking."""
        self._write()
        with self._writing:
            if self._file is not None:
                self._file.close()
                self._file = None


def _lines(entries: Iterable[Entry]) -> bytes:
    return b"".join(json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in entries)


def _private(path: Path, flags: int) -> FileIO:
    flags |= os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, 0o600), "wb", buffering=0)  # noqa: PTH123
