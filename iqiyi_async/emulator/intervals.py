"""Which bytes of a video the service holds, and where they lie in its data file: arithmetic on ranges.

Every chunk is written to a region of its own at the end of the data file, and becomes part of the video with one `add`
when it is whole. So a chunk that breaks off changes nothing, and two writers of one range cannot mix their bytes: the
last one to be accepted replaces the other entirely.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple


class Interval(NamedTuple):
    """Bytes `first` up to, not including, `end` of the video, at `offset` of the data file."""

    first: int
    end: int
    offset: int


def _first(interval: Interval) -> int:
    return interval.first


def _end(interval: Interval) -> int:
    return interval.end


class IntervalMap:
    """The accepted bytes of one video: sorted, disjoint intervals."""

    def __init__(self) -> None:
        self._intervals: list[Interval] = []
        self.covered: int = 0

    def __iter__(self) -> Iterator[Interval]:
        return iter(tuple(self._intervals))

    @property
    def top(self) -> int:
        """The data file's first byte behind everything accepted."""
        return max((interval.offset + interval.end - interval.first for interval in self._intervals), default=0)

    def add(self, interval: Interval) -> None:
        """Accept these bytes; they replace what was there."""
        lo = bisect_right(self._intervals, interval.first, key=_end)
        hi = bisect_left(self._intervals, interval.end, lo, key=_first)
        replaced = self._intervals[lo:hi]
        fresh = [interval]
        if replaced:
            head, tail = replaced[0], replaced[-1]
            if head.first < interval.first:
                fresh.insert(0, Interval(head.first, interval.first, head.offset))
            if tail.end > interval.end:
                fresh.append(Interval(interval.end, tail.end, tail.offset + interval.end - tail.first))
        self.covered += sum(e.end - e.first for e in fresh) - sum(e.end - e.first for e in replaced)
        self._intervals[lo:hi] = fresh
        self._join(lo, lo + len(fresh))

    def _join(self, lo: int, hi: int) -> None:
        """Make one interval of neighbours that also lie side by side in the data file."""
        for at in range(min(hi, len(self._intervals) - 1), max(lo, 1) - 1, -1):
            left, right = self._intervals[at - 1], self._intervals[at]
            if left.end == right.first and left.offset + left.end - left.first == right.offset:
                self._intervals[at - 1 : at + 1] = [Interval(left.first, right.end, left.offset)]

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The accepted ranges as the protocol writes them: first and last byte, inclusive, merged."""
        merged: list[tuple[int, int]] = []
        for interval in self._intervals:
            if merged and merged[-1][1] + 1 == interval.first:
                merged[-1] = (merged[-1][0], interval.end - 1)
            else:
                merged.append((interval.first, interval.end - 1))
        return tuple(merged)

    def pieces(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Where bytes `first` up to `end` lie: pairs of offset in the data file and length. Gaps are left out."""
        at = bisect_right(self._intervals, first, key=_end)
        while at < len(self._intervals) and self._intervals[at].first < end:
            interval = self._intervals[at]
            start, stop = max(first, interval.first), min(end, interval.end)
            yield interval.offset + start - interval.first, stop - start
            at += 1
