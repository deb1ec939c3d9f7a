"""What an upload journal must prove.

What belongs here: tests of the `UploadJournal` protocol, whatever is behind it.
"""

from __future__ import annotations

import asyncio

import attrs

from ..models import ChunkReceipt, Fingerprint, JournalEntry, Phase
from ..stores.base import UploadJournal
from ._contract import KEY, OTHER, Contract, cancelled, together

__all__ = ["JournalContract"]

#: A lease that no test outlives, and one that a test waits for, in seconds.
LONG, SHORT = 300.0, 0.3

ENTRY = JournalEntry("file-1", "http://qichuan.iqiyi.com/upload?a=1", Fingerprint(50_000_000, 1_700_000_000, 7, "d1"))


def chunk(first: int, last: int, attempts: int = 1) -> ChunkReceipt:
    """A range with an MD5 that is its own."""
    return ChunkReceipt(first, last, f"{first:016x}{last:016x}", attempts)


class JournalContract(Contract[UploadJournal]):
    """Tests of an `UploadJournal`. Define `make`, and `again` if its content can be opened by somebody else."""

    async def reopened(self, journal: UploadJournal) -> UploadJournal:
        """The same journal after it was closed, as a process finds it that starts later."""
        await journal.aclose()
        return await self.again(journal)

    async def test_an_unknown_key_holds_nothing(self) -> None:
        async with self.opened() as journal:
            assert await journal.load(KEY) is None

    async def test_what_is_unknown_is_not_brought_to_life(self) -> None:
        async with self.opened() as journal:
            await journal.record(KEY, "file-1", chunk(0, 9))
            await journal.advance(KEY, "file-1", Phase.FINISHED)
            await journal.forget(KEY)
            await journal.release(KEY, "nobody")
            assert await journal.load(KEY) is None

    async def test_an_entry_comes_back_whole(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            assert await journal.load(KEY) == ENTRY

    async def test_any_entry_comes_back_as_it_was(self) -> None:
        """Large files, file systems that count inodes up to 2**64, files older than 1970, names in any script."""
        mark = Fingerprint(size=5 * 2**40, mtime_ns=-(2**62), inode=2**64 - 1, digest="文件")
        whole = (chunk(2**40, 5 * 2**40 - 1, attempts=9), chunk(0, 2**40 - 1))
        odd = JournalEntry('file "quoted"; 视频', "http://[::1]:1/ü?'--", mark, Phase.FINISHING, whole)
        async with self.opened() as journal:
            await journal.begin(KEY, odd)
            assert await journal.load(KEY) == odd

    async def test_ranges_come_back_in_the_order_of_their_acceptance(self) -> None:
        ranges = [chunk(30, 39), chunk(0, 9), chunk(90, 99, attempts=3)]
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            for each in ranges:
                await journal.record(KEY, ENTRY.file_id, each)
            assert await _ranges(journal) == ranges

    async def test_ranges_that_overlap_or_repeat_are_all_kept(self) -> None:
        ranges = [chunk(0, 9), chunk(5, 14), chunk(0, 9), chunk(2, 3)]
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            for each in ranges:
                await journal.record(KEY, ENTRY.file_id, each)
            assert await _ranges(journal) == ranges

    async def test_ranges_follow_those_that_an_entry_began_with(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, attrs.evolve(ENTRY, accepted=(chunk(0, 9),)))
            await journal.record(KEY, ENTRY.file_id, chunk(10, 19))
            assert await _ranges(journal) == [chunk(0, 9), chunk(10, 19)]

    async def test_beginning_replaces_everything(self) -> None:
        fresh = attrs.evolve(ENTRY, file_id="file-2", fingerprint=Fingerprint(5, 6, 7, "d2"))
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.record(KEY, ENTRY.file_id, chunk(0, 9))
            await journal.advance(KEY, ENTRY.file_id, Phase.FINISHED)
            await journal.begin(KEY, fresh)
            assert await journal.load(KEY) == fresh

    async def test_beginning_with_the_same_file_id_forgets_its_ranges(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.record(KEY, ENTRY.file_id, chunk(0, 9))
            await journal.begin(KEY, ENTRY)
            assert await journal.load(KEY) == ENTRY

    async def test_what_belongs_to_another_file_id_is_ignored(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.record(KEY, "file-0", chunk(0, 9))
            await journal.advance(KEY, "file-0", Phase.FINISHED)
            assert await journal.load(KEY) == ENTRY

    async def test_phases_follow_each_other_and_keep_the_ranges(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.record(KEY, ENTRY.file_id, chunk(0, 9))
            for phase in (Phase.SENDING, Phase.FINISHING, Phase.FINISHED, Phase.FINISHED):
                await journal.advance(KEY, ENTRY.file_id, phase)
                assert await journal.load(KEY) == attrs.evolve(ENTRY, phase=phase, accepted=(chunk(0, 9),))

    async def test_a_forgotten_entry_is_gone_with_its_ranges(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.record(KEY, ENTRY.file_id, chunk(0, 9))
            await journal.forget(KEY)
            assert await journal.load(KEY) is None
            await journal.begin(KEY, ENTRY)
            assert await journal.load(KEY) == ENTRY

    async def test_keys_do_not_meet(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.begin(OTHER, ENTRY)
            await journal.record(OTHER, ENTRY.file_id, chunk(0, 9))
            await journal.forget(KEY)
            assert await journal.load(KEY) is None
            assert await journal.load(OTHER) == attrs.evolve(ENTRY, accepted=(chunk(0, 9),))

    async def test_of_many_records_at_once_none_gets_lost(self) -> None:
        ranges = [chunk(10 * n, 10 * n + 9) for n in range(60)]
        async with self.opened_twice() as journals:
            await journals[0].begin(KEY, ENTRY)
            await together(*(journals[n % 2].record(KEY, ENTRY.file_id, each) for n, each in enumerate(ranges)))
            kept = await _ranges(journals[1])
            assert sorted(kept, key=lambda each: each.first) == ranges

    async def test_a_cancelled_record_is_there_or_not_and_the_journal_goes_on(self) -> None:
        async with self.opened_twice() as (journal, same):
            await journal.begin(KEY, ENTRY)
            told: list[ChunkReceipt] = []

            async def record(each: ChunkReceipt) -> None:
                await journal.record(KEY, ENTRY.file_id, each)
                told.append(each)

            for step in range(15):
                tasks = [asyncio.create_task(record(chunk(100 * step + n, 100 * step + n))) for n in range(4)]
                await asyncio.sleep(step * 0.0002)
                await cancelled(*tasks)
            await record(chunk(10_000, 10_001))
            kept = await _ranges(same)
            assert set(told) <= set(kept), "a range is missing that was reported as written"
            assert len(kept) == len(set(kept)), "a range was written twice"

    async def test_everything_is_there_after_closing_and_opening(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.record(KEY, ENTRY.file_id, chunk(0, 9))
            await journal.advance(KEY, ENTRY.file_id, Phase.FINISHING)
            later = await self.reopened(journal)
            entry = attrs.evolve(ENTRY, phase=Phase.FINISHING, accepted=(chunk(0, 9),))
            assert await later.load(KEY) == entry
            await self.close(later)

    async def test_closing_twice_does_no_harm_and_a_closed_journal_opens_again(self) -> None:
        async with self.opened() as journal:
            await journal.begin(KEY, ENTRY)
            await journal.aclose()
            await journal.aclose()
            await journal.record(KEY, ENTRY.file_id, chunk(0, 9))
            assert await _ranges(journal) == [chunk(0, 9)]

    async def test_a_lease_has_one_owner_who_may_prolong_it(self) -> None:
        async with self.opened_twice() as (journal, same):
            assert await journal.acquire(KEY, "one", LONG)
            assert not await same.acquire(KEY, "two", LONG)
            assert await same.acquire(KEY, "one", LONG)
            assert not await journal.acquire(KEY, "two", LONG)

    async def test_of_many_who_ask_for_a_lease_one_gets_it(self) -> None:
        async with self.opened_twice() as journals:
            asked = await together(*(journals[n % 2].acquire(KEY, f"owner {n}", LONG) for n in range(20)))
            assert asked.count(True) == 1

    async def test_only_its_owner_can_give_a_lease_back(self) -> None:
        async with self.opened_twice() as (journal, same):
            assert await journal.acquire(KEY, "one", LONG)
            await same.release(KEY, "two")
            assert not await same.acquire(KEY, "two", LONG)
            await journal.release(KEY, "one")
            assert await same.acquire(KEY, "two", LONG)

    async def test_a_lease_ends_by_itself(self) -> None:
        async with self.opened_twice() as (journal, same):
            assert await journal.acquire(KEY, "dead", SHORT)
            await asyncio.sleep(SHORT * 1.2)
            assert await same.acquire(KEY, "next", LONG)
            await journal.release(KEY, "dead")
            assert not await journal.acquire(KEY, "dead", LONG), "a lease was given back by who had lost it"

    async def test_a_prolonged_lease_lasts(self) -> None:
        async with self.opened_twice() as (journal, same):
            assert await journal.acquire(KEY, "one", SHORT)
            assert await journal.acquire(KEY, "one", LONG)
            await asyncio.sleep(SHORT * 1.2)
            assert not await same.acquire(KEY, "two", LONG)

    async def test_leases_of_two_keys_do_not_meet(self) -> None:
        async with self.opened() as journal:
            assert await journal.acquire(KEY, "one", LONG)
            assert await journal.acquire(OTHER, "two", LONG)
            await journal.release(OTHER, "two")
            assert not await journal.acquire(KEY, "two", LONG)

    async def test_leases_and_entries_do_not_touch_each_other(self) -> None:
        async with self.opened() as journal:
            assert await journal.acquire(KEY, "one", LONG)
            await journal.begin(KEY, ENTRY)
            await journal.forget(KEY)
            assert not await journal.acquire(KEY, "two", LONG)
            await journal.begin(KEY, ENTRY)
            await journal.release(KEY, "one")
            assert await journal.load(KEY) == ENTRY

    async def test_a_lease_is_still_there_after_closing_and_opening(self) -> None:
        async with self.opened() as journal:
            assert await journal.acquire(KEY, "one", LONG)
            later = await self.reopened(journal)
            assert not await later.acquire(KEY, "two", LONG)
            await self.close(later)

    async def test_it_keeps_the_protocol(self) -> None:
        async with self.opened() as journal:
            assert isinstance(journal, UploadJournal)


async def _ranges(journal: UploadJournal) -> list[ChunkReceipt]:
    entry = await journal.load(KEY)
    assert entry is not None, "the entry is gone"
    return list(entry.accepted)
