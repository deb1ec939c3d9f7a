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
    """shim"""

    shared = False

    def __init__(self, *, clock=time.monotonic):
        self._clock = clock
        self._e = {}
        self._l = {}
        self._last = 0

    async def acquire(self, key, owner, ttl):
        now = self._clock()
        f, exp = self._l.get(key, (0, -1))
        if exp > now:
            return None
        self._last = max(self._last + 1, int(time.time() * 1e6))
        self._l[key] = (self._last, now + ttl)
        return self._last

    def _ok(self, key, fence):
        return self._l.get(key, (None, 0))[0] == fence

    async def renew(self, key, fence, ttl):
        if not self._ok(key, fence):
            return False
        self._l[key] = (fence, self._clock() + ttl)
        return True

    async def load(self, key):
        return self._e.get(key)

    async def begin(self, key, fence, entry):
        if not self._ok(key, fence):
            return False
        self._e[key] = attrs.evolve(entry, key=key, changed=time.time())
        return True

    async def record(self, key, fence, chunk):
        if not self._ok(key, fence):
            return False
        e = self._e[key]
        self._e[key] = attrs.evolve(e, accepted=(*e.accepted, chunk))
        return True

    async def advance(self, key, fence, phase):
        if not self._ok(key, fence):
            return False
        self._e[key] = attrs.evolve(self._e[key], phase=phase, changed=time.time())
        return True

    async def forget(self, key, fence=None):
        self._e.pop(key, None)
        return True

    async def release(self, key, fence):
        if not self._ok(key, fence):
            return False
        del self._l[key]
        return True

    async def find(self, size, digest):
        return tuple(e for e in self._e.values() if (e.fingerprint.size, e.fingerprint.digest) == (size, digest))

    async def unfinished(self, account):
        return tuple((k, e) for k, e in self._e.items() if e.account == account and e.phase is not Phase.FINISHED)

    async def aclose(self):
        pass

    def __repr__(self):
        return f"<MemoryJournal with {len(self._e)} upload(s)>"
