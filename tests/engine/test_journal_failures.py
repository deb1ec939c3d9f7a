"""A journal that fails under way: the upload goes on at its own speed."""

from __future__ import annotations

import asyncio

import pytest

from iqiyi_async import ChunkReceipt, MemoryJournal
from iqiyi_async.models import JournalEntry

from .servers import Asked, Service
from .tools import NAME, cloud, content, in_time

pytestmark = pytest.mark.anyio

CHUNK = 10_000


class Locked(MemoryJournal):
    """Another program has locked it: each write waits for a while, and fails.

    Attributes:
        locked: whether it is.
        tried: how many writes have failed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.locked = False
        self.tried = 0

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        await self._wait()
        return await super().record(key, fence, chunk)

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        await self._wait()
        return await super().begin(key, fence, entry)

    async def _wait(self) -> None:
        if self.locked:
            await asyncio.sleep(0.2)
            self.tried += 1
            raise OSError("database is locked")


async def test_a_locked_journal_does_not_hold_up_each_range(service: Service) -> None:
    journal = Locked()

    async def lock(asked: Asked) -> None:
        journal.locked = True

    service.hooks["upload_chunk"] = lock
    async with cloud(service.url, journal=journal, chunk_size=CHUNK, max_workers=1) as client:
        receipt = await in_time(client.upload(content(50 * CHUNK), NAME, file_type="mp4"), 5)
    assert service.published == [receipt.file_id]
    assert journal.tried <= 3
