"""What the parts of a batch do when its ledger, its files or the service fail."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    AuthorizationError,
    ChunkReceipt,
    Metadata,
    ServiceError,
    VideoCloudError,
    VideoState,
    VideoStatus,
)
from iqiyi_async.batch.afterwards import OnSuccess
from iqiyi_async.batch.heartbeat import Heartbeat
from iqiyi_async.batch.item_journal import ItemJournal
from iqiyi_async.batch.ledger.base import LedgerError
from iqiyi_async.batch.ledger.rows import metadata_to_json
from iqiyi_async.batch.ledger.sqlite_ledger import SqliteLedger
from iqiyi_async.batch.manifest.columns import ColumnError, make_item
from iqiyi_async.batch.models import Claim, NewItem
from iqiyi_async.batch.publication import Reviewed, Watchers
from iqiyi_async.batch.runner import Runner
from iqiyi_async.batch.settings import COMPLETE, Settings
from iqiyi_async.batch.slots import Slot
from iqiyi_async.models import Fingerprint, JournalEntry, Phase

from ..engine.servers import Asked, Service, answer
from ..engine.tools import NAME, cloud

pytestmark = pytest.mark.anyio


class Away(SqliteLedger):
    """A ledger that can't be reached for the next `failures` calls of what is named in `away`."""

    away: frozenset[str] = frozenset()
    failures = 10**6

    def _reach(self, name: str) -> None:
        if name in self.away and self.failures > 0:
            self.failures -= 1
            raise LedgerError("the ledger is away")

    async def free_slot(self, held: Any) -> None:
        self._reach("free_slot")
        await super().free_slot(held)

    async def load(self, number: int, key: str) -> JournalEntry | None:
        self._reach("load")
        return await super().load(number, key)

    async def renew(self, held: Any, seconds: float) -> set[int]:
        self._reach("renew")
        return await super().renew(held, seconds)

    async def advance(self, held: Any, phase: Phase) -> bool:
        self._reach("advance")
        return await super().advance(held, phase)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Away]:
    opened = Away(tmp_path / "a.ledger", "a")
    await opened.open()
    yield opened
    await opened.aclose()


@pytest.fixture
async def service(anyio_backend: str) -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


async def claimed(ledger: Away, source: str = "a.mp4") -> Claim:
    await ledger.add([NewItem(f"path:{source}", source, metadata_to_json(Metadata("A film")))])
    (claim,) = await ledger.claim(1, 60.0)
    return claim


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({}, "source"),
        ({"source": " "}, "source"),
        ({"source": ["a.mp4"]}, "source"),
        ({"source": True}, "source"),
        ({"source": "a.mp4", "key": "k" * 513}, "key"),
        ({"source": "a.mp4", "file_type": "m p 4"}, "file_type"),
        ({"source": "a.mp4", "title": "x\x00"}, "title"),
        ({"source": "a.mp4", "category": "no such"}, "category"),
    ],
)
def test_a_line_that_can_not_be_used_names_the_column(values: dict[str, Any], column: str) -> None:
    with pytest.raises(ColumnError) as caught:
        make_item(values)
    assert caught.value.column == column


def test_numbers_are_texts_and_descriptions_keep_their_spaces() -> None:
    item = make_item({"source": "a.mp4", "title": 2026, "description": " as it is ", "key": 7})
    assert (item.metadata.name, item.metadata.description, item.key) == ("2026", " as it is ", "7")


async def test_a_slot_that_can_not_be_given_back_expires(ledger: Away, caplog: pytest.LogCaptureFixture) -> None:
    async with cloud("http://127.0.0.1:1") as client:
        slot = Slot(client, ledger, 60.0, None)
        await slot.free()
        await slot.take()
        ledger.away = frozenset({"free_slot"})
        await slot.free()
        assert "counts as alive until its slot expires" in caplog.text
        await slot._renew()


