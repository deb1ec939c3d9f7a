"""Whether a source is the one whose upload was begun: by its looks, and by reading some of it again."""

from __future__ import annotations

from ..models import JournalEntry
from .ranges import Range
from .source import Source


async def is_same(source: Source, entry: JournalEntry) -> bool:
    """Hold a source against a journal's entry: its fingerprint, and the first, a middle and the last accepted range.

    A source that fails is never spliced onto what the service has of the other one.
    """
    if await source.fingerprint() != entry.fingerprint:
        return False
    known = sorted(entry.accepted, key=lambda chunk: chunk.first)
    if any(not 0 <= chunk.first <= chunk.last < source.size for chunk in known):
        return False
    for chunk in {known[0], known[len(known) // 2], known[-1]} if known else ():
        data = await source.read(Range(chunk.first, chunk.size), lambda size: memoryview(bytearray(size)))
        if data.md5 != chunk.md5:
            return False
    return True
