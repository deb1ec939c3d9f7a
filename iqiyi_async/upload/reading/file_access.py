"""What is done with a file in a thread: open it, look at it, read and hash a part of it, close it.

Files are read by position, never by their own, so that parallel workers don't disturb each other.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import attrs
from aiofiles.base import wrap

from ...config import KIB
from ...errors import ConfigurationError
from .resources import STRETCH, give_way

#: How much is looked at in each of the three places of the samples.
SAMPLE = 64 * KIB

#: A file that changed less than this before it was looked at may change again under the same time stamp.
YOUNG_NS = 50_000_000

#: The same where the file system counts times in whole seconds, or pairs of them (FAT).
YOUNG_COARSE_NS = 2_050_000_000

#: Where the time that is called ctime is that of creation.
CTIME_IS_CREATION = os.name == "nt"


@attrs.frozen
class Look:
    """What a file looks like at a moment.

    Attributes:
        size: in bytes.
        device: of the file system.
        inode: of the file.
        mtime_ns: last change of the content.
        ctime_ns: last change of the content or the attributes; 0 where it can't be known.
        young: whether one of these was so recent that a further change might not show.
    """

    size: int
    device: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    young: bool = attrs.field(default=False, eq=False)

    @classmethod
    def of(cls, found: os.stat_result, now_ns: int) -> Self:
        """From what the system says of a file."""
        ctime = 0 if CTIME_IS_CREATION else found.st_ctime_ns
        latest_change = max(found.st_mtime_ns, ctime)
        coarse = found.st_mtime_ns % 10**9 == ctime % 10**9 == 0
        young = now_ns - latest_change < (YOUNG_COARSE_NS if coarse else YOUNG_NS)
        return cls(found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns, ctime, young)

    @property
    def usual(self) -> bool:
        """Whether its times fit into 64 bits, as databases keep them: from the year 1677 to 2262. File systems know
        others, and files whose times are nonsense."""
        return all(-(2**63) <= time < 2**63 for time in (self.mtime_ns, self.ctime_ns))

    def agrees(self, other: Look) -> bool:
        """Whether nothing was written between two looks. The number of a file is left out: some mounts give it another
        one at each look."""
        return (self.size, self.mtime_ns, self.ctime_ns) == (other.size, other.mtime_ns, other.ctime_ns)

    def proves(self, earlier: Look) -> bool:
        """Whether the file can't have changed since an earlier look."""
        return self == earlier and not self.young and not earlier.young


@attrs.frozen
class Found:
    """What was found in a file's place: where that is, its look, its samples, and its real path, if that was asked."""

    place: Path
    look: Look
    samples: str
    real: str | None


@attrs.frozen
class Opened:
    file: int
    look: Look


def visit(path: Path, name: str, clock: Callable[[], int], *, real: bool) -> Found:
    place = path.absolute()  # The process may go elsewhere.
    file = _descriptor(place)
    try:
        found = os.fstat(file)
        if stat.S_ISDIR(found.st_mode):
            raise ConfigurationError(f"{name} is a folder, not a regular file: give the path of each file in it")
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError(f"{name} is not a regular file: give a stream, with its size")
        samples = _sample(file, found.st_size)
        # It is looked for in each folder on the way.
        return Found(place, Look.of(found, clock()), samples, os.path.realpath(place) if real else None)
    finally:
        os.close(file)


def _descriptor(place: Path) -> int:
    # Without O_NONBLOCK, opening a pipe would wait for its other end forever; without O_BINARY, Windows changes lines.
    return os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def open_file(place: Path, clock: Callable[[], int]) -> Opened:
    file = _descriptor(place)
    try:
        return Opened(file, Look.of(os.fstat(file), clock()))
    except BaseException:
        os.close(file)
        raise


def close_opened(opened: Opened) -> None:
    os.close(opened.file)


def look_at(file: int | None, place: Path, clock: Callable[[], int]) -> Look:
    try:
        return Look.of(place.stat(), clock())
    except OSError:
        if file is None:
            raise
        return Look.of(os.fstat(file), clock())


def look_sample_and_close(
    file: int,
    place: Path,
    earlier: Look,
    samples: str,
    clock: Callable[[], int],
    on_close: Callable[[bool], object],
) -> None:
    """Close a file that is still the same, and say so; it stays open if that can't be told by its looks."""
    if look_at(file, place, clock).proves(earlier) and _sample(file, earlier.size) == samples:
        on_close(True)
        os.close(file)


def _read_at(file: int, position: threading.Lock, view: memoryview, first: int) -> int:
    """Read into `view` from a place in a file. Its position stays untouched, where the system allows that; else one
    thread at a time reads."""
    if hasattr(os, "preadv"):
        return os.preadv(file, [view], first)
    if hasattr(os, "pread"):
        piece = os.pread(file, len(view), first)
    else:
        with position:
            os.lseek(file, first, os.SEEK_SET)
            piece = os.read(file, len(view))
    view[: len(piece)] = piece
    return len(piece)


@wrap
def read_and_hash(file: int, position: threading.Lock, view: memoryview, first: int) -> tuple[int, str]:
    """Fill `view` from a place in a file: how many bytes there were, and their MD5, taken while they are warm.

    Each call of the system lets go of the interpreter's lock and then has to wait for it, which takes longer than the
    call does: so there are as few of them as can be.
    """
    hashing = hashlib.md5(usedforsecurity=False)
    done = 0
    while done < len(view):
        count = _read_at(file, position, view[done : done + STRETCH], first + done)
        if count == 0:
            break
        hashing.update(view[done : done + count])
        done += count
        if done < len(view):
            give_way()
    return done, hashing.hexdigest()


@wrap
def hash_range(file: int, position: threading.Lock, first: int, size: int) -> str:
    """The MD5 of bytes of a file, which are not kept."""
    hashing = hashlib.md5(usedforsecurity=False)
    view = memoryview(bytearray(min(size, STRETCH)))
    done = 0
    while done < size:
        count = _read_at(file, position, view[: size - done], first + done)
        if count == 0:
            break
        hashing.update(view[:count])
        done += count
        give_way()
    return hashing.hexdigest()


def _sample(file: int, size: int) -> str:
    """A digest of the head, the middle and the tail of a file."""
    alone = threading.Lock()
    view = memoryview(bytearray(SAMPLE))

    def read(first: int) -> memoryview:
        return view[: _read_at(file, alone, view, first)]

    return sampled(read, size)


def sampled(read: Callable[[int], memoryview], size: int) -> str:
    """A digest of the head, the middle and the tail of so many bytes: the same for a file and for its bytes in memory.

    Args:
        read: the bytes from an index on, `SAMPLE` of them unless they end before.
        size: how many bytes there are.
    """
    hashing = hashlib.blake2b(digest_size=16)
    for first in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
        hashing.update(read(first))
    return hashing.hexdigest()
