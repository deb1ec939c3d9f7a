"""Who still lives: a file for each process, locked as long as it does.

The kernel lets go of the lock in the moment in which a process dies, however it dies; so what it held can be had at
once by others of this machine, who would otherwise wait until it expires. What belongs here: the file and its lock.
What must not: what is held. Everything here blocks for no longer than it takes to look.

Where there are no such locks (Windows), nobody is ever found dead, and what he held has to expire.
"""

from __future__ import annotations

import os
import re
import secrets
import weakref
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

from . import _private

fcntl: ModuleType | None
try:
    fcntl = import_module("fcntl")
except ImportError:  # Windows
    fcntl = None

__all__ = ["Presence", "dead", "sweep"]

_MARK = ".alive-"
_NAME = re.compile(r"[^/\0]+\.alive-[0-9a-f]{16}")


class Presence:
    """The proof that this process lives: from `name` on, until `leave`, its end, or its death."""

    def __init__(self) -> None:
        self._name = ""
        self._leave: weakref.finalize[[int, Path, int], Presence] | None = None
        self._pid = 0

    def name(self, beside: Path) -> str:
        """The name of this process's file in the folder of `beside`; empty where it can't be had."""
        if fcntl is None:
            return ""
        if self._leave is None or self._pid != os.getpid() or not beside.with_name(self._name).exists():
            if self._leave is not None and self._pid == os.getpid():
                self._leave()  # another process removed the file
            elif self._leave is not None:
                # In a forked child. The file is the parent's: its lock must not be touched.
                self._leave.detach()
                self._leave = None
            try:
                path, fd = _locked(beside)
            except OSError:
                return ""  # a file system without locks, or without room: what is held expires, as elsewhere
            self._name, self._pid = path.name, os.getpid()
            self._leave = weakref.finalize(self, _remove, fd, path, self._pid)
        return self._name

    def leave(self) -> None:
        """Take the file away."""
        if self._leave is not None:
            self._leave()
            self._leave = None


def dead(name: str, beside: Path) -> bool:
    """Whether the process of this file has certainly died; its file is then taken away."""
    if fcntl is None or _NAME.fullmatch(name) is None:
        return False
    path = beside.with_name(name)
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # removed by its own process at its end, or by another that found it dead
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # While the lock is held: a process that has made the file and not locked it yet sees that it is gone.
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def sweep(beside: Path) -> list[str]:
    """Take away the files of all processes that have died; their names."""
    found = [path.name for path in beside.parent.glob(f"{glob_safe(beside.name)}{_MARK}*")]
    return [name for name in found if dead(name, beside)]


def glob_safe(name: str) -> str:
    """A name as a pattern that means nothing but itself."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _locked(beside: Path) -> tuple[Path, int]:
    assert fcntl is not None
    while True:
        path = beside.with_name(f"{beside.name}{_MARK}{secrets.token_hex(8)}")
        _private.create(path)
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return path, fd
        except (BlockingIOError, FileNotFoundError):
            pass  # another process removed it before it was locked
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _remove(fd: int, path: Path, pid: int) -> None:
    try:
        if os.getpid() == pid:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    finally:
        os.close(fd)
