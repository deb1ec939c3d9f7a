"""What an upload journal must prove: tests of the `UploadJournal` protocol, whatever is behind it."""

from __future__ import annotations

import asyncio
import time

import attrs

from ..models import ChunkReceipt, Fingerprint, JournalEntry, Phase
from ..stores.base import UploadJournal, check_journal
from ._contract import KEY, OTHER, Contract, cancelled, together

__all__ = ["JournalContract"]

#: A lease that no test outlives, and one that a test waits for, in seconds.
LONG, SHORT = 300.0, 0.3

ENTRY = JournalEntry(
    "file-1",
    "http://qichuan.iqiyi.com/upload?a=1",
    Fingerprint(50_000_000, 1_700_000_000, 7, "d1", 66, 1_700_000_001),
    name="/films/海南.mp4",
    account="0a1b",
    group="tenant 7",
    file_type="mp4",
    metadata="9f",
)


def chunk(first: int, last: int, attempts: int = 1) -> ChunkReceipt:
    """A range with an MD5 that is its own."""
    return ChunkReceipt(first, last, f"{first:016x}{last:016x}", attempts)


def plain(entry: JournalEntry | None) -> JournalEntry | None:
    """An entry without what the journal itself adds to it."""
    return None if entry is None else attrs.evolve(entry, changed=0.0, key="")


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
            fence = await self.claimed(journal)
            assert not await journal.record(KEY, fence, chunk(0, 9))
            assert not await journal.advance(KEY, fence, Phase.FINISHED)
            assert await journal.load(KEY) is None

    async def test_an_entry_comes_back_whole(self) -> None:
        async with self.opened() as journal:
            before = time.time()
            await self.begun(journal)
            entry = await journal.load(KEY)
            assert plain(entry) == ENTRY
            assert entry is not None
            assert entry.key == KEY
            assert before - 3600 < entry.changed < time.time() + 3600

    async def test_any_entry_comes_back_as_it_was(self) -> None:
        """Large files, file systems that count inodes up to 2**64, files older than 1970, names in any script."""
        mark = Fingerprint(5 * 2**40, -(2**62), 2**64 - 1, "文件", 2**63, -1)
        whole = (chunk(2**40, 5 * 2**40 - 1, attempts=9), chunk(0, 2**40 - 1))
        odd = attrs.evolve(
            ENTRY,
            fingerprint=mark,
            phase=Phase.FINISHING,
            accepted=whole,
            name="a 'quoted' \"name\"",
            group="",
            metadata="",
            remember=0.5,
        )
        async with self.opened() as journal:
            await self.begun(journal, odd)
            assert plain(await journal.load(KEY)) == odd

    async def test_ranges_come_back_in_the_order_of_their_acceptance(self) -> None:
        ranges = [chunk(30, 39), chunk(0, 9), chunk(90, 99, attempts=3)]
        async with self.opened() as journal:
            fence = await self.begun(journal)
            for each in ranges:
                assert await journal.record(KEY, fence, each)
            assert await _ranges(journal) == ranges

    async def test_ranges_that_overlap_or_repeat_are_all_kept(self) -> None:
        ranges = [chunk(0, 9), chunk(5, 14), chunk(0, 9), chunk(2, 3)]
        async with self.opened() as journal:
            fence = await self.begun(journal)
            for each in ranges:
                await journal.record(KEY, fence, each)
            assert await _ranges(journal) == ranges

    async def test_ranges_follow_those_that_an_entry_began_with(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal, attrs.evolve(ENTRY, accepted=(chunk(0, 9),)))
            await journal.record(KEY, fence, chunk(10, 19))
            assert await _ranges(journal) == [chunk(0, 9), chunk(10, 19)]

    async def test_beginning_replaces_everything(self) -> None:
        fresh = attrs.evolve(ENTRY, file_id="file-2", fingerprint=Fingerprint(500, 6, 7, "d2"), name="other")
        async with self.opened() as journal:
            fence = await self.begun(journal)
            await journal.record(KEY, fence, chunk(0, 9))
            await journal.advance(KEY, fence, Phase.FINISHED)
            assert await journal.begin(KEY, fence, fresh)
            assert plain(await journal.load(KEY)) == fresh

    async def test_beginning_with_the_same_file_id_forgets_its_ranges(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            await journal.record(KEY, fence, chunk(0, 9))
            await journal.begin(KEY, fence, ENTRY)
            assert plain(await journal.load(KEY)) == ENTRY

    async def test_phases_are_kept_with_the_ranges(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            await journal.record(KEY, fence, chunk(0, 9))
            for phase in (Phase.SENDING, Phase.FINISHING, Phase.CANCELLING, Phase.SENDING, Phase.FINISHED):
                assert await journal.advance(KEY, fence, phase)
                expected = attrs.evolve(ENTRY, phase=phase, accepted=(chunk(0, 9),))
                assert plain(await journal.load(KEY)) == expected

    async def test_a_forgotten_entry_is_gone_with_its_ranges(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            await journal.record(KEY, fence, chunk(0, 9))
            assert await journal.forget(KEY, fence)
            assert await journal.load(KEY) is None
            await journal.begin(KEY, fence, ENTRY)
            assert plain(await journal.load(KEY)) == ENTRY

    async def test_forgetting_by_hand_waits_for_no_lease_and_breaks_none(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            assert not await journal.forget(KEY), "somebody holds it"
            assert await journal.release(KEY, fence)
            assert await journal.forget(KEY)
            assert await journal.load(KEY) is None

    async def test_keys_do_not_meet(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            other = await journal.acquire(OTHER, "one", LONG)
            assert other is not None
            await journal.begin(OTHER, other, ENTRY)
            await journal.record(OTHER, other, chunk(0, 9))
            await journal.forget(KEY, fence)
            assert await journal.load(KEY) is None
            assert plain(await journal.load(OTHER)) == attrs.evolve(ENTRY, accepted=(chunk(0, 9),))

    async def test_entries_are_found_by_their_content(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            await journal.record(KEY, fence, chunk(0, 9))
            mark = ENTRY.fingerprint
            (found,) = await journal.find(mark.size, mark.digest)
            assert plain(found) == attrs.evolve(ENTRY, accepted=(chunk(0, 9),))
            assert found.key == KEY
            assert await journal.find(mark.size + 1, mark.digest) == ()
            assert await journal.find(mark.size, "another") == ()

    async def test_of_many_records_at_once_none_gets_lost(self) -> None:
        ranges = [chunk(10 * n, 10 * n + 9) for n in range(60)]
        async with self.opened_twice() as journals:
            fence = await self.begun(journals[0])
            await together(*(journals[n % 2].record(KEY, fence, each) for n, each in enumerate(ranges)))
            kept = await _ranges(journals[1])
            assert sorted(kept, key=lambda each: each.first) == ranges

    async def test_a_cancelled_record_is_there_or_not_and_the_journal_goes_on(self) -> None:
        async with self.opened_twice() as (journal, same):
            fence = await self.begun(journal)
            told: list[ChunkReceipt] = []

            async def record(each: ChunkReceipt) -> None:
                assert await journal.record(KEY, fence, each)
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
            fence = await self.begun(journal)
            await journal.record(KEY, fence, chunk(0, 9))
            await journal.advance(KEY, fence, Phase.FINISHING)
            later = await self.reopened(journal)
            entry = attrs.evolve(ENTRY, phase=Phase.FINISHING, accepted=(chunk(0, 9),))
            assert plain(await later.load(KEY)) == entry
            await self.close(later)

    async def test_closing_twice_does_no_harm_and_a_closed_journal_opens_again(self) -> None:
        async with self.opened() as journal:
            await self.begun(journal)
            await journal.aclose()
            await journal.aclose()
            assert plain(await journal.load(KEY)) == ENTRY

    # Leases and fences

    async def test_a_lease_has_one_owner(self) -> None:
        async with self.opened_twice() as (journal, same):
            first = await self.claimed(journal)
            assert await same.acquire(KEY, "two", LONG) is None
            second = await same.acquire(KEY, "one", LONG)
            assert second is not None
            assert second > first, "a claim of the same owner is a new one"
            assert await journal.acquire(KEY, "two", LONG) is None

    async def test_of_many_who_ask_for_a_lease_one_gets_it(self) -> None:
        async with self.opened_twice() as journals:
            asked = await together(*(journals[n % 2].acquire(KEY, f"owner {n}", LONG) for n in range(20)))
            assert len([fence for fence in asked if fence is not None]) == 1

    async def test_no_fence_is_given_twice(self) -> None:
        async with self.opened_twice() as journals:
            given: list[int] = []
            for n in range(6):
                fence = await journals[n % 2].acquire(KEY, f"owner {n}", LONG)
                assert fence is not None
                given.append(fence)
                assert await journals[n % 2].release(KEY, fence)
            assert given == sorted(set(given))
            assert given[0] > 1_700_000_000_000_000, "microseconds since 1970, so that a new journal repeats none"

    async def test_only_its_fence_gives_a_lease_back(self) -> None:
        async with self.opened_twice() as (journal, same):
            fence = await self.claimed(journal)
            assert not await same.release(KEY, fence - 1)
            assert await same.acquire(KEY, "two", LONG) is None
            assert await journal.release(KEY, fence)
            assert not await journal.release(KEY, fence)
            assert await same.acquire(KEY, "two", LONG) is not None

    async def test_a_lease_ends_by_itself(self) -> None:
        async with self.opened_twice() as (journal, same):
            old = await journal.acquire(KEY, "dead", SHORT)
            assert old is not None
            await asyncio.sleep(SHORT * 1.3)
            assert await same.acquire(KEY, "next", LONG) is not None
            assert not await journal.release(KEY, old)
            assert await journal.acquire(KEY, "dead", LONG) is None, "a lease was given back by one who had lost it"

    async def test_a_renewed_lease_lasts(self) -> None:
        async with self.opened_twice() as (journal, same):
            fence = await journal.acquire(KEY, "one", SHORT)
            assert fence is not None
            assert await journal.renew(KEY, fence, LONG)
            await asyncio.sleep(SHORT * 1.3)
            assert await same.acquire(KEY, "two", LONG) is None

    async def test_an_old_fence_changes_nothing(self) -> None:
        """A process that was stopped past its lease wakes up while another goes on with its upload."""
        async with self.opened_twice() as (journal, same):
            old = await journal.acquire(KEY, "stopped", SHORT)
            assert old is not None
            assert await journal.begin(KEY, old, ENTRY)
            await asyncio.sleep(SHORT * 1.3)
            new = await same.acquire(KEY, "next", LONG)
            assert new is not None
            assert await same.record(KEY, new, chunk(0, 9))
            assert not await journal.renew(KEY, old, LONG)
            assert not await journal.record(KEY, old, chunk(10, 19))
            assert not await journal.advance(KEY, old, Phase.FINISHING)
            assert not await journal.advance(KEY, old, Phase.CANCELLING)
            assert not await journal.begin(KEY, old, attrs.evolve(ENTRY, file_id="file-2"))
            assert not await journal.forget(KEY, old)
            assert not await journal.release(KEY, old)
            assert plain(await same.load(KEY)) == attrs.evolve(ENTRY, accepted=(chunk(0, 9),))
            assert await same.advance(KEY, new, Phase.FINISHING)

    async def test_a_fence_that_was_given_back_changes_nothing(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            await journal.release(KEY, fence)
            assert not await journal.record(KEY, fence, chunk(0, 9))
            assert not await journal.advance(KEY, fence, Phase.FINISHED)
            assert not await journal.renew(KEY, fence, LONG)
            assert plain(await journal.load(KEY)) == ENTRY

    async def test_a_lease_that_is_over_and_not_taken_still_writes(self) -> None:
        async with self.opened() as journal:
            fence = await journal.acquire(KEY, "slow", SHORT)
            assert fence is not None
            await asyncio.sleep(SHORT * 1.3)
            assert await journal.begin(KEY, fence, ENTRY)

    async def test_leases_of_two_keys_do_not_meet(self) -> None:
        async with self.opened() as journal:
            fence = await self.claimed(journal)
            other = await journal.acquire(OTHER, "two", LONG)
            assert other is not None
            await journal.release(OTHER, other)
            assert await journal.acquire(KEY, "two", LONG) is None
            assert await journal.renew(KEY, fence, LONG)

    async def test_leases_and_entries_do_not_touch_each_other(self) -> None:
        async with self.opened() as journal:
            fence = await self.begun(journal)
            await journal.forget(KEY, fence)
            assert await journal.acquire(KEY, "two", LONG) is None
            await journal.begin(KEY, fence, ENTRY)
            await journal.release(KEY, fence)
            assert plain(await journal.load(KEY)) == ENTRY

    async def test_it_keeps_the_protocol(self) -> None:
        async with self.opened() as journal:
            check_journal(journal)
            assert isinstance(getattr(journal, "shared", True), bool)

    async def claimed(self, journal: UploadJournal) -> int:
        """Claim the key for a long time: the fence."""
        fence = await journal.acquire(KEY, "one", LONG)
        assert fence is not None
        return fence

    async def begun(self, journal: UploadJournal, entry: JournalEntry = ENTRY) -> int:
        """Claim the key and begin an upload: the fence."""
        fence = await self.claimed(journal)
        assert await journal.begin(KEY, fence, entry)
        return fence


async def _ranges(journal: UploadJournal) -> list[ChunkReceipt]:
    entry = await journal.load(KEY)
    assert entry is not None, "the entry is gone"
    return list(entry.accepted)