async def test_a_slot_that_is_taken_while_its_run_is_cancelled_is_given_back(ledger: Away) -> None:
    async with cloud("http://127.0.0.1:1") as client:
        settings = Settings(Path(), lease_seconds=60.0)
        runner = Runner(client, ledger, settings, concurrency=1, wait=False)
        for turns in range(6):
            task = asyncio.ensure_future(anext(runner.outcomes(), None))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert (await ledger.status()).runners == 0


async def uploaded(client: AsyncVideoCloud, ledger: Away, film: Path) -> Claim:
    claim = await claimed(ledger, film.name)
    receipt = await client.upload(film, NAME)
    look, data = film.stat(), film.read_bytes()
    mark = Fingerprint(look.st_size, look.st_mtime_ns, look.st_ino, "", look.st_dev, look.st_ctime_ns)
    chunk = ChunkReceipt(0, len(data) - 1, hashlib.md5(data, usedforsecurity=False).hexdigest())
    entry = JournalEntry(receipt.file_id, "http://u", mark, phase=Phase.FINISHED, accepted=(chunk,))
    assert await ledger.begin((claim.number, claim.fence), entry)
    return attrs.evolve(claim, file_id=receipt.file_id)


@pytest.mark.parametrize("state", [VideoState.PUBLISHED, VideoState.ABSENT, None])
async def test_a_file_is_removed_only_when_its_video_is_safe(
    service: Service, ledger: Away, tmp_path: Path, state: VideoState | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def look(asked: Asked) -> bytes:
        return answer({"code": {VideoState.PUBLISHED: "A00000", VideoState.ABSENT: "A00003", None: "Q00001"}[state]})

    film = tmp_path / "a.mp4"
    film.write_bytes(b"a film")
    settings = Settings(tmp_path, on_success=OnSuccess.parse("delete"))
    async with cloud(service.url) as client:
        claim = await uploaded(client, ledger, film)
        service.hooks["get_status"] = look
        await settings.tidy(client, ledger, claim, COMPLETE)
    assert film.exists() is (state is not VideoState.PUBLISHED)
    assert ("could not be verified" in caplog.text) is (state is VideoState.ABSENT)
    assert ("is left where it is" in caplog.text) is (state is None)


async def test_a_file_is_left_when_the_ledger_can_not_say_what_was_sent(
    service: Service, ledger: Away, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = tmp_path / "a.mp4"
    film.write_bytes(b"a film")
    settings = Settings(tmp_path, on_success=OnSuccess.parse("delete"))
    async with cloud(service.url) as client:
        claim = await uploaded(client, ledger, film)
        ledger.away = frozenset({"load"})
        await settings.tidy(client, ledger, claim, ())
        assert "is left where it is: the ledger is away" in caplog.text
        ledger.away = frozenset()
        film.write_bytes(b"another")
        await settings.tidy(client, ledger, claim, ())
        assert film.exists()
        assert "has changed" in caplog.text
        await settings.tidy(client, ledger, attrs.evolve(claim, number=claim.number + 1), ())
        assert "not known what was uploaded" in caplog.text
        await Settings(tmp_path).tidy(client, ledger, claim, ())
    assert film.exists()


def item_journal(ledger: Away, claim: Claim, *, fresh: bool = True) -> ItemJournal:
    heartbeat = Heartbeat(ledger, 1.0, clock=time.monotonic)
    if fresh:
        heartbeat.add([claim], time.monotonic())
    return ItemJournal(ledger, claim.number, claim.fence, heartbeat)


async def test_the_journal_of_an_item_is_for_one_upload_only(ledger: Away) -> None:
    claim = await claimed(ledger)
    journal = item_journal(ledger, claim)
    assert await journal.acquire("one", "o", 60) == claim.fence
    assert await journal.acquire("two", "o", 60) is None
    assert not await journal.forget("one"), "by hand only through the batch"
    assert await journal.forget("one", claim.fence)
    assert not journal.refused
    await journal.aclose()


async def test_a_ledger_that_comes_back_is_asked_again(ledger: Away) -> None:
    claim = await claimed(ledger)
    journal = item_journal(ledger, claim, fresh=False)
    ledger.away, ledger.failures = frozenset({"renew"}), 2
    assert await journal.acquire("one", "o", 60) == claim.fence
    assert not journal.refused


async def test_a_ledger_that_stays_away_is_not_the_fault_of_the_item(ledger: Away) -> None:
    claim = await claimed(ledger)
    journal = item_journal(ledger, claim)
    ledger.away = frozenset({"advance"})
    with pytest.raises(LedgerError):
        await journal.advance("one", claim.fence, Phase.FINISHING)
    assert journal.refused
    assert await journal.advance("one", claim.fence, Phase.FINISHED), "that is written with the end of the item"


async def test_a_beat_that_fails_is_told_to_who_waits_for_it(ledger: Away) -> None:
    claim = await claimed(ledger)
    heartbeat = Heartbeat(ledger, 1.0, clock=time.monotonic)
    heartbeat.add([claim], time.monotonic())
    ledger.away, ledger.failures = frozenset({"renew"}), 1
    waiting = [asyncio.create_task(heartbeat.renew(claim.number, claim.fence)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    assert not await heartbeat.beat()
    with pytest.raises(LedgerError, match="away"):
        await waiting[0]
    again = asyncio.create_task(heartbeat.renew(claim.number, claim.fence))
    await asyncio.sleep(0)
    assert await heartbeat.beat()
    assert await again
    heartbeat.drop(claim.number, claim.fence + 1)
    assert heartbeat.holds(claim.number, claim.fence), "that was another claim"


async def test_who_waits_for_a_beat_ends_with_the_heartbeat(ledger: Away) -> None:
    claim = await claimed(ledger)
    heartbeat = Heartbeat(ledger, 1.0, clock=time.monotonic)
    heartbeat.add([claim], time.monotonic())
    waiting = asyncio.create_task(heartbeat.renew(claim.number, claim.fence))
    await asyncio.sleep(0)
    beat = asyncio.create_task(heartbeat.beat())
    await asyncio.sleep(0)
    beat.cancel()
    for each in (beat, waiting):
        with pytest.raises(asyncio.CancelledError):
            await each
    later = asyncio.create_task(heartbeat.renew(claim.number, claim.fence))
    await asyncio.sleep(0)
    heartbeat.close()
    with pytest.raises(asyncio.CancelledError):
        await later


async def watched(client: AsyncVideoCloud, claims: list[Claim]) -> tuple[list[Any], list[BaseException]]:
    ended: list[Any] = []
    failed: list[BaseException] = []

    async def end(each: Reviewed, outcome: VideoStatus | VideoCloudError) -> None:
        ended.append(outcome)

    watchers = Watchers(client, end, failed.append)
    for claim in claims:
        watchers.add(Reviewed(claim, None))
    await watchers.idle()
    assert len(watchers) == len(claims) - len(ended)
    return ended, failed


async def test_videos_that_can_not_be_looked_at_are_given_up(service: Service, ledger: Away) -> None:
    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "Q00001"})

    service.hooks["get_status"] = service.hooks["list_videos"] = refuse
    claim = attrs.evolve(await claimed(ledger), file_id="f")
    async with cloud(service.url) as client:
        ended, failed = await watched(client, [claim, claim])
    assert [type(each) for each in ended] == [ServiceError, ServiceError]
    assert failed == []


async def test_refused_credentials_end_the_waiting_as_a_whole(service: Service, ledger: Away) -> None:
    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "A21324"})

    service.hooks["authorize"] = refuse
    claim = attrs.evolve(await claimed(ledger), file_id="f")
    async with cloud(service.url) as client:
        ended, failed = await watched(client, [claim])
    assert ended == []
    assert [type(each) for each in failed] == [AuthorizationError]


async def test_what_nobody_waits_for_any_more_is_left(service: Service, ledger: Away) -> None:
    async def never(each: Reviewed, outcome: VideoStatus | VideoCloudError) -> None:
        raise AssertionError

    claim = attrs.evolve(await claimed(ledger), file_id="f")
    async with cloud(service.url) as client:
        watchers = Watchers(client, never, [].append)
        await watchers.aclose()
        watchers.add(Reviewed(claim, None))
        await watchers.aclose()
    assert len(watchers) == 1
