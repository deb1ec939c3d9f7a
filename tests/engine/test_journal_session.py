"""The page of one upload in a journal: what is written when, and what is done when it can't be."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

from iqiyi_async import ChunkReceipt, MemoryJournal, SqliteJournal, UploadError
from iqiyi_async._concurrency import Background
from iqiyi_async.models import Fingerprint, JournalEntry, Phase
from iqiyi_async.upload.journal.session import JournalSession
from iqiyi_async.upload.reading.base import AlreadyHeldError

from .tools import in_time, until

pytestmark = pytest.mark.anyio

KEY = "page"
ENTRY = JournalEntry("file", "http://u/upload", Fingerprint(100, 0, 0, "digest"), key=KEY)
CHUNK = ChunkReceipt(0, 49, "md5")


class Broken(MemoryJournal):
    """A journal whose operations fail as long as they are named; `shared` as it is told."""

    def __init__(self, *names: str, shared: bool = False) -> None:
        super().__init__()
        self.broken = set(names)
        self.shared = shared

    def _check(self, name: str) -> None:
        if name in self.broken:
            raise OSError(f"no {name}")

    async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
        self._check("acquire")
        return await super().acquire(key, owner, ttl)

    async def renew(self, key: str, fence: int, ttl: float) -> bool:
        self._check("renew")
        return await super().renew(key, fence, ttl)

    async def load(self, key: str) -> JournalEntry | None:
        self._check("load")
        return await super().load(key)

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        self._check("begin")
        return await super().begin(key, fence, entry)

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        self._check("record")
        return await super().record(key, fence, chunk)

    async def advance(self, key: str, fence: int, phase: Phase) -> bool:
        self._check("advance")
        return await super().advance(key, fence, phase)

    async def forget(self, key: str, fence: int) -> bool:
        self._check("forget")
        return await super().forget(key, fence)

    async def release(self, key: str, fence: int) -> bool:
        self._check("release")
        return await super().release(key, fence)

    async def find(self, size: int, digest: str) -> tuple[JournalEntry, ...]:
        self._check("find")
        return await super().find(size, digest)


def session(journal: Any, **options: Any) -> JournalSession:
    return JournalSession(journal, KEY, **options)


async def test_without_a_journal_everything_is_done_and_nothing_written() -> None:
    page = session(None)
    async with page.lease() as left:
        assert left is None
        assert not page.active
        assert await page.candidates(ENTRY.fingerprint) == ()
        assert not await page.adopt(ENTRY)
        await page.begin(ENTRY)
        await page.record(CHUNK)
        await page.change(ENTRY)
        await page.announce(Phase.FINISHING)
        await page.retract()
        await page.finished()
        assert page.accepted == [CHUNK]
        await page.forget()
        page.check()
    assert page.accepted == []


async def test_a_whole_upload_is_written() -> None:
    journal = MemoryJournal()
    page = session(journal)
    async with page.lease() as left:
        assert left is None
        await page.begin(ENTRY)
        await page.record(CHUNK)
        await page.change(attrs.evolve(ENTRY, upload_url="http://v/upload"))
        await page.announce(Phase.FINISHING)
        found = await journal.load(KEY)
        assert found is not None
        assert (found.phase, found.accepted, found.upload_url) == (Phase.FINISHING, (CHUNK,), "http://v/upload")
        await page.retract()
        found = await journal.load(KEY)
        assert found is not None
        assert found.phase is Phase.SENDING
        await page.finished()
    found = await journal.load(KEY)
    assert found is not None
    assert found.phase is Phase.FINISHED
    again = session(journal)
    async with again.lease() as left:
        assert left == found
        again.resume(found)
        assert again.accepted == [CHUNK]
        await again.forget()
    assert await journal.load(KEY) is None


async def test_only_one_holds_it() -> None:
    journal = MemoryJournal()
    async with session(journal).lease():
        with pytest.raises(AlreadyHeldError, match="ends within 60 s") as caught:
            async with session(journal).lease():
                pass
    assert caught.value.resumable
    assert caught.value.retryable
    async with session(journal).lease():
        pass


@pytest.mark.parametrize("name", ["acquire", "load"])
async def test_a_journal_that_can_not_be_asked_stops_an_upload_before_its_first_byte(name: str) -> None:
    with pytest.raises(UploadError, match=rf"can't be used \(OSError: no {name}\); no byte was sent") as caught:
        async with session(Broken(name)).lease():
            pass
    assert caught.value.retryable
    assert not caught.value.resumable, "nothing was begun"


@pytest.mark.parametrize("name", ["acquire", "load", "find", "begin"])
async def test_unless_it_is_not_required(name: str, caplog: pytest.LogCaptureFixture) -> None:
    page = session(Broken(name), required=False)
    async with page.lease() as left:
        assert left is None
        assert await page.candidates(ENTRY.fingerprint) == ()
        await page.begin(ENTRY)
        assert not await page.adopt(ENTRY)
        await page.record(CHUNK)
        await page.announce(Phase.FINISHING)
        await page.finished()
    assert not page.active
    assert len(caplog.records) == 1
    assert f"the upload journal failed (OSError: no {name})" in caplog.text


async def test_an_entry_of_another_name_is_adopted() -> None:
    journal = MemoryJournal()
    fence = await journal.acquire("other", "o", 60)
    assert fence is not None
    other = attrs.evolve(ENTRY, key="other")
    assert await journal.begin("other", fence, other)
    page = session(journal)
    async with page.lease():
        assert not await page.adopt(other), "its run still holds it"
        await journal.release("other", fence)
        assert not await page.adopt(attrs.evolve(other, file_id="gone")), "it is another upload by now"
        assert [each.key for each in await page.candidates(ENTRY.fingerprint)] == ["other"]
        assert await page.adopt(other)
        assert await page.candidates(ENTRY.fingerprint) == ()
    assert await journal.load("other") is None
    found = await journal.load(KEY)
    assert found is not None
    assert found.file_id == "file"
    page = session(journal)
    async with page.lease():
        assert not await page.adopt(other), "nothing is left of it"


async def test_adopting_needs_the_lease() -> None:
    journal = MemoryJournal()
    fence = await journal.acquire("other", "o", 60)
    assert fence is not None
    other = attrs.evolve(ENTRY, key="other")
    assert await journal.begin("other", fence, other)
    await journal.release("other", fence)
    page = session(journal)
    async with page.lease():
        await journal.release(KEY, page.fence)
        assert await journal.acquire(KEY, "thief", 60)
        assert not await page.adopt(other)
    assert await journal.load("other") is not None


@pytest.mark.parametrize("strict", [False, True])
async def test_ranges_may_be_lost_from_a_journal_under_way(strict: bool, caplog: pytest.LogCaptureFixture) -> None:
    page = session(Broken("record"), strict=strict)
    async with page.lease():
        await page.begin(ENTRY)
        if strict:
            with pytest.raises(OSError, match="no record"):
                await page.record(CHUNK)
        else:
            await page.record(CHUNK)
            await page.record(CHUNK)
            assert len(caplog.records) == 1


async def test_a_phase_may_not(caplog: pytest.LogCaptureFixture) -> None:
    journal = Broken()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        journal.broken = {"advance", "forget", "release"}
        with pytest.raises(UploadError, match="mend the journal") as caught:
            await page.announce(Phase.FINISHING)
        assert caught.value.resumable
        assert caught.value.retryable
        await page.retract()
        await page.finished()
        await page.forget()
    assert len(caplog.records) == 1
    assert "upload file goes on without it" in caplog.text


async def test_one_who_has_lost_the_lease_writes_nothing_more() -> None:
    journal, lost = MemoryJournal(), list[UploadError]()
    page = session(journal, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        theirs = await journal.acquire(KEY, "thief", 60)
        with pytest.raises(UploadError, match="another process has taken it over") as caught:
            await page.record(CHUNK)
        assert caught.value.resumable
        assert caught.value.retryable
        assert page.lost
        assert [each.file_id for each in lost] == ["file"]
        for step in (page.announce(Phase.FINISHING), asyncio.sleep(0, page.check)):
            with pytest.raises(UploadError, match="another process"):
                called = await step
                assert callable(called)
                called()
        await page.retract()
        await page.finished()
        await page.forget()
    found = await journal.load(KEY)
    assert found is not None
    assert found.phase is Phase.SENDING
    assert await journal.renew(KEY, theirs or 0, 60)


async def test_an_entry_in_a_journal_that_was_replaced_is_another_run_s() -> None:
    journal = Broken()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        with pytest.raises(UploadError, match="taken it over"):
            await page.record(CHUNK)


async def test_a_journal_that_was_removed_is_written_anew(caplog: pytest.LogCaptureFixture) -> None:
    journal = MemoryJournal()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        await page.record(CHUNK)
        await journal.forget(KEY, page.fence)
        await journal.release(KEY, page.fence)
        await page.announce(Phase.FINISHING)
        found = await journal.load(KEY)
        assert found is not None
        assert found.accepted == (CHUNK,)
        assert found.phase is Phase.FINISHING
    assert "was removed or replaced" in caplog.text


async def test_one_that_was_removed_while_finish_was_said_is_told_of_the_video() -> None:
    journal = MemoryJournal()
    page = session(journal)
    async with page.lease():
        await page.begin(ENTRY)
        await page.record(CHUNK)
        await page.announce(Phase.FINISHING)
        await journal.forget(KEY, page.fence)
        await journal.release(KEY, page.fence)
        await page.finished()
        found = await journal.load(KEY)
        assert found is not None
        assert (found.accepted, found.phase) == ((CHUNK,), Phase.FINISHED)


async def test_so_is_one_that_the_renewal_of_the_lease_has_found_removed() -> None:
    journal = MemoryJournal()
    page = session(journal, lease_seconds=0.06)
    async with page.lease():
        await page.begin(ENTRY)
        await page.announce(Phase.FINISHING)
        was = page.fence
        await journal.forget(KEY, was)
        await journal.release(KEY, was)
        await until(lambda: page.fence != was)
        found = await journal.load(KEY)
        assert found is not None
        assert found.phase is Phase.FINISHING
        await page.finished()
        found = await journal.load(KEY)
        assert found is not None
        assert found.phase is Phase.FINISHED


async def test_so_is_one_whose_lease_is_renewed_at_that_very_moment() -> None:
    class Replaced(MemoryJournal):
        """It is removed when the end of the upload is written, and the renewal of the lease finds that first."""

        async def advance(self, key: str, fence: int, phase: Phase) -> bool:
            if phase is Phase.FINISHED and fence == was:
                await self.forget(key, fence)
                await self.release(key, fence)
                await until(lambda: page.fence != was)
            return await super().advance(key, fence, phase)

    journal = Replaced()
    page = session(journal, lease_seconds=0.06)
    async with page.lease():
        await page.begin(ENTRY)
        was = page.fence
        await page.finished()
        found = await journal.load(KEY)
        assert found is not None
        assert found.phase is Phase.FINISHED


async def test_a_video_whose_upload_another_run_has_taken_over_is_a_success(caplog: pytest.LogCaptureFixture) -> None:
    journal, lost = MemoryJournal(), list[UploadError]()
    page = session(journal, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        await page.announce(Phase.FINISHING)
        await journal.release(KEY, page.fence)
        assert await journal.acquire(KEY, "other", 60.0)
        await page.finished()
    assert not lost
    assert "could not be told" in caplog.text


async def test_a_lease_that_could_not_be_given_back_is_no_obstacle_to_the_next_run() -> None:
    journal, unreleased = Broken("release"), dict[str, str]()
    async with session(journal, unreleased=unreleased).lease():
        pass
    journal.broken.clear()
    with pytest.raises(AlreadyHeldError):
        async with session(journal).lease():
            pass
    async with session(journal, unreleased=unreleased).lease():
        with pytest.raises(AlreadyHeldError):
            async with session(journal, unreleased=unreleased).lease():
                pass
    async with session(journal).lease():
        pass


async def test_so_is_one_of_a_journal_that_is_not_used_any_more() -> None:
    """It failed right after the lease was had, and is not required."""
    journal = Broken("load")
    async with session(journal, required=False).lease():
        pass
    async with session(journal, required=False).lease():
        pass


async def test_so_is_one_without_an_entry_yet() -> None:
    journal = MemoryJournal()
    page = session(journal)
    async with page.lease():
        await journal.release(KEY, page.fence)
        await page.begin(ENTRY)
        assert not page.lost
    assert await journal.load(KEY) is not None


async def test_one_that_can_not_say_who_has_it_is_lost() -> None:
    journal, lost = Broken(), list[UploadError]()
    page = session(journal, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        journal.broken = {"acquire"}
        with pytest.raises(UploadError, match="can't be asked whether"):
            await page.record(CHUNK)
    assert len(lost) == 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_lease_is_renewed_in_time() -> None:
    journal = MemoryJournal()
    page = session(journal, lease_seconds=0.09)
    async with page.lease():
        await asyncio.sleep(0.3)
        page.check()
        assert await journal.acquire(KEY, "thief", 60) is None
    assert await journal.acquire(KEY, "thief", 60)


@pytest.mark.parametrize("shared", [False, True])
async def test_one_that_can_not_be_renewed_is_given_up_when_machines_share_it(shared: bool) -> None:
    journal, clock, lost = Broken("renew", shared=shared), Clock(), list[UploadError]()
    page = session(journal, lease_seconds=0.06, clock=clock, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        clock.now = 0.05
        page.check()
        clock.now = 0.06
        if shared:
            await until(lambda: bool(lost))
            with pytest.raises(UploadError, match="could not be renewed in time"):
                page.check()
        else:
            await asyncio.sleep(0.05)
            page.check()
    assert bool(lost) is shared


async def test_a_clock_that_has_run_on_is_seen_before_the_next_renewal() -> None:
    clock = Clock()
    page = session(Broken(shared=True), clock=clock)
    async with page.lease():
        await page.begin(ENTRY)
        clock.now = 54.0
        with pytest.raises(UploadError, match="could not be renewed in time"):
            page.check()


async def test_a_renewal_finds_out_that_the_lease_is_lost() -> None:
    journal, lost = MemoryJournal(), list[UploadError]()
    page = session(journal, lease_seconds=0.06, on_lost=lost.append)
    async with page.lease():
        await page.begin(ENTRY)
        await journal.release(KEY, page.fence)
        assert await journal.acquire(KEY, "thief", 60)
        await until(lambda: bool(lost))
        with pytest.raises(UploadError):
            await page.record(CHUNK)


async def test_a_renewal_under_way_is_ended_with_the_lease() -> None:
    class Slow(MemoryJournal):
        async def renew(self, key: str, fence: int, ttl: float) -> bool:
            asked.set()
            return await asyncio.Event().wait()

    asked = asyncio.Event()
    page = session(Slow(), lease_seconds=0.06)
    async with page.lease():
        await in_time(asked.wait())


async def test_a_renewal_of_a_journal_that_is_not_used_any_more_says_nothing() -> None:
    class Slow(Broken):
        asked = 0

        async def renew(self, key: str, fence: int, ttl: float) -> bool:
            self.asked += 1
            await go.wait()
            return False

    go, journal = asyncio.Event(), Slow("begin")
    page = session(journal, required=False, lease_seconds=0.06)
    async with page.lease():
        await until(lambda: journal.asked == 1)
        await page.begin(ENTRY)
        assert not page.active
        go.set()
        await until(lambda: journal.asked == 2)
        assert not page.lost


async def test_a_failure_without_words_is_named_by_its_kind() -> None:
    class Mute(MemoryJournal):
        async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
            raise ConnectionResetError

    with pytest.raises(UploadError, match=r"can't be used \(ConnectionResetError\)"):
        async with session(Mute()).lease():
            pass


async def test_one_who_is_cancelled_while_it_gets_the_lease_gives_it_back() -> None:
    class Slow(MemoryJournal):
        async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
            asked.set()
            await go.wait()
            return await super().acquire(key, owner, ttl)

    async def hold() -> None:
        async with session(journal).lease():
            pass

    asked, go, journal = asyncio.Event(), asyncio.Event(), Slow()
    task = asyncio.create_task(hold())
    await in_time(asked.wait())
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await in_time(task)
    async with session(journal).lease():
        pass


async def test_a_renewal_gets_the_lease_anew_in_a_journal_that_was_removed(caplog: pytest.LogCaptureFixture) -> None:
    journal = MemoryJournal()
    page = session(journal, lease_seconds=0.06)
    async with page.lease():
        first = page.fence
        await journal.release(KEY, first)
        await until(lambda: page.fence != first)
        assert not page.lost
        assert await journal.acquire(KEY, "thief", 60) is None
    assert "what is known of (not begun) is written again" in caplog.text


async def test_what_a_journal_has_to_say_about_the_upload_is_passed_on() -> None:
    class Strict(MemoryJournal):
        async def acquire(self, key: str, owner: str, ttl: float) -> int | None:
            raise UploadError("another runner has this item")

    with pytest.raises(UploadError, match=r"^another runner has this item$"):
        async with session(Strict()).lease():
            pass


async def test_work_beside_that_has_just_ended_is_not_waited_for_again() -> None:
    """Its callbacks have not run yet; waiting must neither spin nor hang."""
    beside = Background()
    ended = asyncio.Event()

    async def work() -> None:
        ended.set()

    beside.begin(work())
    await ended.wait()
    await in_time(beside.wait())
    assert not beside._tasks or all(task.done() for task in beside._tasks)


async def test_what_a_journal_completes_is_held_only_where_its_own_class_says_so(tmp_path: Path) -> None:
    """A derived class may wait for other things too: then its writes are shielded from a cancelled caller."""
    begun, go = asyncio.Event(), asyncio.Event()

    class Waits(SqliteJournal):
        async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
            begun.set()
            await go.wait()
            return await super().begin(key, fence, entry)

    journal = Waits(tmp_path / "uploads.db")
    page = session(journal)

    async def write() -> None:
        async with page.lease():
            await page.begin(ENTRY)

    task = asyncio.create_task(write())
    await in_time(begun.wait())
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await journal.load(KEY) is not None
    await journal.aclose()


async def test_an_upload_takes_four_commits(tmp_path: Path) -> None:
    commits: list[list[str]] = []

    class Noted(SqliteJournal):
        def _commit(self, jobs: list[Any]) -> None:
            commits.append([job._work.func.__name__.strip("_") for job in jobs])
            super()._commit(jobs)

    async def look() -> Fingerprint:
        return ENTRY.fingerprint

    journal = Noted(tmp_path / "uploads.db")
    page = session(journal)
    async with page.lease(look) as left:
        assert left is None
        assert await page.candidates(ENTRY.fingerprint) == ()
        await page.begin(ENTRY)
        await page.record(attrs.evolve(CHUNK, last=99))
        await page.announce(Phase.FINISHING)
        await page.finished()
    await journal.aclose()
    assert commits == [["acquire", "load", "find"], ["begin"], ["record", "advance"], ["advance", "release"]]


async def test_a_last_range_is_written_although_nothing_follows_it(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "uploads.db")
    page = session(journal)
    last = attrs.evolve(CHUNK, last=99, md5="0" * 32)
    with pytest.raises(UploadError, match="no service"):
        async with page.lease():
            await page.begin(ENTRY)
            await page.record(last)
            raise UploadError("no service")
    found = await journal.load(KEY)
    await journal.aclose()
    assert found is not None
    assert found.accepted == (last,)
