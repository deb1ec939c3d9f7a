"""What only a ledger in an SQLite file does: what survives a loss of power, a clock that was set back, tidy tables."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import ChunkReceipt, ConfigurationError
from iqiyi_async.batch.ledger.base import open_ledger
from iqiyi_async.batch.ledger.sqlite_ledger import SqliteLedger
from iqiyi_async.batch.models import NewItem
from iqiyi_async.models import Fingerprint, JournalEntry, Phase

pytestmark = pytest.mark.anyio

LONG = 60.0
ITEM = NewItem("path:1.mp4", "1.mp4", '{"name": "A film"}')
CHUNK = ChunkReceipt(0, 9, "0" * 32)
ENTRY = JournalEntry("f1", "http://127.0.0.1/u", Fingerprint(100, 1, 2, "d1"), accepted=(CHUNK,))


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spring.ledger"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(path: Path, clock: Clock) -> AsyncIterator[SqliteLedger]:
    opened = SqliteLedger(path, "spring", clock=clock)
    await opened.open()
    yield opened
    await opened.aclose()


def sql(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """What another program reads from the file, or changes in it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(statement).fetchall()


async def test_what_has_to_survive_a_loss_of_power_is_synchronised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(statements.append)
        return connection

    async def on_disk(work: Coroutine[Any, Any, object]) -> bool:
        await work
        level = [each for each in statements if each.startswith("PRAGMA synchronous")][-1]
        return level.endswith("FULL")

    monkeypatch.setattr(sqlite3, "connect", traced)
    ledger = SqliteLedger(path, "spring")
    assert not await on_disk(ledger.open())
    assert await on_disk(ledger.add([ITEM]))
    (claim,) = await ledger.claim(1, LONG)
    held = (claim.number, claim.fence)
    assert await on_disk(ledger.begin(held, ENTRY))
    assert not await on_disk(ledger.record(held, "f1", CHUNK)), "a range that is lost is sent again"
    assert await on_disk(ledger.advance(held, Phase.FINISHING))
    assert not await on_disk(ledger.advance(held, Phase.FINISHED)), "the service knows"
    assert await on_disk(ledger.forget(held))
    assert not await on_disk(ledger.renew([held], LONG))
    assert await on_disk(ledger.retry_failed())
    assert not await on_disk(ledger.release([held]))
    assert await on_disk(ledger.stop())
    assert not await on_disk(ledger.clear_stop())
    assert await on_disk(ledger.stop())
    assert not await on_disk(ledger.clear_invalid("videos.csv"))
    await ledger.aclose()


async def test_the_fence_of_a_slot_is_the_moment_in_microseconds(ledger: SqliteLedger) -> None:
    assert await ledger.take_slot(LONG) == (1, 10_000_000)


async def test_a_clock_that_was_set_back_repeats_no_fence_of_a_slot(ledger: SqliteLedger, clock: Clock) -> None:
    await ledger.free_slot(await ledger.take_slot(LONG))
    clock.now = 5.0
    assert await ledger.take_slot(LONG) == (1, 10_000_001)
    clock.now = 0.0
    assert await ledger.take_slot(LONG) == (2, 1), "no fence is 0"


async def test_nothing_is_left_of_what_was_forgotten(ledger: SqliteLedger, path: Path) -> None:
    await ledger.add([ITEM])
    (claim,) = await ledger.claim(1, LONG)
    assert await ledger.begin((claim.number, claim.fence), ENTRY)
    assert sql(path, "SELECT n, file_id FROM chunk") == [(claim.number, "f1")]
    assert await ledger.forget((claim.number, claim.fence))
    assert sql(path, "SELECT count(*) FROM chunk") == [(0,)]


async def test_a_batch_that_was_removed_has_stopped(ledger: SqliteLedger, path: Path) -> None:
    await ledger.add([ITEM])
    sql(path, "DELETE FROM batch")
    assert await ledger.claim(1, LONG) == []
    status = await ledger.status()
    assert (status.stopping, status.problem) == (True, "the ledger was replaced")


@pytest.mark.parametrize("text", ["sqlite:///{}", "{}"])
async def test_a_file_that_must_exist_is_not_made(path: Path, text: str) -> None:
    missing = open_ledger(text.format(path), "spring", must_exist=True)
    with pytest.raises(ConfigurationError, match="there is no ledger"):
        await missing.open()
    assert not path.exists()
    await missing.aclose()


def test_a_file_is_on_one_machine() -> None:
    """An upload then outlives a lease that can't be renewed in time."""
    assert not open_ledger("spring.ledger", "spring").shared
