"""Which ranges are still to be sent: arithmetic on whole numbers, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs


@attrs.frozen
class Range:
    """`size` bytes from `first` on."""

    first: int
    size: int

    @property
    def end(self) -> int:
        """The index behind the last byte."""
        return self.first + self.size


def gaps(size: int, accepted: Iterable[Range]) -> Iterator[Range]:
    """What of a file is not accepted yet, in order. The accepted ranges may overlap, repeat, and come in any
    order."""
    at = 0
    for each in sorted(accepted, key=lambda each: each.first):
        if each.first > at:
            yield Range(at, min(each.first, size) - at)
        at = max(at, each.end)
        if at >= size:
            return
    yield Range(at, size - at)


def ranges(size: int, chunk_size: int, accepted: Iterable[Range] = ()) -> Iterator[Range]:
    """What is still to be sent of a file, cut into chunks. With what is accepted it covers every byte; no two
    overlap."""
    for gap in gaps(size, accepted):
        for first in range(gap.first, gap.end, chunk_size):
            yield Range(first, min(chunk_size, gap.end - first))


def covered(size: int, accepted: Iterable[Range]) -> int:
    """How many bytes of a file are accepted."""
    return size - sum(gap.size for gap in gaps(size, accepted))
