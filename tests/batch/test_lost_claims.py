"""Runs whose claims are lost, whose ledger goes away or whose client is closed, each at its worst moment."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import (
    AuthorizationError,
    ConfigurationError,
    QuotaExceededError,
    UploadItem,
    UploadOutcome,
    VideoCloudError,
)
from iqiyi_async.batch import Manifest
from iqiyi_async.batch.adding import lots_of
from iqiyi_async.batch.claims import ask
from iqiyi_async.batch.ledger.base import Held, LedgerError
from iqiyi_async.batch.ledger.sqlite_ledger import SqliteLedger
from iqiyi_async.batch.models import BatchStatus, Claim, Ending, ItemState
from iqiyi_async.batch.runner import Runner
from iqiyi_async.batch.settings import Settings
from iqiyi_async.emulator import Fault, FaultPlan, FileState, ThreadedEmulatorServer

from ..engine.tools import NAME, cloud, until
from .test_runs import Films, outcomes_of, quick

pytestmark = pytest.mark.anyio


class Troubled(SqliteLedger):
    """A ledger that is away for what is named in `away`, and whose claims are taken over before they end in `lost`."""

    away: frozenset[str] = frozenset()
    lost: frozenset[ItemState] = frozenset()

    def _reach(self, name: str) -> None:
        if name in self.away:
            raise LedgerError("the ledger is away")

    async def claim(self, limit: int, ttl: float) -> list[Claim]:
        self._reach("claim")
        return await super().claim(limit, ttl)

    async def end(self, held: Held, ending: Ending) -> bool:
        self._reach("end")
        if ending.state in self.lost:
            held = (held[0], held[1] - 1)
        return await super().end(held, ending)

    async def release(self, held: Any) -> None:
        self._reach("release")
        await super().release(held)

    async def stop(self, problem: str = "") -> None:
        self._reach("stop")
        await super().stop(problem)

    async def renew_slot(self, slot: Held, ttl: float) -> tuple[bool, int, bool]:
        self._reach("renew_slot")
        return await super().renew_slot(slot, ttl)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Troubled]:
    opened = Troubled(tmp_path / "spring.ledger", "spring")
    await opened.open()
    yield opened
    await opened.aclose()


async def run(client: Any, ledger: SqliteLedger, folder: Path, *, wait: bool = False) -> list[UploadOutcome]:
    settings = Settings(folder, first_backoff=0.01, lease_seconds=0.6, ledger_patience=0.0)
    runner = Runner(client, ledger, settings, concurrency=2, wait=wait)
    async with asyncio.timeout(30), aclosing(runner.outcomes()) as outcomes:
        return [each async for each in outcomes]


async def fill(ledger: SqliteLedger, folder: Path) -> None:
    async with aclosing(lots_of(Manifest.read(folder), folder)) as lots:
        async for lot in lots:
            await ledger.add(lot)


@pytest.mark.parametrize("state", [ItemState.UPLOADED, ItemState.PUBLISHED, ItemState.DUPLICATE])
async def test_an_outcome_is_told_by_the_runner_that_wrote_it(
    emulator: ThreadedEmulatorServer, films: Films, ledger: Troubled, state: ItemState
) -> None:
    folder = films(1)
    await fill(ledger, folder)
    async with cloud(emulator.endpoint_url) as client:
        if state is ItemState.DUPLICATE:
            await run(client, ledger, folder)
            shutil.copy(folder / "film 000.mp4", folder / "again.mp4")
            await fill(ledger, folder)
        ledger.lost = frozenset({state})
        work = asyncio.create_task(run(client, ledger, folder, wait=state is ItemState.PUBLISHED))
        # What is held by nobody known expires, and is taken up again.
        await asyncio.sleep(1.0)
        ledger.lost = frozenset()
        outcomes = await work
    assert [each.ok for each in outcomes] == [True]
    assert len(emulator.published()) == 1
    assert (await ledger.status()).held == 0


@pytest.mark.parametrize("what", ["claim", "end", "renew_slot"])
async def test_a_ledger_that_stays_away_ends_the_run(
    emulator: ThreadedEmulatorServer, films: Films, ledger: Troubled, what: str
) -> None:
    folder = films(1)
    await fill(ledger, folder)
    async with cloud(emulator.endpoint_url) as client:
        if what == "renew_slot":
            client.set_bandwidth(10_000)
            asyncio.get_running_loop().call_later(0.3, lambda: setattr(ledger, "away", frozenset({what})))
        else:
            ledger.away = frozenset({what, "release"})
        with pytest.raises(LedgerError, match="away"):
            await run(client, ledger, folder)
        client.set_bandwidth(None)
        # What could not be given back expires.
        ledger.away = frozenset()
        # An upload under way was finished.
        assert [each.ok for each in await run(client, ledger, folder)] == ([] if what == "renew_slot" else [True])
    assert len(emulator.published()) == 1


class Cancelling(SqliteLedger):
    """A ledger that has a run cancelled so many turns of the loop after it was asked for items."""

    turns = 0
    run: asyncio.Task[Any] | None = None

    async def claim(self, limit: int, ttl: float) -> list[Claim]:
        return self._cancelling(await super().claim(limit, ttl))

    async def claim_uploaded(self, limit: int, ttl: float) -> list[Claim]:
        return self._cancelling(await super().claim_uploaded(limit, ttl))

    def _cancelling(self, claims: list[Claim]) -> list[Claim]:
        def cancel(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(cancel, left - 1)
            elif self.run is not None:
                self.run.cancel()

        if claims:
            cancel(self.turns)
        return claims


@pytest.mark.parametrize("wait", [False, True])
async def test_nothing_is_begun_when_a_run_is_cancelled_while_it_takes_items(
    emulator: ThreadedEmulatorServer, films: Films, tmp_path: Path, wait: bool
) -> None:
    folder = films(4)
    ledger = Cancelling(tmp_path / "cancelled.ledger", "spring")
    await ledger.open()
    await fill(ledger, folder)
    async with cloud(emulator.endpoint_url) as client:
        if wait:
            for outcome in await run(client, ledger, folder):
                assert outcome.receipt is not None
                await asyncio.to_thread(emulator.set_outcome, outcome.receipt.file_id, FileState.PUBLISHING)
        client.set_bandwidth(0)
        before = await ledger.status()
        for turns in range(12):
            runner = Runner(client, ledger, Settings(folder), concurrency=4, wait=wait)
            ledger.turns, ledger.run = turns, asyncio.ensure_future(anext(runner.outcomes(), None))
            with pytest.raises(asyncio.CancelledError):
                await ledger.run
            # Otherwise an upload would go on that nobody waits for, under a claim that was given back.
            assert runner.running == []
            assert [each for each in asyncio.all_tasks() if each.get_name().startswith("iqiyi-async batch")] == []
            assert await ledger.status() == before
    await ledger.aclose()


async def test_others_that_can_not_be_told_to_stop(
    emulator: ThreadedEmulatorServer, films: Films, ledger: Troubled, caplog: pytest.LogCaptureFixture
) -> None:
    folder = films(1)
    await fill(ledger, folder)
    emulator.faults = FaultPlan([Fault(operation="request_upload", code="A00018")])
    ledger.away = frozenset({"stop"})
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(QuotaExceededError):
            await run(client, ledger, folder)
    assert "other runners could not be told to stop" in caplog.text
    assert (await ledger.status()).waiting == 1


async def test_credentials_that_are_refused_while_videos_are_waited_for(
    emulator: ThreadedEmulatorServer, films: Films, ledger: Troubled
) -> None:
    folder = films(1)
    await fill(ledger, folder)
    async with cloud(emulator.endpoint_url) as client:
        await run(client, ledger, folder)
    emulator.faults = FaultPlan([Fault(operation="authorize", code="A21324")])
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(AuthorizationError):
            await run(client, ledger, folder, wait=True)
    status = await ledger.status()
    assert (status.uploaded, status.stopping) == (1, True)


async def test_a_ledger_that_goes_away_while_videos_are_waited_for_ends_the_run(
    emulator: ThreadedEmulatorServer, films: Films, ledger: Troubled
) -> None:
    folder = films(1)
    await fill(ledger, folder)
    async with cloud(emulator.endpoint_url) as client:
        await run(client, ledger, folder)
        ledger.away = frozenset({"end", "release"})
        with pytest.raises(LedgerError, match="away"):
            await run(client, ledger, folder, wait=True)
        ledger.away = frozenset()
        (outcome,) = await run(client, ledger, folder, wait=True)
    assert outcome.ok


async def test_a_ledger_that_comes_back_is_waited_for(ledger: Troubled) -> None:
    async def look() -> BatchStatus:
        ledger.away, away = frozenset(), ledger.away
        if away:
            raise LedgerError("the ledger is away")
        return await ledger.status()

    ledger.away = frozenset({"status"})
    assert (await ask(look, patience=5.0)).total == 0


async def test_a_batch_is_run_once_at_a_time(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(2)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        async with aclosing(batch.run()) as outcomes:
            await anext(outcomes)
            with pytest.raises(ConfigurationError, match="is being run already"):
                await anext(batch.run())
        await outcomes_of(batch)
        assert (await batch.status()).uploaded == 2


async def test_a_source_of_an_url_is_closed(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, films(1), max_attempts=1) as batch:
            await batch.add([UploadItem(f"{scheme}://host.invalid/a.mp4", NAME) for scheme in ("ftp", "nothing")])
            assert [each.ok for each in await outcomes_of(batch)] == [False, False]
            await batch.add([UploadItem(f"{emulator.endpoint_url}/nothing/a.mp4", NAME)])
            (outcome,) = await outcomes_of(batch)
    assert "can't be read: the server answered 404" in str(outcome.error)


async def test_a_client_that_is_closed_ends_the_run(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(2)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        client.set_bandwidth(0)
        running = asyncio.create_task(outcomes_of(batch))
        await until(lambda: len(batch.running) == 2)
        await client.aclose()
        with pytest.raises(VideoCloudError, match="closed"):
            await running
        status = await batch.status()
        assert (status.waiting, status.failed, status.held) == (2, 0, 0)


async def test_draining_a_run_that_waits_for_publication(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(3)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add([UploadItem(folder / "film 000.mp4", NAME)])
        (first,) = await outcomes_of(batch)
        assert first.receipt is not None
        await asyncio.to_thread(emulator.set_outcome, first.receipt.file_id, FileState.PUBLISHING)
        await batch.add(Manifest.read(folder))
        client.set_bandwidth(20_000)
        running = asyncio.create_task(outcomes_of(batch, wait_until_published=True))
        await until(lambda: batch.reviewed == 1 and len(batch.running) == 2)
        client.set_bandwidth(None)
        await batch.drain(5.0)
        assert await running == []
        # What was nearly done is done, and is waited for by the next run.
        status = await batch.status()
        assert (status.uploaded, status.waiting, status.held) == (3, 0, 0)


@pytest.mark.parametrize("within", [0.0, 5.0])
async def test_draining_while_a_source_is_opened(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str, within: float
) -> None:
    folder = films(1)
    opening, go = asyncio.Event(), asyncio.Event()

    async def source(url: str) -> Path:
        opening.set()
        await go.wait()
        return folder / "film 000.mp4"

    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder, open_source=source) as batch:
            await batch.add([UploadItem("https://host/a.mp4", NAME)])
            running = asyncio.create_task(outcomes_of(batch))
            await opening.wait()
            asyncio.get_running_loop().call_later(0.2, go.set)
            await batch.drain(within)
            outcomes = await running
            status = await batch.status()
    assert [len(outcomes), status.uploaded, status.waiting] == ([1, 1, 0] if within else [0, 0, 1])
    assert status.held == 0
