"""Which calls one upload makes of its journal, and which of them it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest

from iqiyi_async import ChunkReceipt, MemoryJournal, UploadError
from iqiyi_async.models import Fingerprint, JournalEntry, Phase
from iqiyi_async.upload.journal.session import JournalSession

from .tools import in_time, until

pytestmark = pytest.mark.anyio

KEY = "page"
ENTRY = JournalEntry("file", "http://u/upload", Fingerprint(100, 0, 0, "digest"), key=KEY)
FIRST, LAST = ChunkReceipt(0, 49, "md5"), ChunkReceipt(50, 99, "md5 too")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Watched(MemoryJournal):
    """A journal that counts its calls.

    Attributes:
        calls: the names of the calls so far.
        failing: the names of those that fail, and how many seconds of `time` they take for it.
        time: a clock that stands still otherwise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failing: dict[str, float] = {}
        self.time = Clock()
        self._slow: dict[str, asyncio.Event] = {}

    @contextmanager
    def slow(self, name: str) -> Iterator[None]:
        """Calls of a name end no sooner than this."""
        end = self._slow[name] = asyncio.Event()
        try:
            yield
        finally:
            end.set()

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            self.time.now += self.failing[name]
            raise OSError(f"no {name}")
        if name in self._slow:
            await self._slow[name].wait()

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        await self._called("renew")
        return await super().renew(key, fence, ttl)

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        await self._called("begin")
        return await super().begin(key, fence, entry)

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        await self._called("record")
        return await super().record(key, fence, chunk)

    async def forget(self, key: str, fence: int) -> bool:
        await self._called("forget")
        return await super().forget(key, fence)


class Ordered(Watched):
    """One whose calls take effect in the order in which they are made."""

    ordered = True


def session(journal: Any, **options: Any) -> JournalSession:
    return JournalSession(journal, KEY, **options)


async def test_an_entry_that_misses_nothing_is_written_once() -> None:
    journal = Watched()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        await page.record(FIRST)
        await page.announce(Phase.FINISHING)
    async with (again := session(journal)).lease() as left:
        assert left is not None
        again.resume(left)
        await again.record(LAST)
        await again.announce(Phase.FINISHING)
    assert journal.calls == ["begin", "record", "record"]


async def test_one_that_misses_a_range_is_written_again_before_finish_only() -> None:
    journal = Watched()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        journal.failing = {"record": 0.0}
        await page.record(FIRST)
        journal.failing = {}
        await page.announce(Phase.CANCELLING)
        assert journal.calls == ["begin", "record"]
        await page.announce(Phase.FINISHING)
        assert journal.calls == ["begin", "record", "begin"]
        await page.announce(Phase.FINISHING)
        assert journal.calls == ["begin", "record", "begin"], "nothing is missing any more"
    found = await journal.load(KEY)
    assert found is not None
    assert found.accepted == (FIRST,)


async def test_a_journal_that_fails_slowly_is_left_alone_for_ten_times_as_long() -> None:
    journal = Watched()
    page = session(journal, clock=journal.time)
    async with page.lease():
        await page.begin(ENTRY)
        await page.record(FIRST)
        assert journal.calls.count("record") == 1, "one that has never failed is not left alone"
        journal.time.now = 7.0
        journal.failing = {"record": 2.0}
        await page.record(FIRST)
        assert journal.calls.count("record") == 2
        journal.time.now += 19.5
        await page.record(FIRST)
        assert journal.calls.count("record") == 2
        journal.time.now += 0.5
        await page.record(FIRST)
        assert journal.calls.count("record") == 3


@pytest.mark.parametrize("resumed", [False, True])
async def test_the_last_range_is_waited_for_by_what_follows_it(resumed: bool) -> None:
    journal, half = Ordered(), attrs.evolve(ENTRY, accepted=(FIRST,))
    page = session(journal)
    async with page.lease():
        if resumed:
            page.resume(half)
        else:
            await page.begin(half)
        with journal.slow("record"):
            await until(asyncio.ensure_future(page.record(LAST)).done)
            finish = asyncio.ensure_future(page.announce(Phase.FINISHING))
            await until(lambda: "record" in journal.calls)
            assert not finish.done()
        await in_time(finish)


@pytest.mark.parametrize("missing", [1, 50])
async def test_a_range_that_leaves_bytes_to_send_is_waited_for(missing: int) -> None:
    journal = Ordered()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        await record_is_waited_for(journal, page, ChunkReceipt(0, 99 - missing, "md5"))


async def record_is_waited_for(journal: Watched, page: JournalSession, chunk: ChunkReceipt) -> None:
    with journal.slow("record"):
        recorded = asyncio.ensure_future(page.record(chunk))
        await until(lambda: "record" in journal.calls)
        await asyncio.sleep(0)
        assert not recorded.done()
    await in_time(recorded)


async def test_a_journal_that_does_not_keep_the_order_is_waited_for_each_time() -> None:
    journal = Watched()
    page = session(journal)
    async with page.lease():
        await page.begin(attrs.evolve(ENTRY, accepted=(FIRST,)))
        await record_is_waited_for(journal, page, LAST)


async def test_the_journal_is_asked_for_the_lease_only_when_it_may_be_over() -> None:
    journal = Watched()
    page = session(journal, clock=journal.time)
    async with page.lease():
        journal.time.now = 53.9
        await page.confirm()
        assert journal.calls == []
        journal.time.now = 54.0
        await page.confirm()
        assert journal.calls == ["renew"]
        await page.confirm()
        assert journal.calls == ["renew"]


async def test_a_journal_that_does_not_say_so_is_shared_by_machines() -> None:
    class Plain:
        """No more than the protocol asks for."""

        def __init__(self) -> None:
            inner = MemoryJournal()
            self.acquire, self.load, self.release = inner.acquire, inner.load, inner.release

    clock = Clock()
    page = session(Plain(), clock=clock)
    async with page.lease():
        clock.now = 54.0
        with pytest.raises(UploadError, match="could not be renewed in time"):
            page.check()


async def test_who_has_lost_the_lease_forgets_nothing_of_the_other_run() -> None:
    journal = Watched()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        assert await journal.acquire(KEY, "thief", 60)
        with pytest.raises(UploadError, match="another process"):
            await page.record(FIRST)
        await page.forget()
    assert "forget" not in journal.calls


async def test_a_lease_that_is_lost_is_renewed_no_more() -> None:
    journal, lost = Watched(), list[UploadError]()
    page = session(journal, lease_seconds=0.06, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        assert await journal.acquire(KEY, "thief", 60)
        await until(lambda: bool(lost))
        renewals = journal.calls.count("renew")
        await asyncio.sleep(0.1)
        assert journal.calls.count("renew") == renewals


async def test_nothing_is_lost_with_the_lease_of_a_journal_that_is_not_used_any_more() -> None:
    journal = Watched()
    journal.failing = {"begin": 0.0}
    page = session(journal, required=False, lease_seconds=0.06)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        renewals = journal.calls.count("renew")
        await until(lambda: journal.calls.count("renew") >= renewals + 2)
        assert not page.lost
        page.check()
