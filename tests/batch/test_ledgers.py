"""What every ledger must do: one suite for both kinds."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import attrs
import pytest

from iqiyi_async import ChunkReceipt, Metadata
from iqiyi_async.batch.ledger.base import Ledger, LedgerError, open_ledger
from iqiyi_async.batch.ledger.rows import metadata_to_json
from iqiyi_async.batch.models import Claim, Ending, ItemState, NewItem
from iqiyi_async.batch.slots import Slot
from iqiyi_async.models import Fingerprint, JournalEntry, Phase
from iqiyi_async.upload.sharing.timetable import Timetable

from ..engine.tools import cloud

pytestmark = pytest.mark.anyio

LONG, SHORT = 60.0, 0.05
DONE = Ending(ItemState.UPLOADED, file_id="f1", size=10, seconds=0.5)


def item(number: int, title: str = "A film") -> NewItem:
    return NewItem(f"path:{number}.mp4", f"{number}.mp4", metadata_to_json(Metadata(title)))


def held(claim: Claim) -> tuple[int, int]:
    return (claim.number, claim.fence)


def entry(file_id: str = "f1", *, phase: Phase = Phase.SENDING, digest: str = "d1") -> JournalEntry:
    return JournalEntry(
        file_id=file_id,
        upload_url="http://127.0.0.1/u",
        fingerprint=Fingerprint(100, 1, 2**64 - 1, digest, 4, 5),
        phase=phase,
        accepted=(ChunkReceipt(0, 9, "0" * 32), ChunkReceipt(10, 19, "1" * 32, 2)),
        name="1.mp4",
        account="a",
        metadata="m",
    )


@pytest.fixture
async def ledger(ledger_url: str, name: str) -> AsyncIterator[Ledger]:
    opened = open_ledger(ledger_url, name)
    await opened.open()
    yield opened
    await opened.aclose()


@pytest.fixture
async def another(ledger: Ledger, ledger_url: str, name: str) -> AsyncIterator[Ledger]:
    """The same batch, as another process sees it."""
    opened = open_ledger(ledger_url, name)
    await opened.open()
    yield opened
    await opened.aclose()


async def test_items_are_claimed_in_their_order(ledger: Ledger) -> None:
    assert await ledger.add([item(n) for n in range(5)]) == 5
    first, second = await ledger.claim(2, LONG)
    assert (first.source, second.source) == ("0.mp4", "1.mp4")
    assert [each.source for each in await ledger.claim(10, LONG)] == ["2.mp4", "3.mp4", "4.mp4"]
    assert await ledger.claim(10, LONG) == []


async def test_adding_again_changes_only_what_was_not_begun(ledger: Ledger) -> None:
    await ledger.add([item(1), item(2), item(3)])
    begun, ended = await ledger.claim(2, LONG)
    assert await ledger.begin(held(begun), entry())
    await ledger.release([held(begun)])
    assert await ledger.end(held(ended), DONE)
    assert await ledger.add([item(1, "new"), item(2, "new"), item(3, "new"), item(4)]) == 1
    titles = [each.title for each in await ledger.records(0, 10)]
    assert titles == ["A film", "A film", "new", "A film"]


async def test_what_is_under_way_takes_a_source_that_was_signed_anew(ledger: Ledger) -> None:
    """A presigned URL is over long before a big upload is; nothing else of it may change."""
    old, new = (NewItem("url:x", f"https://host/x.mp4?sig={n}", f'{{"name": "{n}"}}') for n in "12")
    await ledger.add([old])
    (claim,) = await ledger.claim(1, LONG)
    assert await ledger.begin(held(claim), entry())
    assert await ledger.add([new]) == 0
    await ledger.release([held(claim)])
    (again,) = await ledger.claim(1, LONG)
    assert (again.source, again.metadata) == (new.source, old.metadata)
    assert await ledger.end(held(again), DONE)
    assert await ledger.add([old]) == 0
    assert (await ledger.records(0, 1))[0].source == new.source


async def test_what_has_failed_can_be_corrected(ledger: Ledger) -> None:
    """A title that the service has refused is corrected in the spreadsheet; what may be a video keeps its own."""
    await ledger.add([item(1), item(2), item(3)])
    early, late, finishing = await ledger.claim(3, LONG)
    for claim in (late, finishing):
        assert await ledger.begin(held(claim), entry())
    assert await ledger.advance(held(finishing), Phase.FINISHING)
    for claim in (early, late, finishing):
        assert await ledger.end(held(claim), Ending(ItemState.FAILED, attempts=1, error="refused"))
    assert await ledger.add([item(1, "new"), item(2, "new"), item(3, "new")]) == 0
    assert [each.title for each in await ledger.records(0, 10)] == ["new", "new", "A film"]
    assert await ledger.retry_failed() == 3


async def test_a_claim_that_has_expired_is_taken_over(ledger: Ledger, another: Ledger) -> None:
    await ledger.add([item(1)])
    (old,) = await ledger.claim(1, SHORT)
    assert await another.claim(1, LONG) == []
    await asyncio.sleep(2 * SHORT)
    assert (await another.outlook()).due == 0
    (new,) = await another.claim(1, LONG)
    assert new.number == old.number
    assert new.fence > old.fence
    # The old one touches nothing more.
    assert not await ledger.begin(held(old), entry("zombie"))
    assert not await ledger.record(held(old), "zombie", ChunkReceipt(0, 1, "0" * 32))
    assert not await ledger.advance(held(old), Phase.FINISHING)
    assert not await ledger.forget(held(old))
    assert not await ledger.end(held(old), DONE)
    assert await ledger.renew([held(old)], LONG) == set()
    await ledger.release([held(old)])
    assert await ledger.load(old.number, "k") is None
    assert await another.renew([held(new)], LONG) == {new.number}
    assert await another.end(held(new), DONE)


async def test_a_claim_that_is_renewed_is_held_for_longer(ledger: Ledger, another: Ledger) -> None:
    await ledger.add([item(1)])
    (claim,) = await ledger.claim(1, SHORT)
    assert await ledger.renew([held(claim)], LONG) == {claim.number}
    await asyncio.sleep(2 * SHORT)
    assert await another.claim(1, LONG) == []


async def test_fences_only_rise(ledger: Ledger) -> None:
    await ledger.add([item(1)])
    fences = []
    for _ in range(5):
        (claim,) = await ledger.claim(1, LONG)
        fences.append(claim.fence)
        await ledger.release([held(claim)])
    assert fences == sorted(set(fences))


async def test_the_journal_of_an_item(ledger: Ledger) -> None:
    await ledger.add([item(1)])
    (claim,) = await ledger.claim(1, LONG)
    assert await ledger.load(claim.number, "k") is None
    assert await ledger.begin(held(claim), entry())
    assert await ledger.record(held(claim), "f1", ChunkReceipt(20, 29, "2" * 32))
    assert await ledger.record(held(claim), "f1", ChunkReceipt(20, 29, "2" * 32)), "said again"
    assert await ledger.advance(held(claim), Phase.FINISHING)
    loaded = await ledger.load(claim.number, "k")
    assert loaded is not None
    assert loaded.changed > 1e9
    expected = attrs.evolve(
        entry(phase=Phase.FINISHING),
        accepted=(*entry().accepted, ChunkReceipt(20, 29, "2" * 32)),
        key="k",
        changed=loaded.changed,
    )
    assert loaded == expected
    assert await ledger.begin(held(claim), entry("f2"))
    again = await ledger.load(claim.number, "k")
    assert again is not None
    assert (again.file_id, len(again.accepted)) == ("f2", 2)
    assert await ledger.begin(held(claim), attrs.evolve(entry("f2"), accepted=(ChunkReceipt(0, 4, "3" * 32),)))
    again = await ledger.load(claim.number, "k")
    assert again is not None
    assert again.accepted == (ChunkReceipt(0, 4, "3" * 32),), "in place of what was there"
    assert await ledger.forget(held(claim))
    assert await ledger.load(claim.number, "k") is None


async def test_finished_uploads_of_other_items_are_found(ledger: Ledger) -> None:
    digest = f"digest {id(ledger)}"
    await ledger.add([item(1), item(2)])
    first, second = await ledger.claim(2, LONG)
    await ledger.begin(held(first), entry(digest=digest))
    assert await ledger.find(second.number, 100, digest) == ()
    await ledger.advance(held(first), Phase.FINISHED)
    (found,) = await ledger.find(second.number, 100, digest)
    assert (found.file_id, len(found.accepted), found.phase) == ("f1", 2, Phase.FINISHED)
    assert found.key == f"item {first.number}"
    assert await ledger.find(first.number, 100, digest) == ()
    assert await ledger.find(second.number, 101, digest) == ()


async def test_an_end_may_be_said_again(ledger: Ledger) -> None:
    await ledger.add([item(1)])
    (claim,) = await ledger.claim(1, LONG)
    assert await ledger.end(held(claim), DONE)
    assert await ledger.end(held(claim), DONE)
    (record,) = await ledger.records(0, 10)
    assert (record.state, record.file_id, record.size, record.seconds) == (ItemState.UPLOADED, "f1", 10, 0.5)


async def test_backing_off(ledger: Ledger) -> None:
    await ledger.add([item(1)])
    (claim,) = await ledger.claim(1, LONG)
    assert await ledger.end(held(claim), Ending(ItemState.WAITING, delay=0.3, attempts=1, error="no", hint="do"))
    assert await ledger.claim(1, LONG) == []
    outlook = await ledger.outlook()
    assert (outlook.waiting, outlook.held) == (1, 0)
    assert 0 < outlook.due <= 0.3
    await asyncio.sleep(0.35)
    (again,) = await ledger.claim(1, LONG)
    assert again.attempts == 1


async def test_uploaded_items_are_waited_for_by_one_runner(ledger: Ledger, another: Ledger) -> None:
    await ledger.add([item(1), item(2)])
    kept, given = await ledger.claim(2, LONG)
    assert await ledger.end(held(kept), attrs.evolve(DONE, keep=True))
    assert await ledger.end(held(given), DONE)
    (claim,) = await another.claim_uploaded(10, LONG)
    assert (claim.number, claim.uploaded, claim.file_id, claim.size) == (given.number, True, "f1", 10)
    assert await ledger.claim_uploaded(10, LONG) == []
    assert await ledger.renew([held(kept)], LONG) == {kept.number}
    assert await ledger.end(held(kept), Ending(ItemState.PUBLISHED))
    assert await another.end(held(claim), Ending(ItemState.REVIEW_FAILED, error="no"))
    status = await ledger.status()
    assert (status.published, status.review_failed, status.bytes) == (1, 1, 20)


async def test_failed_items_are_retried(ledger: Ledger) -> None:
    await ledger.add([item(n) for n in range(4)])
    claims = await ledger.claim(4, LONG)
    for claim in claims:
        await ledger.begin(held(claim), entry())
    states = [ItemState.FAILED, ItemState.REVIEW_FAILED, ItemState.DUPLICATE, ItemState.PUBLISHED]
    for claim, state in zip(claims, states, strict=True):
        await ledger.end(held(claim), Ending(state, attempts=3, error="no", hint="do"))
    assert await ledger.retry_failed() == 2
    again = await ledger.claim(4, LONG)
    assert [each.number for each in again] == [claims[0].number, claims[1].number]
    assert all(each.attempts == 0 for each in again)
    assert await ledger.load(again[0].number, "k") is not None, "it goes on"
    assert await ledger.load(again[1].number, "k") is None, "it is uploaded once more"


async def test_stopping(ledger: Ledger, another: Ledger) -> None:
    await ledger.add([item(1)])
    await another.stop("over quota")
    assert await ledger.claim(1, LONG) == []
    outlook = await ledger.outlook()
    assert (outlook.stopping, outlook.problem) == (True, "over quota")
    await ledger.clear_stop()
    assert len(await another.claim(1, LONG)) == 1
    await ledger.add([item(2)])
    await another.stop()
    assert await ledger.claim(1, LONG) == []
    outlook = await ledger.outlook()
    assert (outlook.stopping, outlook.problem) == (True, "")


async def test_invalid_lines(ledger: Ledger) -> None:
    bad = NewItem("line:a.csv:3", "a.csv, line 3", "", problem="no such category", manifest="a.csv")
    await ledger.add([bad, item(1)])
    assert [each.source for each in await ledger.claim(10, LONG)] == ["1.mp4"]
    status = await ledger.status()
    assert (status.invalid, status.total) == (1, 2)
    await ledger.clear_invalid("b.csv")
    assert (await ledger.status()).invalid == 1
    await ledger.clear_invalid("a.csv")
    assert (await ledger.status()).invalid == 0


async def test_batches_of_one_ledger_are_apart(ledger: Ledger, ledger_url: str, name: str) -> None:
    await ledger.add([item(1)])
    other = open_ledger(ledger_url, f"{name} other")
    await other.open()
    try:
        assert await other.claim(1, LONG) == []
        assert await other.add([item(1)]) == 1
        assert (await other.status()).total == 1
    finally:
        await other.aclose()


async def test_slots(ledger: Ledger, another: Ledger) -> None:
    first = await ledger.take_slot(LONG)
    assert await ledger.renew_slot(first, LONG) == (True, 1, True)
    second = await another.take_slot(LONG)
    assert second[0] != first[0]
    # A newcomer's share is nothing until the others know of it.
    assert await another.renew_slot(second, LONG) == (True, 2, False)
    assert await ledger.renew_slot(first, LONG) == (True, 2, True)
    assert await another.renew_slot(second, LONG) == (True, 2, True)
    assert (await ledger.status()).runners == 2
    await another.free_slot(second)
    assert await ledger.renew_slot(first, LONG) == (True, 1, True)
    third = await another.take_slot(LONG)
    assert third[0] == second[0]
    assert third[1] > second[1]
    assert not (await another.renew_slot(second, LONG))[0]


async def test_many_runners_claim_each_item_once(ledger_url: str, name: str) -> None:
    async with AsyncExitStack() as stack:
        ledgers = [open_ledger(ledger_url, name) for _ in range(4)]
        for each in ledgers:
            await each.open()
            stack.push_async_callback(each.aclose)
        await ledgers[0].add([item(n) for n in range(300)])

        async def drain(one: Ledger) -> list[int]:
            numbers = []
            while claims := await one.claim(7, LONG):
                numbers += [each.number for each in claims]
                for claim in claims:
                    assert await one.end(held(claim), DONE)
            return numbers

        numbers = [number for got in await asyncio.gather(*map(drain, ledgers)) for number in got]
        assert len(numbers) == len(set(numbers)) == 300


@pytest.mark.parametrize("how", ["removed", "emptied", "replaced", "without its log"])
async def test_a_file_that_goes_under_a_running_batch_is_noticed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "spring.ledger"
    ledger = open_ledger(str(path), "spring")
    await ledger.open()
    await ledger.add([item(1)])
    (claim,) = await ledger.claim(1, LONG)
    if how == "emptied":
        os.truncate(path, 0)
    elif how == "without its log":
        (tmp_path / "spring.ledger-wal").unlink()
    else:
        path.rename(tmp_path / "elsewhere")
    if how == "replaced":
        path.write_bytes((tmp_path / "elsewhere").read_bytes())
    with pytest.raises(LedgerError, match="removed or replaced"):
        await ledger.begin(held(claim), entry())
    await ledger.aclose()


async def test_the_states_of_some_sources(ledger: Ledger) -> None:
    await ledger.add([item(n) for n in range(3)])
    (claim,) = await ledger.claim(1, LONG)
    known = [claim.source, item(2).source]
    found = await ledger.states_of([*known, *(f"unknown {n}.mp4" for n in range(1200))])
    assert sorted(found) == sorted(zip(known, [ItemState.HELD, ItemState.WAITING], strict=True))
    assert await ledger.states_of([]) == []


async def test_play_pages_are_kept(ledger: Ledger) -> None:
    await ledger.add([item(1), item(2)])
    first, second = await ledger.records(0, 10)
    await ledger.set_pages([(first.number, "http://page/1")])
    assert [each.page_url for each in await ledger.records(0, 10)] == ["http://page/1", ""]
    assert second.page_url == ""


async def test_an_entry_that_can_not_be_read_is_none(
    ledger: Ledger, ledger_url: str, request: pytest.FixtureRequest
) -> None:
    await ledger.add([item(1)])
    (claim,) = await ledger.claim(1, LONG)
    assert await ledger.begin(held(claim), entry())
    if ledger_url.startswith("sqlite"):
        with closing(sqlite3.connect(ledger_url.removeprefix("sqlite:///"), isolation_level=None)) as database:
            database.execute("UPDATE item SET entry = 'x'")
    else:
        sql = f"UPDATE iqiyi_batch_item SET entry = 'x' WHERE n = {claim.number}"
        await asyncio.to_thread(request.getfixturevalue("postgres").sql, sql)
    assert await ledger.load(claim.number, "k") is None


async def test_a_slot_that_was_taken_meanwhile_is_taken_anew(ledger: Ledger, another: Ledger) -> None:
    async with cloud("http://127.0.0.1:1") as client:
        slot = Slot(client, ledger, 0.1, Timetable.parse("1MB"))
        await slot.take()
        await asyncio.sleep(0.15)
        await another.take_slot(LONG)
        await slot._renew()
        assert slot.share == 0, "a newcomer again"
        assert (await ledger.status()).runners == 2
        await slot.free()
        assert (await ledger.status()).runners == 1


async def test_many_runners_that_start_together_have_slots_of_their_own(ledger: Ledger, another: Ledger) -> None:
    slots = await asyncio.gather(*(each.take_slot(LONG) for each in [ledger, another] * 10))
    assert sorted(slot[0] for slot in slots) == list(range(1, 21))
