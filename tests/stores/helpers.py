"""What several tests of the stores need: tokens, child processes, and a look at what a traceback would show."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iqiyi_async.models import Token

ROOT = Path(__file__).parents[2]
KEY = "0a1b2c3d"
SECRET = "canary-"

#: Also left out where a run has taken these ways of POSIX away (`tests/as_windows.py`).
posix_only = pytest.mark.skipif(
    os.name != "posix" or not hasattr(os, "pread"), reason="modes, owners and locks are those of POSIX"
)


def token(number: int = 0) -> Token:
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    return Token(f"{SECRET}access-{number}", f"{SECRET}refresh-{number}", start, start + timedelta(days=1))


@contextmanager
def child(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs one of `children`; killed at the end if it still runs."""
    command = [sys.executable, "-W", "error", "-m", "tests.stores.children", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said_by(*arguments: object) -> str:
    """What a child wrote; it must end well and keep silent about errors."""
    with child(*arguments) as process:
        out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    assert not err
    return out


def shown(error: BaseException) -> str:
    """What a tool could show of an error: its frames with all their variables, and those of what it came from."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def descriptors() -> list[str]:
    """The files that this process has open."""
    found: list[str] = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:
            continue  # the one that lists this very folder
    return sorted(found)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
