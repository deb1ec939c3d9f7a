"""What survives a crash: the engine's way to its journal.

What belongs here: the lease, and the rule that a journal which fails never fails the upload; it says so once, and the
upload goes on without it. What must not: how a journal keeps things (`stores`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import attrs

from ..errors import UploadError
from ..models import ChunkReceipt, Fingerprint, JournalEntry, Metadata, Phase, UploadTicket
from ..stores.base import UploadJournal
from .source import settled

logger: logging.Logger = logging.getLogger(__name__)

#: A process that dies keeps others from its uploads for this long, in seconds.
LEASE_SECONDS = 60.0


def journal_key(account: str, identity: str, file_type: str, metadata: Metadata) -> str:
    """The name of one source with one description in one account; it gives nothing of them away."""
    parts = [account, identity, file_type, *attrs.astuple(metadata, recurse=False)]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


class JournalSession:
    """One upload's page in the journal. Without a journal, or once it failed, it does nothing."""

    def __init__(self, journal: UploadJournal | None, key: str) -> None:
        self._given = self._journal = journal
        self._key = key
        self._owner = "" if journal is None else secrets.token_hex(8)
        self._file_id = ""
        self._lost = False

    @property
    def active(self) -> bool:
        """Whether there is a journal that works."""
        return self._journal is not None

    @asynccontextmanager
    async def claimed(self) -> AsyncGenerator[JournalEntry | None, None]:
        """Hold the lease of this upload, and get what an earlier run has left; where there is a journal.

        Raises:
            UploadError: another run, here or in another process, is at it.
        """
        journal = self._journal
        assert journal is not None
        keeper: asyncio.Task[None] | None = None
        try:
            await self._acquire()
            keeper = asyncio.create_task(self._keep_lease(), name="iqiyi-async journal lease")
            with self._may_fail():
                entry = await journal.load(self._key) if self.active else None
                self._file_id = "" if entry is None else entry.file_id
            yield entry if self.active else None
        finally:
            # Also after a cancelled wait for the lease: it may have been given when nobody wanted it any more.
            await settled(self._let_go(keeper))

    def check(self) -> None:
        """Look whether the lease is still ours.

        Raises:
            UploadError: it was not prolonged in time, and another run took it.
        """
        if self._lost:
            raise UploadError(
                "another process has taken this upload over: this one was stopped for longer than its lease",
                file_id=self._file_id,
                resumable=True,
            )

    async def begin(self, ticket: UploadTicket, fingerprint: Fingerprint) -> None:
        """Write a new entry, before the first byte is sent."""
        self._file_id = ticket.file_id
        with self._may_fail():
            if self._journal is not None:
                entry = JournalEntry(ticket.file_id, ticket.upload_url, fingerprint)
                await settled(self._journal.begin(self._key, entry))

    async def record(self, chunk: ChunkReceipt) -> None:
        """Add an accepted range."""
        with self._may_fail():
            if self._journal is not None:
                await settled(self._journal.record(self._key, self._file_id, chunk))

    async def advance(self, phase: Phase) -> None:
        """Note how far the upload is."""
        with self._may_fail():
            if self._journal is not None:
                await settled(self._journal.advance(self._key, self._file_id, phase))

    async def forget(self) -> None:
        """Remove the entry."""
        with self._may_fail():
            if self._journal is not None:
                await settled(self._journal.forget(self._key))

    async def _acquire(self) -> None:
        with self._may_fail():
            if self._journal is None or await settled(self._journal.acquire(self._key, self._owner, LEASE_SECONDS)):
                return
            raise UploadError(
                "this source is being uploaded already, by this or another process; if that one has died, its claim"
                f" ends within {LEASE_SECONDS:.0f} s",
                retryable=True,
                resumable=True,
            )

    async def _keep_lease(self) -> None:
        while self._journal is not None and not self._lost:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with self._may_fail():
                self._lost = not await settled(self._journal.acquire(self._key, self._owner, LEASE_SECONDS))

    async def _let_go(self, keeper: asyncio.Task[None] | None) -> None:
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        with self._may_fail():
            # Also of a journal that was given up: whoever comes next must not wait for the lease to expire.
            if self._given is not None:
                await self._given.release(self._key, self._owner)

    @contextmanager
    def _may_fail(self) -> Generator[None, None, None]:
        try:
            yield
        except UploadError:
            raise
        except Exception as problem:  # noqa: BLE001 - a journal of the caller's may raise whatever its library does
            if self._journal is not None:
                self._journal = None
                kind = type(problem).__name__
                logger.warning("the upload journal failed (%s: %s); the upload goes on without it", kind, problem)
