"""What a token store and an upload journal must do, and the values they keep.

What belongs here: the two protocols, so that anyone can write a store of their own and prove it with
`iqiyi_async.testing`. What must not: how tokens are renewed (`_auth`) or uploads resumed (`upload`); a store only
keeps things, safely.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from ..errors import ConfigurationError
from ..models import ChunkReceipt, JournalEntry, Phase, StoredToken, Token


@runtime_checkable
class TokenStore(Protocol):
    """Where access tokens are kept, for any number of tasks and, if it can, processes.

    A key names one account at one service; it is a short hexadecimal string and holds no secret. Whatever goes wrong
    may leave as `OSError`, or as an error of the store's own library; the client then goes on with the token it has
    in memory as long as that lives.
    """

    async def load(self, key: str) -> StoredToken | None:
        """Read the newest token of a key.

        Args:
            key: the account.

        Returns:
            The token and the number of its write; None if there is none, or if what is there can't be read.
        """
        ...

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> StoredToken | None:
        """Write a token if no other has been written since. Comparing and writing are one step.

        Args:
            key: the account.
            expected: the version that was read; None if there was no token.
            token: what to write. Its version is greater than any before it.

        Returns:
            What was written, or None if another holder has written since; then nothing has changed.
        """
        ...

    def lease(self, key: str, *, ttl: float) -> AbstractAsyncContextManager[None]:
        """Be the only one, among all who share the store, that renews this key.

        Entering waits for its turn; cancelling the wait leaves nothing behind. The lease of a holder that died ends
        by itself: at once where the system notices, otherwise after `ttl` seconds. A lease that
        has ended early does no harm: `compare_and_set` keeps the newest token from being lost.

        Args:
            key: the account.
            ttl: the longest time in seconds for which a holder that died keeps the lease.

        Returns:
            An async context manager. Leaving it gives the lease back, also when the task is being cancelled.
        """
        ...


@runtime_checkable
class UploadJournal(Protocol):
    """What survives a crash of an upload. A key names one source in one account and group (short, hexadecimal).

    Each claim of a key has a fence: a number that is never given twice, whatever became of the journal in between.
    Each write carries it, and has no effect (False) when another claim has been made since, or when the claim is not
    there any more.

    A journal may fail (disk full, no access) with `OSError` or an error of its own library. After a crash at any
    moment, what was reported as written is there, or the entry as it was before; never half of one. `begin` and
    `advance` also survive a loss of power.

    Attributes:
        shared: whether machines share it. An upload whose lease can't be renewed is then stopped before it is over. A
            journal without this attribute counts as shared.

    A journal may also have ``async unfinished(account)``, which returns the keys and entries of an account's uploads
    that are not finished, as a tuple of pairs: `iter_unfinished` needs it.

    A journal may have an attribute `ordered`, which is True where calls that are made at the same time take effect in
    the order in which they were made. An upload then makes some of them without waiting for the one before.

    A journal may have an attribute `completes`, which is True where a call that changes something is carried out to its
    end even if its caller is cancelled, who is held until then; a derived class has to say so again. Otherwise an
    upload sees to that, with a task for each call.
    """

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        """Claim a key for `ttl` seconds.

        Args:
            key: the upload.
            owner: who claims it: a name that nobody else has. Its own earlier claim ends.
            ttl: seconds after which the claim is over unless it is renewed.

        Returns:
            The fence of the claim, ``max(last + 1, microseconds since 1970)``; None while another owner holds the key.
        """
        ...

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        """Hold a key for `ttl` more seconds, from now on.

        Args:
            key: the upload.
            fence: the number that `acquire` gave.
            ttl: seconds.

        Returns:
            Whether the claim still holds. False: another claim has been made, or the claim is not there any more.
        """
        ...

    async def release(self, key: str, fence: int) -> bool:
        """Give a claim back, so that another owner gets the key at once.

        Args:
            key: the upload.
            fence: the number that `acquire` gave.

        Returns:
            False if the claim was not there any more.
        """
        ...

    async def load(self, key: str) -> JournalEntry | None:
        """Read the entry of a key, with its ranges in the order in which they were recorded.

        Args:
            key: the upload.

        Returns:
            The entry; None if there is none, or if what is there can't be read or is of another version.
        """
        ...

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        """Write an entry with its ranges, in place of whatever was there. On the disk when it returns.

        Args:
            key: the upload.
            fence: the number that `acquire` gave.
            entry: what to write. The journal sets its `key` and `changed`.

        Returns:
            False if the claim is lost; then nothing has changed.
        """
        ...

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        """Add one accepted range. It must cost the same however many there are; a large upload has thousands.

        Args:
            key: the upload.
            fence: the number that `acquire` gave.
            chunk: the range.

        Returns:
            False if the claim is lost or there is no entry; then nothing has changed.
        """
        ...

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        """Note that an upload has reached a phase. On the disk when it returns.

        Args:
            key: the upload.
            fence: the number that `acquire` gave.
            phase: the new one. The journal sets `changed` too.

        Returns:
            False if the claim is lost or there is no entry; then nothing has changed.
        """
        ...

    async def forget(self, key: str, fence: int | None = None) -> bool:
        """Remove an entry and its ranges, but not its lease.

        Args:
            key: the upload.
            fence: of the claim. None is for removal by hand, which is refused while anybody holds the key.

        Returns:
            Whether it may be removed. False: the claim is lost, or another owner holds the key.
        """
        ...

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        """Look for uploads of the same bytes.

        Args:
            size: of the source, in bytes.
            digest: of its samples, see `Fingerprint`.

        Returns:
            The entries whose fingerprint has both, with their ranges.
        """
        ...

    async def aclose(self) -> None:
        """Let go of files and connections. The journal opens them again when it is used again."""
        ...


#: What a journal has to have.
_METHODS = ("acquire", "renew", "release", "load", "begin", "record", "advance", "forget", "find", "aclose")


def check_journal(journal: object) -> None:
    """Refuse what is no journal, or one of an earlier release.

    Raises:
        ConfigurationError: a method is missing; the error names it.
    """
    if isinstance(journal, type):
        raise ConfigurationError(f"journal is the class {journal.__name__}: give an object of it, {journal.__name__}()")
    missing = [name for name in _METHODS if not callable(getattr(journal, name, None))]
    if missing:
        raise ConfigurationError(
            f"journal, a {type(journal).__name__}, is no UploadJournal: it has no {', '.join(missing)}"
            + (
                "; it was written for version 0.1, see UploadJournal for what has changed"
                if len(missing) < len(_METHODS)
                else ""
            )
        )
