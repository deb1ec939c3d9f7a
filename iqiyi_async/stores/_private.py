"""Files and folders that only their owner can reach.

What belongs here: how such a file is made, checked, read and replaced. What must not: what is in it. On Windows,
where a file's mode says nothing and a user's folders are private by default, only the checks for links and kinds of
files are made. Everything here blocks: it is called in a thread.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ._codec import Sealed

__all__ = ["check", "create", "folder", "read", "replace", "state_folder", "sync_folder"]

_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
#: Opening somebody's pipe must not wait for its other end.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _OPEN
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN
_POSIX = os.name == "posix"


def state_folder() -> Path:
    """The platform's folder for what programs remember, our part of it, made private."""
    import platformdirs

    path = platformdirs.user_state_path("iqiyi-async", appauthor=False)
    folder(path)
    if _POSIX:
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise _refused(path, "the folder belongs to another user", "give it back to its user, or name another path")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    return path


def folder(path: Path) -> None:
    """Make a folder, with those above it that are missing; each of them 0700."""
    if path.is_dir():
        return
    folder(path.parent)
    # Another process may be faster; if what it made is no folder, opening a file in it says so.
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return


def check(path: Path, found: os.stat_result, *, strict: bool = True) -> None:
    """Refuse a file that others could have written or, if `strict`, could read.

    Raises:
        PermissionError: it is a link, no regular file, another user's, or open to others.
    """
    if stat.S_ISLNK(found.st_mode):
        raise _refused(path, "it is a symbolic link", "name the file itself, or remove the link")
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "it is no regular file", "name another path")
    if not _POSIX:
        return
    if found.st_uid != os.geteuid():
        raise _refused(path, "it belongs to another user", "run as that user, or name another path")
    if strict and (mode := stat.S_IMODE(found.st_mode)) & 0o077:
        raise _refused(path, f"others can reach it (mode {mode:04o})", "run: chmod 600, if nobody has read it")


def read(path: Path, *, limit: int) -> bytes | None:
    """The content of a private file, or None if there is none.

    Args:
        path: the file.
        limit: bytes; of a longer file, which can't be ours, one more than this is read.

    Raises:
        PermissionError: the file is not private (`check`).
    """
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        return None
    except OSError:
        # How the refusal to follow a link is called differs from system to system.
        if path.is_symlink():
            check(path, path.lstat())
        raise
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        check(path, os.fstat(fd))
        return file.read(limit + 1)


def create(path: Path) -> None:
    """Make an empty file of mode 0600, or stricter if the umask says so.

    Raises:
        FileExistsError: there is something already.
    """
    os.close(os.open(path, _CREATE, 0o600))


def replace(path: Path, content: Sealed) -> None:
    """Put new bytes in the place of a file: after a crash at any moment the old or the new ones are there, whole.

    The caller sees to it that nobody else replaces the same file at the same time.

    Raises:
        OSError: they could not be written; the old content stays.
    """
    # One name for all: what a killed writer has left behind is removed by the next one, not kept forever.
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, _CREATE, 0o600)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(content.content)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """See to it that a new name in a folder survives a loss of power, where the system can do that."""
    if not _POSIX:
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems know no such thing
            raise
    finally:
        os.close(fd)


def _refused(path: Path, why: str, remedy: str) -> PermissionError:
    return PermissionError(errno.EACCES, f"refused to use this path, because {why}; {remedy}", str(path))
