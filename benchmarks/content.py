"""What the benchmark files hold, and the MD5 of any range of them without reading it.

A file is one short block repeated, so the MD5 of a range depends only on where in the block it begins and on its
length. The state of the hash after every whole number of blocks is kept; what is left to hash is less than one block.
What must not be here: anything that knows about HTTP.
"""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

#: Bytes after which a file repeats itself. Every chunk size in use is a multiple of it.
PERIOD = 64 * KIB

#: The longest range whose MD5 is prepared (bytes); a longer one is hashed once and remembered.
PREPARED = 64 * MIB

NAMES = ("random", "zero")


class Content:
    """The content of a benchmark file.

    Args:
        name: ``"random"`` (seeded, the same in every process) or ``"zero"`` (as a sparse file reads).
    """

    def __init__(self, name: str) -> None:
        if name not in NAMES:
            raise ValueError(f"no content of the name {name!r}")
        self.block = bytes(PERIOD) if name == "zero" else random.Random(20).randbytes(PERIOD)
        self._digests: dict[tuple[int, int], str] = {}
        self._states = [hashlib.md5(usedforsecurity=False)]

    def prepare(self) -> None:
        """Hash once what makes every later `md5` cheap; about a tenth of a second."""
        state = self._states[-1].copy()
        while len(self._states) <= PREPARED // PERIOD:
            state.update(self.block)
            self._states.append(state.copy())

    def md5(self, first: int, length: int) -> str:
        """The hex MD5 of `length` bytes from byte `first` on."""
        key = (first % PERIOD, length)
        if key not in self._digests:
            self._digests[key] = self._hash(*key)
        return self._digests[key]

    def read(self, first: int, length: int) -> bytes:
        """The bytes of a range, made rather than read."""
        phase = first % PERIOD
        return (self.block * ((phase + length) // PERIOD + 1))[phase : phase + length]

    def write(self, path: Path, size: int) -> None:
        """Make a file of `size` bytes, on the disk and in the page cache before this returns."""
        piece = self.block * (MIB // PERIOD)
        with path.open("wb", buffering=0) as file:
            for first in range(0, size, len(piece)):
                file.write(piece[: size - first])
            # Without it the kernel would write the file out in the middle of somebody's timing.
            os.fsync(file.fileno())

    def _hash(self, phase: int, length: int) -> str:
        blocks = length // PERIOD
        if phase == 0 and blocks < len(self._states):
            state = self._states[blocks].copy()
            state.update(self.block[: length % PERIOD])
            return state.hexdigest()
        state = hashlib.md5(self.block[phase : phase + length], usedforsecurity=False)
        for first in range(PERIOD - phase, length, PERIOD):
            state.update(self.block[: length - first])
        return state.hexdigest()


def write_sparse(path: Path, size: int) -> None:
    """Make a file of `size` zero bytes that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
