"""Patterns of files, as `glob` knows them, but that `**` passes through no symbolic links: they may lead in circles."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator

_SEPARATOR = re.compile(r"[\\/]" if os.name == "nt" else "/")


def files_matching(pattern: str, root: str = "") -> list[str]:
    """The files that match a pattern, each once, in order.

    Args:
        pattern: of paths; ``**`` stands for any number of folders, hidden ones left out.
        root: what a relative pattern starts from; the current folder if empty.
    """
    return sorted({each for each in _matching(pattern, root) if os.path.isfile(each)})  # noqa: PTH113 - may be many


def _matching(pattern: str, root: str) -> Iterator[str]:
    parts = _SEPARATOR.split(pattern)
    if "**" not in parts:
        found = glob.glob(pattern, root_dir=root or None)  # noqa: PTH207 - absolute patterns too
        yield from (os.path.join(root, each) for each in found)  # noqa: PTH118
        return
    at = parts.index("**")
    behind = next((number for number in range(at, len(parts)) if parts[number] != "**"), len(parts))
    # What an absolute pattern begins with is empty.
    before = "/".join(parts[:at]) or ("/" if at else "")
    rest = "/".join(parts[behind:]) or "*"
    for start in _matching(before, root) if before else [root or os.curdir]:
        for folder, folders, _ in os.walk(start):
            folders[:] = [each for each in folders if not each.startswith(".")]
            yield from _matching(rest, folder)
