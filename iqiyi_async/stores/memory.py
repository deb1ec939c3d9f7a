"""Stores that live as long as the object: for one process, and for tests.

What belongs here: the plainest thing that keeps the two protocols. What must not: anything that outlives the process.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs

from ..models import ChunkReceipt, JournalEntry, Phase, StoredToken, Token
from ._turns import Turns

__all__ = ["MemoryJournal", "MemoryTokenStore"]


class MemoryTokenStore:
    """Tokens in memory: shared by all clients that are given the same store, forgotten with it.

    It may be used from several event loops, one after the other.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, StoredToken] = {}
        self._turns = Turns()

    async def load(self, key: str) -> StoredToken | None:
        """The newest token of a key, or None."""
        return self._tokens.get(key)

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        """Write a token if the key's version is still `expected`; None if it is not."""
        current = self._tokens.get(key)
        version = None if current is None else current.version
        if version != expected:
            return None
        written = StoredToken((version or 0) + 1, token)
        self._tokens[key] = written
        return written

    @asynccontextmanager
    async def lease(self, key: str, *, ttl: float) -> AsyncGenerator[None, None]:
        """Be the only one that renews this key; served in the order of arrival.

        Args:
            key: the account.
            ttl: not needed here: no task dies without leaving.
        """
        async with self._turns.of(key):
            yield

    def __repr__(self) -> str:
        return f"<MemoryTokenStore with {len(self._tokens)} key(s)>"


class MemoryJournal:
    """A journal in memory: an upload that failed goes on within the same process; a crash of the process loses it.

    Args:
        clock: seconds, never going back; leases are counted by it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, JournalEntry] = {}
        # Ranges are kept apart from their entry, so that adding one costs the same however many there are.
        self._ranges: dict[str, list[ChunkReceipt]] = {}
        self._leases: dict[str, tuple[str, float]] = {}

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take or prolong the lease of a key for `ttl` seconds; False if another owner holds it."""
        now = self._clock()
        holder, expires = self._leases.get(key, (owner, now))
        if holder != owner and expires > now:
            return False
        self._leases[key] = (owner, now + ttl)
        return True

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if `owner` holds it."""
        if self._leases.get(key, ("", 0.0))[0] == owner:
            del self._leases[key]

    async def load(self, key: str) -> JournalEntry | None:
        """The entry of a key, or None."""
        entry = self._entries.get(key)
        return None if entry is None else attrs.evolve(entry, accepted=tuple(self._ranges[key]))

    async def begin(self, key: str, entry: JournalEntry) -> None:
        """Write a new entry, in place of whatever was there."""
        self._entries[key] = attrs.evolve(entry, accepted=())
        self._ranges[key] = list(entry.accepted)

    async def record(self, key: str, file_id: str, chunk: ChunkReceipt) -> None:
        """Add one accepted range; ignored if the key's entry has another file_id."""
        if self._is(key, file_id):
            self._ranges[key].append(chunk)

    async def advance(self, key: str, file_id: str, phase: Phase) -> None:
        """Note that an upload has reached a phase; ignored if the key's entry has another file_id."""
        if self._is(key, file_id):
            self._entries[key] = attrs.evolve(self._entries[key], phase=phase)

    async def forget(self, key: str) -> None:
        """Remove an entry and its ranges."""
        self._entries.pop(key, None)
        self._ranges.pop(key, None)

    async def aclose(self) -> None:
        """Nothing to let go of; what is kept stays for the next use."""

    def _is(self, key: str, file_id: str) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.file_id == file_id

    def __repr__(self) -> str:
        return f"<MemoryJournal with {len(self._entries)} upload(s)>"
