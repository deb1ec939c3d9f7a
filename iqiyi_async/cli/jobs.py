"""The files of one command: looked at, all of them, before the first one is sent.

What belongs here: what can be told of a file by looking. What must not: reading it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from iqiyi_async import ConfigurationError, Metadata

from .failures import UsageError


@attrs.frozen
class Job:
    """One file to upload."""

    path: Path
    size: int
    metadata: Metadata

    @property
    def label(self) -> str:
        """The path as it was given."""
        return str(self.path)


def jobs_for(paths: Sequence[Path], name: str | None, **metadata: Any) -> list[Job]:
    """Look at all files before the first one is sent.

    Raises:
        UsageError: one of them can't be uploaded, is there twice, or its metadata can't be sent.
    """
    if name is not None and len(paths) > 1:
        raise UsageError("--name is for one file", "without it each video is called as its file is, without the ending")
    seen: set[Path] = set()
    jobs: list[Job] = []
    for path in paths:
        size = _size_of(path)
        if (real := path.resolve()) in seen:
            raise UsageError(f"{path}: this file is given twice", "name each file once")
        seen.add(real)
        try:
            jobs.append(Job(path, size, Metadata(path.stem if name is None else name, **metadata)))
        except ConfigurationError as error:
            raise UsageError(f"{path}: {error}", "see --name, --description and --tags in upload --help") from None
    return jobs


def split_tags(given: Sequence[str]) -> tuple[str, ...]:
    """Tags in one word, separated by commas, or in several."""
    return tuple(tag.strip() for word in given for tag in word.split(",") if tag.strip())


def _size_of(path: Path) -> int:
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "check the path") from None
    except ValueError:
        raise UsageError(f"{path}: not a path", "check the path") from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path}: not a file", "give video files, such as holiday.mp4")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path}: no permission to read it", "check who may read it")
    if not found.st_size:
        raise UsageError(f"{path}: the file is empty", "nothing can be published of it")
    return found.st_size
