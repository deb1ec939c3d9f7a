"""A folder that is watched: a file is taken when it has not changed for some seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from ... import _validation
from ...models import UploadItem
from .columns import is_text, readable
from .manifest import item_of_path, videos_in

logger: logging.Logger = logging.getLogger(__name__)


class HotFolder:
    """New videos of a folder and its folders, hidden ones left out.

    Args:
        folder: which.
        settle_seconds: so long a file has to keep its size and its time.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._settle = _validation.seconds("settle_seconds", settle_seconds)
        self._clock = clock
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._taken: dict[str, tuple[int, int]] = {}
        self._left: set[tuple[str, str]] = set()

    def look(self) -> list[UploadItem]:
        """The files that have settled since the last look. It blocks while it looks. A file or folder that can't be
        used is left out; the log says so once."""
        now = self._clock()
        ready: list[UploadItem] = []
        seen: dict[str, tuple[int, int, float]] = {}
        # Whole paths: a batch takes relative ones from its own root, which may be another folder.
        for path in videos_in(self.folder.absolute(), self._unread):
            if not is_text(path):
                self._leave(path, "the name is no text: rename the file")
                continue
            try:
                found = Path(path).stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                self._unread(error)
                continue
            state = (found.st_size, found.st_mtime_ns)
            before = self._seen.get(path)
            since = before[2] if before is not None and before[:2] == state else now
            seen[path] = (*state, since)
            if found.st_size and now - since >= self._settle and self._taken.get(path) != state:
                self._taken[path] = state
                ready.append(item_of_path(path))
        self._seen = seen
        self._taken = {path: state for path, state in self._taken.items() if path in seen}
        return ready

    def _unread(self, error: OSError) -> None:
        self._leave(str(error.filename), f"it can't be read: {error.strerror}")

    def _leave(self, path: str, problem: str) -> None:
        if (path, problem) not in self._left:
            self._left.add((path, problem))
            logger.warning("%s: %s", readable(path), problem)
