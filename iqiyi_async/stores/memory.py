"""Stores that live as long as the object: for one process, and for tests.

What belongs here: the plainest thing that keeps the two protocols. What must not: anything that outlives the process.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import islice

import attrs

from ..models import ChunkReceipt, JournalEntry, Phase, StoredToken, Token
from ._turns import Turns
from .gateway import EXPIRED_FOR, GatewayRecord, GatewayState

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
        wall_clock: seconds since 1970; fences and the age of entries are counted by it.
    """

    shared = False

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._entries: dict[str, JournalEntry] = {}
        # Ranges are kept apart from their entry, so that adding one costs the same however many there are.
        self._ranges: dict[str, list[ChunkReceipt]] = {}
        self._leases: dict[str, tuple[str, int, float]] = {}
        self._last_fence = 0
        self._gateway: dict[str, GatewayRecord] = {}

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        """Claim a key for `ttl` seconds: its fence, or None while another owner holds it."""
        now = self._clock()
        holder, _, expires = self._leases.get(key, (owner, 0, now))
        if holder != owner and expires > now:
            return None
        self._last_fence = max(self._last_fence + 1, int(self._wall_clock() * 1e6))
        self._leases[key] = (owner, self._last_fence, now + ttl)
        return self._last_fence

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        """Hold a key for `ttl` more seconds."""
        if not self._holds(key, fence):
            return False
        self._leases[key] = (self._leases[key][0], fence, self._clock() + ttl)
        return True

    async def release(self, key: str, fence: int) -> bool:
        """Give a claim back."""
        if not self._holds(key, fence):
            return False
        del self._leases[key]
        return True

    async def load(self, key: str) -> JournalEntry | None:
        """The entry of a key, or None."""
        entry = self._entries.get(key)
        return None if entry is None else attrs.evolve(entry, accepted=tuple(self._ranges[key]))

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        """Write an entry with its ranges, in place of whatever was there."""
        if not self._holds(key, fence):
            return False
        self._prune()
        self._entries[key] = attrs.evolve(entry, key=key, accepted=(), changed=self._wall_clock())
        self._ranges[key] = list(entry.accepted)
        return True

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        """Add one accepted range."""
        if not self._holds(key, fence) or key not in self._entries:
            return False
        self._ranges[key].append(chunk)
        return True

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        """Note that an upload has reached a phase."""
        if not self._holds(key, fence) or key not in self._entries:
            return False
        self._entries[key] = attrs.evolve(self._entries[key], phase=phase, changed=self._wall_clock())
        return True

    async def forget(self, key: str, fence: int | None = None) -> bool:
        """Remove an entry and its ranges; without a fence only while nobody holds the key."""
        if fence is None:
            _, _, expires = self._leases.get(key, ("", 0, 0.0))
            if key in self._leases and expires > self._clock():
                return False
        elif not self._holds(key, fence):
            return False
        self._entries.pop(key, None)
        self._ranges.pop(key, None)
        return True

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        """The entries whose sources have this size and this digest of samples."""
        marks = [(key, entry.fingerprint) for key, entry in self._entries.items()]
        found = [await self.load(key) for key, mark in marks if (mark.size, mark.digest) == (size, digest)]
        return tuple(entry for entry in found if entry is not None)

    async def unfinished(self, account: str) -> tuple[tuple[str, JournalEntry], ...]:
        """Keys and entries of an account's uploads that are not finished."""
        keys = [
            key
            for key, entry in self._entries.items()
            if entry.account == account and entry.phase is not Phase.FINISHED
        ]
        found = [(key, await self.load(key)) for key in keys]
        return tuple((key, entry) for key, entry in found if entry is not None)

    async def create_upload(self, record: GatewayRecord) -> bool:
        """Add the record of an upload through a gateway; False if its key is taken."""
        if record.key in self._gateway:
            return False
        self._gateway[record.key] = attrs.evolve(record, releases=0)
        return True

    async def load_upload(self, key: str) -> GatewayRecord | None:
        """The record of an upload through a gateway, or None."""
        return self._gateway.get(key)

    async def set_offset(self, key: str, fence: int, offset: int, received: int, expires: float) -> bool:
        """Note how far an upload through a gateway is."""
        record = self._gateway.get(key)
        if record is None or not self._holds(key, fence):
            return False
        self._gateway[key] = attrs.evolve(record, offset=offset, received=received, expires=expires)
        return True

    async def update_upload(self, record: GatewayRecord, fence: int) -> bool:
        """Write the record of an upload through a gateway again."""
        known = self._gateway.get(record.key)
        if known is None or not self._holds(record.key, fence):
            return False
        self._gateway[record.key] = attrs.evolve(record, owner=known.owner, releases=known.releases)
        return True

    async def request_release(self, key: str) -> bool:
        """Ask the holder of the lease of an upload through a gateway to give it back."""
        record = self._gateway.get(key)
        if record is None:
            return False
        self._gateway[key] = attrs.evolve(record, releases=record.releases + 1)
        return True

    async def expire_uploads(self, limit: int = 50) -> tuple[GatewayRecord, ...]:
        """End uploads through a gateway whose time is over: those that have ended by this call."""
        now = self._wall_clock()
        over = [record for record in self._gateway.values() if record.expires < now]
        for record in [each for each in over if each.state.ended][:limit]:
            del self._gateway[record.key]
        ended = [
            attrs.evolve(each, state=GatewayState.EXPIRED, expires=now + EXPIRED_FOR)
            for each in over
            if not each.state.ended
        ][:limit]
        self._gateway.update({record.key: record for record in ended})
        return tuple(ended)

    async def aclose(self) -> None:
        """Nothing to let go of; what is kept stays for the next use."""

    def _holds(self, key: str, fence: int) -> bool:
        lease = self._leases.get(key)
        return lease is not None and lease[1] == fence

    def _prune(self) -> None:
        """Forget a few of the finished uploads whose time is over: the oldest, which were begun first."""
        now = self._wall_clock()
        for key, entry in list(islice(self._entries.items(), 8)):
            if entry.phase is Phase.FINISHED and entry.changed + entry.remember < now:
                del self._entries[key], self._ranges[key]

    def __repr__(self) -> str:
        return f"<MemoryJournal with {len(self._entries)} upload(s)>"
