"""What becomes of items whose uploads fail, of batches that are stopped, and of runners that die; with both ledgers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import attrs
import pytest

from iqiyi_async import (
    AuthorizationError,
    ConfigurationError,
    DuplicateVideoError,
    Metadata,
    QuotaExceededError,
    UploadItem,
    UploadOutcome,
)
from iqiyi_async.batch import Batch, Manifest
from iqiyi_async.batch.ledger.base import open_ledger
from iqiyi_async.batch.starting import bandwidth_of
from iqiyi_async.emulator import EmulatorConfig, Fault, FaultPlan, FileState, ThreadedEmulatorServer

from ..engine.tools import QUICK, cloud, until

pytestmark = pytest.mark.anyio

Films = Callable[..., Path]
NAME = Metadata("A film")


def quick(client: Any, url: str, name: str, root: Path, **more: Any) -> Batch:
    """A batch that waits for nothing long."""
    settings = {"first_backoff": 0.01, "max_backoff": 0.02, "lease_seconds": 5.0, "root": root, **more}
    return Batch(client, url, name=name, **settings)


async def outcomes_of(batch: Batch, **how: Any) -> list[UploadOutcome]:
    async with asyncio.timeout(30):
        return [each async for each in batch.run(**how)]


async def test_a_failure_is_retried(emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str) -> None:
    folder = films(3)
    emulator.faults = FaultPlan([Fault(operation="finish_upload", call=(1, 2), status=500)])
    async with cloud(emulator.endpoint_url, retry=QUICK) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        assert [each.ok for each in await outcomes_of(batch)] == [True] * 3
        assert (await batch.status()).uploaded == 3
        assert all(each.attempts >= 1 for each in await batch.report())
    assert len(emulator.published()) == 3


async def test_an_item_is_given_up_after_so_many_failures(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(2)
    emulator.faults = FaultPlan([Fault(operation="upload_chunk", wrong_md5=True)])
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder, max_attempts=2) as batch:
            await batch.add(Manifest.read(folder))
            outcomes = await outcomes_of(batch)
            assert [type(each.error).__name__ for each in outcomes] == ["IntegrityError"] * 2
            report = await batch.report()
            assert [(each.state, each.attempts) for each in report] == [("failed", 2)] * 2
            assert all(each.error and each.hint for each in report)
            emulator.faults = FaultPlan()
            assert await outcomes_of(batch) == []
            assert await batch.retry_failed() == 2
            assert [each.ok for each in await outcomes_of(batch)] == [True] * 2
    assert len(emulator.published()) == 2
    assert len(emulator.files) == 2, "the uploads went on"


async def test_a_missing_file_fails_at_once(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(1)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add([UploadItem(folder / "missing.mp4", NAME), UploadItem("film 000.mp4", NAME)])
        outcomes = await outcomes_of(batch)
        assert sorted(each.ok for each in outcomes) == [False, True]
        (failed,) = [each for each in outcomes if not each.ok]
        assert isinstance(failed.error, ConfigurationError)
        assert (await batch.status()).failed == 1


@pytest.mark.parametrize(
    ("code", "kind"), [("A00018", QuotaExceededError), ("A00008", AuthorizationError)], ids=["quota", "frozen"]
)
async def test_what_stops_all_items_stops_the_batch(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str, code: str, kind: type[Exception]
) -> None:
    folder = films(20)
    emulator.faults = FaultPlan([Fault(operation="request_upload", code=code)])
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        with pytest.raises(kind):
            await outcomes_of(batch, concurrency=4)
        status = await batch.status()
        assert (status.waiting, status.held, status.stopping) == (20, 0, True)
        assert status.problem
        assert all(each.attempts == 0 for each in await batch.report())
        # Once it is mended, the same run goes on.
        emulator.faults = FaultPlan()
        assert len(await outcomes_of(batch)) == 20


@pytest.mark.parametrize("patience", [600.0, 0.05], ids=["the client waits", "the client gives up"])
async def test_an_outage_pauses_the_batch(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str, patience: float
) -> None:
    folder = films(10)
    emulator.faults = FaultPlan([Fault(operation="request_upload", status=503)])
    async with cloud(emulator.endpoint_url, retry=attrs.evolve(QUICK, outage_patience=patience)) as client:
        async with quick(client, ledger_url, name, folder, max_attempts=2) as batch:
            await batch.add(Manifest.read(folder))
            running = asyncio.create_task(outcomes_of(batch, concurrency=4))
            await asyncio.sleep(1.5)
            assert not running.done()
            emulator.faults = FaultPlan()
            outcomes = await running
            assert [each.ok for each in outcomes] == [True] * 10


async def test_the_same_bytes_are_a_duplicate(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(1)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        (first,) = await outcomes_of(batch)
        shutil.copy(folder / "film 000.mp4", folder / "again.mp4")
        await batch.add([UploadItem(folder / "again.mp4", NAME)])
        (second,) = await outcomes_of(batch)
        assert second.ok
        assert first.receipt is not None
        assert second.receipt is not None
        assert second.receipt.file_id == first.receipt.file_id
        report = await batch.report()
        assert [each.state for each in report] == ["uploaded", "duplicate"]
        assert report.items[1].file_id == first.receipt.file_id
        assert report.items[1].bytes == second.receipt.size == first.receipt.size
        assert DuplicateVideoError.__name__ not in report.items[1].error
        assert report.items[1].error.endswith("as film 000.mp4: nothing was sent")
        assert (await batch.status()).failures == 0
    assert len(emulator.published()) == 1


async def test_what_comes_with_the_last_outcome_is_done_too(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(1)
    missing = folder / "missing.mp4"
    seen = []
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add([UploadItem(missing, NAME)])
        async for outcome in batch.run():
            seen.append(outcome.ok)
            # The runner has seen that nothing is left.
            await asyncio.sleep(0.3)
            if not outcome.ok:
                missing.write_bytes(b"here it is")
                await batch.retry_failed()
            elif len(seen) == 2:
                await batch.add(Manifest.read(folder))
    assert seen == [False, True, True]


async def test_the_limit_of_a_batch_ends_with_its_run(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(3)
    async with cloud(emulator.endpoint_url) as client:
        client.set_bandwidth(50_000_000)
        async with quick(client, ledger_url, name, folder, max_bandwidth="0") as batch:
            await batch.add(Manifest.read(folder))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    async for _ in batch.run():
                        raise AssertionError("nothing is sent")
        # An upload of its own is not paused for ever.
        async with asyncio.timeout(20):
            await client.upload(folder / "film 000.mp4", NAME)
        async with quick(client, ledger_url, name, folder, max_bandwidth="20MB") as batch:
            async for _ in batch.run():
                client.set_bandwidth(30_000_000)
        assert bandwidth_of(client) == 30_000_000


async def test_a_batch_opens_its_ledger_by_itself(films: Films, ledger_url: str, name: str) -> None:
    folder = films(2)
    async with quick(None, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
    for look in (Batch.report, Batch.status, Batch.retry_failed, Batch.stop):
        batch = quick(None, ledger_url, name, folder)
        found: Any = await look(batch)
        assert look is not Batch.report or len(found) == 2
        assert look is not Batch.status or found.waiting == 2
        await batch.aclose()


async def test_reviews(emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str) -> None:
    folder = films(3)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        receipts = [each.receipt for each in await outcomes_of(batch)]
        ids = [receipt.file_id for receipt in receipts if receipt is not None]
        await asyncio.to_thread(emulator.set_outcome, ids[0], FileState.REVIEW_FAILED)
        await asyncio.to_thread(emulator.set_outcome, ids[1], FileState.PUBLISHING_FAILED)
        # A run that only waits for what is missing.
        waited = await outcomes_of(batch, wait_until_published=True)
        assert sorted(each.ok for each in waited) == [False, False, True]
        assert {each.receipt.file_id for each in waited if each.receipt} == set(ids)
        status = await batch.status()
        assert (status.published, status.review_failed, status.publish_failed) == (1, 1, 1)
        assert len(emulator.files) == 3
        assert await batch.retry_failed() == 2
        assert all(each.ok for each in await outcomes_of(batch, wait_until_published=True))
        assert (await batch.status()).published == 3
    assert len(emulator.files) == 5


async def test_two_runners_share_the_work(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(30)
    async with cloud(emulator.endpoint_url) as one, cloud(emulator.endpoint_url) as two:
        async with quick(one, ledger_url, name, folder) as first, quick(two, ledger_url, name, folder) as second:
            await first.add(Manifest.read(folder))
            both = await asyncio.gather(*(outcomes_of(each, concurrency=4) for each in (first, second)))
            assert sum(map(len, both)) == 30
            assert all(both), "both had some"
    assert len(emulator.files) == 30


async def test_stop_ends_all_runners(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(40)
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder) as batch, quick(None, ledger_url, name, folder) as remote:
            await batch.add(Manifest.read(folder))
            done = 0
            async for _ in batch.run(concurrency=2):
                done += 1
                if done == 3:
                    await remote.stop()
            status = await remote.status()
            assert 3 <= status.uploaded < 40
            assert (status.held, status.waiting) == (0, 40 - status.uploaded)
            assert len(await outcomes_of(batch)) == status.waiting


async def test_leaving_early_gives_back(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(40)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        async with aclosing(batch.run(concurrency=4)) as outcomes:
            async for _ in outcomes:
                break
        status = await batch.status()
        assert (status.held, status.runners) == (0, 0)
        assert len(await outcomes_of(batch)) + status.uploaded == 40
    assert len(emulator.published()) == 40


async def test_draining_ends_where_it_can_go_on(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(4, size=1_000_000)
    async with cloud(emulator.endpoint_url, max_bandwidth=400_000) as client:
        async with quick(client, ledger_url, name, folder) as batch:
            await batch.add(Manifest.read(folder))
            running = asyncio.create_task(outcomes_of(batch, concurrency=2))
            await until(lambda: any(each.handle.progress.accepted for each in batch.running))
            await batch.drain(0.5)
            assert await running == []
            status = await batch.status()
            assert (status.waiting, status.held) == (4, 0)
            assert all(each.attempts == 0 for each in await batch.report())
            client.set_bandwidth(None)
            outcomes = await outcomes_of(batch)
            assert sum(each.receipt.resumed_bytes for each in outcomes if each.receipt) > 0
    assert len(emulator.files) == 4


async def test_what_a_dead_runner_held_is_taken_over(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(3)
    dead = open_ledger(ledger_url, name)
    await dead.open()
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        assert len(await dead.claim(2, 0.5)) == 2
        assert len(await outcomes_of(batch)) == 3
    await dead.aclose()


async def test_a_run_waits_for_what_others_hold(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(1)
    other = open_ledger(ledger_url, name)
    await other.open()
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        (claim,) = await other.claim(1, 60)
        running = asyncio.create_task(outcomes_of(batch))
        await asyncio.sleep(0.3)
        assert not running.done()
        await other.release([(claim.number, claim.fence)])
        assert len(await running) == 1
    await other.aclose()


async def test_items_without_a_lasting_source_are_refused(tmp_path: Path) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x"

    async with Batch(None, tmp_path / "a.ledger") as batch:
        for source in (b"bytes", stream(), object(), ""):
            with pytest.raises(ConfigurationError):
                await batch.add([UploadItem(source, NAME, "mp4", 1)])
        with pytest.raises(ConfigurationError, match=r"Manifest\.read"):
            await batch.add("videos.csv")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            async for _ in batch.run():
                pass
        assert (await batch.status()).total == 0


async def test_identities(tmp_path: Path) -> None:
    async with Batch(None, tmp_path / "a.ledger", root=tmp_path / "data") as batch:
        assert (await batch.add([UploadItem("a/b.mp4", NAME)])).added == 1
        assert (await batch.add([UploadItem(tmp_path / "data" / "a" / "x" / ".." / "b.mp4", NAME)])).known == 1
        assert (await batch.add([UploadItem("other.mp4", NAME, key="k")])).added == 1
        assert (await batch.add([UploadItem("moved.mp4", NAME, key="k")])).known == 1
        signed = "https://user:pw@host/film.mp4?X-Amz-Signature=secret&v={}"
        assert (await batch.add([UploadItem(signed.format(1), NAME)])).added == 1
        assert (await batch.add([UploadItem(signed.format(2), NAME)])).added == 1
        assert (await batch.add([UploadItem(signed.format(2).replace("secret", "new"), NAME)])).known == 1

        async def many() -> AsyncIterator[UploadItem]:
            yield UploadItem("a/b.mp4", NAME)
            yield UploadItem("c.mp4", NAME)

        result = await batch.add(many())
        assert (result.added, result.known) == (1, 1)
        report = await batch.report()
        assert "secret" not in report.to_csv() + report.to_json()
        assert "pw@" not in report.to_csv()


@pytest.mark.parametrize("after", ["delete", "move"])
async def test_what_becomes_of_files(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str, tmp_path: Path, after: str
) -> None:
    folder = films(3)
    (folder / "sub").mkdir()
    shutil.move(folder / "film 001.mp4", folder / "sub" / "film 001.mp4")
    done = tmp_path / "done"
    how = "delete" if after == "delete" else f"move:{done}"
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder, on_success=how) as batch:
            await batch.add(Manifest.read(folder))
            assert len(await outcomes_of(batch, wait_until_published=True)) == 3
    assert list(folder.rglob("*.mp4")) == []
    left = sorted(str(each.relative_to(done)) for each in done.rglob("*.mp4"))
    assert left == ([] if after == "delete" else ["film 000.mp4", "film 002.mp4", "sub/film 001.mp4"])


@pytest.mark.parametrize("wait", [False, True])
async def test_the_file_of_a_duplicate_is_tidied_up_too(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str, wait: bool, tmp_path: Path
) -> None:
    folder = films(2)
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder, on_success=f"move:{tmp_path / 'done'}") as batch:
            await batch.add(Manifest.read(folder))
            shutil.copy(folder / "film 000.mp4", tmp_path / "kept.mp4")
            await outcomes_of(batch, wait_until_published=wait)
            shutil.move(tmp_path / "kept.mp4", folder / "again.mp4")
            await batch.add(Manifest.read(folder))
            (outcome,) = await outcomes_of(batch, wait_until_published=wait)
    assert outcome.duplicate
    assert list(folder.iterdir()) == []
    assert len(emulator.published()) == 2


async def test_the_file_of_a_duplicate_is_left_while_its_video_is_not_published(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = films(1)
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder, on_success="delete") as batch:
            shutil.copy(folder / "film 000.mp4", folder / "again.mp4")
            await batch.add([UploadItem(folder / "film 000.mp4", NAME)])
            (first,) = await outcomes_of(batch)
            assert first.receipt is not None
            await asyncio.to_thread(emulator.set_outcome, first.receipt.file_id, FileState.PUBLISHING)
            await batch.add([UploadItem(folder / "again.mp4", NAME)])
            async with aclosing(batch.run(wait_until_published=True)) as outcomes:
                assert (await anext(outcomes)).duplicate
    assert "could not be verified" in caplog.text
    assert [each.name for each in folder.iterdir()] == ["again.mp4"]


async def test_a_file_that_arrives_under_the_name_of_one_that_is_done(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(1)
    film = UploadItem(folder / "film 000.mp4", NAME)
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder, on_success="delete") as batch:
            assert (await batch.add_arrivals([film])).added == 1
            # Seen again before it is done, it is the same.
            assert (await batch.add_arrivals([film])).known == 1
            await outcomes_of(batch)
            for content in (b"the second", b"the third"):
                (folder / "film 000.mp4").write_bytes(content)
                assert (await batch.add_arrivals([film])).added == 1
                assert (await batch.add_arrivals([film])).known == 1
                (outcome,) = await outcomes_of(batch)
                assert outcome.ok
            assert not (folder / "film 000.mp4").exists()
            report = await batch.report()
            assert [each.key for each in report] == ["", "film 000.mp4 #2", "film 000.mp4 #3"]
            assert len({each.file_id for each in report}) == 3


async def test_sources_behind_urls(emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str) -> None:
    folder = films(1)
    asked = []

    async def opened(url: str) -> Path:
        asked.append(url)
        return folder / "film 000.mp4"

    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder, open_source=opened) as batch:
            await batch.add([UploadItem("asset://17?token=t", NAME)])
            (outcome,) = await outcomes_of(batch)
            assert outcome.ok
    assert asked == ["asset://17?token=t"]


@pytest.fixture
def small_account() -> Iterator[ThreadedEmulatorServer]:
    """A service that takes two videos."""
    with ThreadedEmulatorServer(EmulatorConfig(quota_files=2, publish_after=0)) as server:
        yield server


async def test_what_was_done_before_the_quota_is_told(
    small_account: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(4)
    async with cloud(small_account.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        done = []
        with pytest.raises(QuotaExceededError):
            async for outcome in batch.run(concurrency=1):
                done.append(outcome)  # noqa: PERF401 - it raises
        assert [each.ok for each in done] == [True, True]
        assert (await batch.status()).waiting == 2


async def test_a_loop_that_is_left_ends_with_the_batch(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str
) -> None:
    folder = films(40)
    async with cloud(emulator.endpoint_url) as client:
        async with quick(client, ledger_url, name, folder) as batch:
            await batch.add(Manifest.read(folder))
            outcomes = batch.run(concurrency=4)
            assert (await anext(outcomes)).ok
        async with quick(None, ledger_url, name, folder) as again:
            status = await again.status()
            assert (status.held, status.runners) == (0, 0)
        await outcomes.aclose()
