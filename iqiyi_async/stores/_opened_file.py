"""Whether an SQLite database is still the file that was opened: SQLite itself goes on with one that was removed."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["OpenedFile", "identity_of", "log_of"]

#: Device and inode; zeros for a file that is not there.
Identity = tuple[int, int]


class OpenedFile:
    """The file of a database and its log, where SQLite writes first.

    Attributes:
        identity: of the file that was opened last; zeros before that.
    """

    def __init__(self) -> None:
        self._path = self._log_path = Path()
        self._log: Identity = (0, 0)
        self.identity: Identity = (0, 0)

    def opening(self, path: Path) -> None:
        """A database is about to be opened."""
        self._path, self._log_path = path, log_of(path)
        self.identity = identity_of(path)

    def opened(self) -> None:
        """It was opened, and has its log."""
        self._log = identity_of(self._log_path)

    def replaced(self) -> bool:
        """Whether the database was removed, replaced or emptied since it was opened, or its log was removed or
        replaced."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once for each transaction
        except FileNotFoundError:
            return True
        same = (found.st_dev, found.st_ino) == self.identity and found.st_size > 0
        return not same or identity_of(self._log_path) != self._log


def log_of(path: Path) -> Path:
    """The log of a database."""
    return path.with_name(f"{path.name}-wal")


def identity_of(path: Path) -> Identity:
    """What a file is known by."""
    try:
        found = os.stat(path)  # noqa: PTH116 - once for each transaction
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)
