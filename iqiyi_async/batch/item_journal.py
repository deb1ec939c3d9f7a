"""The ledger as the journal of one item: its fence is the upload's, and there is no second lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .._concurrency import run_to_completion
from ..models import ChunkReceipt, JournalEntry, Phase
from .heartbeat import Heartbeat
from .ledger.base import Ledger, LedgerError

T = TypeVar("T")

#: A ledger that can't be reached is asked again, so often and after so many seconds, before an upload has to know.
TRIES, FIRST_WAIT = 6, 0.1


class ItemJournal:
    """An `UploadJournal` for the upload of one claimed item.

    Args:
        ledger: the item's.
        number: of the item.
        fence: of its claim.
        heartbeat: renews the claim.
        begun: whether an earlier claim may have left an upload.
    """

    def __init__(self, ledger: Ledger, number: int, fence: int, heartbeat: Heartbeat, *, begun: bool = True) -> None:
        self.shared: bool = ledger.shared
        self.ordered: bool = ledger.completes
        self.completes: bool = ledger.completes
        #: The ledger did not take a write: what the upload ends with is not the item's fault.
        self.refused: bool = False
        #: Finished uploads of other items that may have the same bytes, by their file_id.
        self.found: dict[str, JournalEntry] = {}
        self._ledger = ledger
        self._held = (number, fence)
        self._heartbeat = heartbeat
        self._begun = begun
        self._key = ""
        self._file_id = ""

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        """The fence of the claim, if it is still held; None for every other upload."""
        if self._key not in ("", key):
            return None
        self._key = key
        number, fence = self._held
        if self._heartbeat.fresh(number, fence):
            return fence
        kept = await self._kept(lambda: self._ledger.renew([self._held], self._heartbeat.claim_seconds))
        return fence if number in kept else None

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        """Whether the next heartbeat has renewed the claim."""
        return await self._heartbeat.renew(*self._held)

    async def release(self, key: str, fence: int) -> bool:
        """The claim is the runner's, who ends it."""
        return True

    async def load(self, key: str) -> JournalEntry | None:
        """What an earlier run has left of the item's upload."""
        if not self._begun:
            return None
        entry = await self._kept(lambda: self._ledger.load(self._held[0], key))
        self._file_id = "" if entry is None else entry.file_id
        return entry

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        """Write the upload, in place of whatever was there."""
        self._begun = True
        self._file_id = entry.file_id
        return self._told(await self._kept(lambda: self._ledger.begin(self._held, entry)))

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        """Add an accepted range."""
        return self._told(await self._ledger.record(self._held, self._file_id, chunk))

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        """Note that the upload has reached a phase. That it is finished is written with the item's end, which follows
        at once."""
        if phase is Phase.FINISHED:
            return True
        return self._told(await self._kept(lambda: self._ledger.advance(self._held, phase)))

    async def forget(self, key: str, fence: int | None = None) -> bool:
        """Remove the upload; by hand only through the batch."""
        if fence is None:
            return False
        return self._told(await self._kept(lambda: self._ledger.forget(self._held)))

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        """Finished uploads of other items that may have the same bytes."""
        entries = await self._kept(lambda: self._ledger.find(self._held[0], size, digest))
        self.found.update((each.file_id, each) for each in entries)
        return entries

    async def aclose(self) -> None:
        """The ledger stays open."""

    def _told(self, kept: bool) -> bool:
        self.refused = self.refused or not kept
        return kept

    async def _kept(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask a ledger that may be restarting; what is asked may be asked again."""
        try:
            return await call()
        except LedgerError:
            pass
        return await run_to_completion(self._again(call))

    async def _again(self, call: Callable[[], Awaitable[T]]) -> T:
        attempt = 1
        while True:
            await asyncio.sleep(min(FIRST_WAIT * 2**attempt, self._heartbeat.lease_seconds / 10))
            attempt += 1
            try:
                return await call()
            except LedgerError:
                if attempt == TRIES:
                    self.refused = True
                    raise
