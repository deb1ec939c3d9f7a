"""Which bytes of a video the service holds, and where they lie in its data file.

What belongs here: arithmetic on ranges. What must not: files, clocks, rules of the service.

Every chunk is written to a region of its own at the end of the data file, and only becomes part of the video when it
is
whole: one `add`. So a chunk that breaks off changes nothing, and two writers of one range cannot mix their bytes: the
last one to be accepted wins, entirely.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple


class Extent(NamedTuple):
    """Bytes `first` up to, not including, `end` of the video, at `offset` of the data file."""

    first: int
    end: int
    offset: int


def _first(extent: Extent) -> int:
    return extent.first


def _end(extent: Extent) -> int:
    return extent.end


class Extents:
    """The accepted bytes of one video: sorted, disjoint extents."""

    def __init__(self) -> None:
        self._extents: list[Extent] = []
        self.covered: int = 0

    def __iter__(self) -> Iterator[Extent]:
        return iter(tuple(self._extents))

    @property
    def top(self) -> int:
        """The data file's first byte behind everything accepted."""
        return max((extent.offset + extent.end - extent.first for extent in self._extents), default=0)

    def add(self, extent: Extent) -> None:
        """Accept these bytes; they replace what was there."""
        lo = bisect_right(self._extents, extent.first, key=_end)
        hi = bisect_left(self._extents, extent.end, lo, key=_first)
        replaced = self._extents[lo:hi]
        fresh = [extent]
        if replaced:
            head, tail = replaced[0], replaced[-1]
            if head.first < extent.first:
                fresh.insert(0, Extent(head.first, extent.first, head.offset))
            if tail.end > extent.end:
                fresh.append(Extent(extent.end, tail.end, tail.offset + extent.end - tail.first))
        self.covered += sum(e.end - e.first for e in fresh) - sum(e.end - e.first for e in replaced)
        self._extents[lo:hi] = fresh
        self._join(lo, lo + len(fresh))

    def _join(self, lo: int, hi: int) -> None:
        """Make one extent of neighbours that also lie side by side in the data file."""
        for at in range(min(hi, len(self._extents) - 1), max(lo, 1) - 1, -1):
            left, right = self._extents[at - 1], self._extents[at]
            if left.end == right.first and left.offset + left.end - left.first == right.offset:
                self._extents[at - 1 : at + 1] = [Extent(left.first, right.end, left.offset)]

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The accepted ranges as the protocol writes them: first and last byte, inclusive, merged."""
        merged: list[tuple[int, int]] = []
        for extent in self._extents:
            if merged and merged[-1][1] + 1 == extent.first:
                merged[-1] = (merged[-1][0], extent.end - 1)
            else:
                merged.append((extent.first, extent.end - 1))
        return tuple(merged)

    def pieces(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Where bytes `first` up to `end` lie: pairs of offset in the data file and length. Gaps are left out."""
        at = bisect_right(self._extents, first, key=_end)
        while at < len(self._extents) and self._extents[at].first < end:
            extent = self._extents[at]
            start, stop = max(first, extent.first), min(end, extent.end)
            yield extent.offset + start - extent.first, stop - start
            at += 1
