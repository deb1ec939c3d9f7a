"""The accepted ranges of an upload that are there without a gap from its first byte on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..models import ChunkReceipt


class Prefix:
    """Ranges in any order, and how far they reach. Of a range that is sent again, the last sending counts.

    Adding one takes no longer with many there: a large film has thousands, and its offset is asked for all the time.

    Args:
        ranges: those that are there, in the order in which they were accepted.
    """

    def __init__(self, ranges: Iterable[ChunkReceipt] = ()) -> None:
        self._by_first: dict[int, ChunkReceipt] = {chunk.first: chunk for chunk in ranges}
        self._ranges: list[ChunkReceipt] = []
        self._extend()

    @property
    def ranges(self) -> Sequence[ChunkReceipt]:
        """Those without a gap, in the order of their places."""
        return self._ranges

    @property
    def end(self) -> int:
        """The first byte that is not there."""
        return self._ranges[-1].last + 1 if self._ranges else 0

    def add(self, chunk: ChunkReceipt) -> None:
        """One more was accepted."""
        self._by_first[chunk.first] = chunk
        if chunk.first < self.end:
            self._ranges.clear()
        self._extend()

    def _extend(self) -> None:
        while (chunk := self._by_first.get(self.end)) is not None:
            self._ranges.append(chunk)
