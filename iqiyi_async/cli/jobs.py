"""The files of one command: looked at, all of them, before the first one is sent. Nothing is read of them yet."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from iqiyi_async import ConfigurationError, Metadata

from .failures import UsageError
from .messages import told
from .texts import about, tr

#: An ending that can be a file's type. What follows another dot, as in "Episode 1. The Beginning", is none.
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,16}")


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


@attrs.frozen
class BadPath:
    """A path that can't be uploaded, and why."""

    label: str
    error: UsageError


def jobs_for(
    paths: Sequence[Path], name: str | None, *, typed: bool = False, **metadata: Any
) -> tuple[list[Job], list[BadPath], list[Path]]:
    """Look at all files before the first one is sent.

    Args:
        paths: the files.
        name: the title, for one file.
        typed: whether the type of the files is given, so that their names need not have it.
        metadata: what else is said of each.

    Returns:
        What can be uploaded, each file once; what can't be; and the paths of files that were named before.

    Raises:
        UsageError: several have one name.
    """
    if name is not None and len(paths) > 1:
        raise UsageError(
            tr("--name is for one file"), tr("without it each video is called as its file is, without the ending")
        )
    seen: set[Path] = set()
    jobs: list[Job] = []
    bad: list[BadPath] = []
    again: list[Path] = []
    for path in paths:
        try:
            job = _job(path, name, typed=typed, **metadata)
        except UsageError as error:
            bad.append(BadPath(str(path), error))
            continue
        if (real := path.resolve()) in seen:
            # Patterns overlap: one file too many is no reason to send none.
            again.append(path)
        else:
            seen.add(real)
            jobs.append(job)
    return jobs, bad, again


def split_tags(given: Sequence[str]) -> tuple[str, ...]:
    """Tags in one word, separated by commas, or in several."""
    return tuple(tag.strip() for word in given for tag in word.split(",") if tag.strip())


def _job(path: Path, name: str | None, *, typed: bool, **metadata: Any) -> Job:
    size = _size_of(path)
    if not typed and not _ENDING.fullmatch(path.suffix.rstrip()):
        raise UsageError(
            tr("{path}: the name has no ending that says what the file is", path=path),
            tr("--file-type mp4 says it for files without an ending"),
        )
    try:
        return Job(path, size, Metadata(_title_of(path) if name is None else name, **metadata))
    except ConfigurationError as error:
        hint = tr("see --name, --description and --tags in upload --help")
        raise UsageError(about(str(path), told(str(error))), hint) from None


def _title_of(path: Path) -> str:
    """The file's name without its ending; one that is no UTF-8 is most likely GBK, of an older Chinese system."""
    name = os.fsencode(path.stem)
    for encoding in ("utf-8", "gb18030"):
        try:
            return name.decode(encoding)
        except UnicodeDecodeError:
            continue
    return name.decode("utf-8", "replace")


def _size_of(path: Path) -> int:
    check = tr("check the path")
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(about(str(path), told(error.strerror or "")), check) from None
    except ValueError:
        raise UsageError(tr("{path}: not a path", path=path), check) from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(tr("{path}: not a file", path=path), tr("give video files, such as holiday.mp4"))
    if not os.access(path, os.R_OK):
        raise UsageError(tr("{path}: no permission to read it", path=path), tr("check who may read it"))
    if not found.st_size:
        raise UsageError(tr("{path}: the file is empty", path=path), tr("nothing can be published of it"))
    return found.st_size
