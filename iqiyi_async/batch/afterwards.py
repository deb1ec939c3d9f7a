"""What becomes of a file whose video is safe: it is moved, deleted, or left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import attrs

from ..errors import ConfigurationError
from ..models import Fingerprint


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
            return cls("move", Path(text.removeprefix("move:")).absolute())
        raise ConfigurationError(f"on_success must be none, delete or move:DIR, not {text!r}")

    def apply(self, path: Path, root: Path, seen: Fingerprint) -> str:
        """Do it. Blocks.

        Args:
            path: the file.
            root: what it keeps its place below.
            seen: what it looked like when it was uploaded; a file that has changed since is left.

        Returns:
            Why it was not done, or an empty string.
        """
        try:
            found = path.stat()
            if (found.st_size, found.st_mtime_ns) != (seen.size, seen.mtime_ns):
                return f"{path} has changed since it was uploaded, and was left as it is"
            if self.action == "delete":
                path.unlink()
            elif self.folder is not None:
                _move(path, self.folder, path.relative_to(root) if path.is_relative_to(root) else Path(path.name))
        except OSError as error:
            return f"{path}: {error.strerror or error}"
        return ""


def _move(path: Path, folder: Path, place: Path) -> None:
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while os.path.lexists(target):
        # What is there already is another film.
        number += 1
        target = folder / place.with_name(f"{place.stem} ({number}){place.suffix}")
    shutil.move(path, target)
