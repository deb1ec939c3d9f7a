"""What becomes of a file whose video is safe: it is moved, deleted, or left."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import IO, Literal

import attrs

from ..errors import ConfigurationError
from ..models import JournalEntry

#: Bytes that are read at a time.
PIECE = 1024 * 1024


@attrs.frozen
class OnSuccess:
    """What is done with a file after its publication, or its upload, was verified.

    Attributes:
        action: what.
        folder: where it is moved to; relative folders stay as they are below it.
    """

    action: Literal["none", "delete", "move"] = "none"
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str) -> OnSuccess:
        """Read ``none``, ``delete`` or ``move:DIR``.

        Raises:
            ConfigurationError: none of these.
        """
        if text == "none":
            return cls()
        if text == "delete":
            return cls("delete")
        if text.startswith("move:") and text != "move:":
            return cls("move", Path(text.removeprefix("move:")))
        raise ConfigurationError(f"on_success must be none, delete or move:DIR, not {text!r}")

    def located(self) -> OnSuccess:
        """The same with an absolute path."""
        return self if self.folder is None else attrs.evolve(self, folder=self.folder.absolute())

    def apply(self, path: Path, root: Path, uploaded: JournalEntry) -> str:
        """Delete it, or move it. Blocks.

        Args:
            path: the file.
            root: what it keeps its place below.
            uploaded: what was uploaded of it; a file that has changed since is left.

        Returns:
            Why it was not done, or an empty string.
        """
        try:
            if not _unchanged(path, uploaded):
                return f"{path} has changed since it was uploaded, and was left as it is"
            if self.folder is None:
                path.unlink()
            else:
                _move(path, self.folder, path.relative_to(root) if path.is_relative_to(root) else Path(path.name))
        except OSError as error:
            return f"{path}: {error.strerror or error}"
        return ""


def _unchanged(path: Path, uploaded: JournalEntry) -> bool:
    """Whether a file is what was uploaded: by its time, or, if it was too young then for its time to say anything, by
    its bytes."""
    seen, found = uploaded.fingerprint, path.stat()
    if found.st_size != seen.size:
        return False
    if seen.mtime_ns:
        return found.st_mtime_ns == seen.mtime_ns
    with path.open("rb") as file:
        return all(_md5(file, each.first, each.size) == each.md5 for each in uploaded.accepted)


def _md5(file: IO[bytes], first: int, size: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(first)
    while size and (piece := file.read(min(size, PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def _move(path: Path, folder: Path, place: Path) -> None:
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while os.path.lexists(target):
        # What is there already is another film.
        number += 1
        target = folder / place.with_name(f"{place.stem} ({number}){place.suffix}")
    shutil.move(path, target)
