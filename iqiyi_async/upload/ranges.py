"""Which ranges are still to be sent: arithmetic on whole numbers, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

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


def ranges(size: int, chunk_size: int | Callable[[], int], accepted: Iterable[Range] = ()) -> Iterator[Range]:
    """What is still to be sent of a file, cut into chunks; with what is accepted it covers every byte, and no two
    overlap. Where the size of a chunk may change on the way, it is asked for before each."""
    for gap in gaps(size, accepted):
        at = gap.first
        while at < gap.end:
            part = Range(at, min(chunk_size if isinstance(chunk_size, int) else chunk_size(), gap.end - at))
            yield part
            at = part.end


def covered(size: int, accepted: Iterable[Range]) -> int:
    """How many bytes of a file are accepted."""
    return size - sum(gap.size for gap in gaps(size, accepted))
