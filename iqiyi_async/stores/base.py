"""What a token store and an upload journal must do, and the values they keep.

What belongs here: the two protocols, so that anyone can write a store of their own and prove it with
`iqiyi_async.testing`. What must not: how tokens are renewed (`_auth`) or uploads resumed (`upload`); a store only
keeps things, safely.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from ..models import ChunkReceipt, JournalEntry, Phase, StoredToken, Token


@runtime_checkable
class TokenStore(Protocol):
    """Where access tokens are kept, for any number of tasks and, if it can, processes.

    A key names one account at one service; it is a short hexadecimal string and holds no secret. Whatever goes wrong
    may leave as `OSError`, or as an error of the store's own library; the client then goes on with the token it has
    in memory as long as that lives.
    """

    async def load(self, key: str) -> StoredToken | None:
        """The newest token of a key, or None. Unreadable content counts as None."""
        ...

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        """Write a token if the key's version is still `expected` (None: there is none yet).

        Returns:
            What was written, or None if somebody else has written meanwhile; then nothing has changed.
        """
        ...

    def lease(self, key: str, *, ttl: float) -> AbstractAsyncContextManager[None]:
        """Be the only one, among all who share the store, that renews this key.

        Entering waits for its turn; cancelling the wait leaves nothing behind. The lease of a holder that died ends
        by itself: at once where the system notices, otherwise after `ttl` seconds. That a lease has ended is no
        tragedy: `compare_and_set` keeps the newest token from being lost.
        """
        ...


@runtime_checkable
class UploadJournal(Protocol):
    """What survives a crash of an upload. A key names one source with one description in one account (short,
    hexadecimal).

    A journal may fail (disk full, no access) with `OSError` or an error of its own library: the upload then goes on
    without it. After a crash at any moment, what was reported as written is there, or the entry as it was before;
    never half of one.
    """

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take the lease of a key for `ttl` seconds, or prolong it if `owner` holds it already.

        Returns:
            False if another owner holds it and it has not expired.
        """
        ...

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back; nothing happens if `owner` does not hold it."""
        ...

    async def load(self, key: str) -> JournalEntry | None:
        """The entry of a key, or None. Unreadable content, or that of another version, counts as None."""
        ...

    async def begin(self, key: str, entry: JournalEntry) -> None:
        """Write a new entry, in place of whatever was there. Called before the first byte is sent."""
        ...

    async def record(self, key: str, file_id: str, chunk: ChunkReceipt) -> None:
        """Add one accepted range: O(1), whatever is there already. Ignored if the key's entry has another file_id."""
        ...

    async def advance(self, key: str, file_id: str, phase: Phase) -> None:
        """Note that an upload has reached a phase. Ignored if the key's entry has another file_id."""
        ...

    async def forget(self, key: str) -> None:
        """Remove an entry and its ranges (not its lease)."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections. The journal opens them again when it is used again."""
        ...
