"""Batches against the emulator."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from iqiyi_async import Metadata, UploadItem
from iqiyi_async.batch import Batch, Manifest
from iqiyi_async.emulator import ThreadedEmulatorServer

from ..engine.tools import cloud

pytestmark = pytest.mark.anyio

Films = Callable[..., Path]


async def test_from_a_folder_to_published_videos(
    emulator: ThreadedEmulatorServer, films: Films, tmp_path: Path
) -> None:
    folder = films(12)
    async with cloud(emulator.endpoint_url) as client:
        async with Batch(client, f"sqlite:///{tmp_path}/spring.ledger", name="spring", root=folder) as batch:
            added = await batch.add(Manifest.read(folder))
            assert (added.added, added.known, added.invalid) == (12, 0, 0)
            outcomes = [each async for each in batch.run(concurrency=4, wait_until_published=True)]
            assert len(outcomes) == 12
            assert all(outcome.ok and outcome.receipt and outcome.status for outcome in outcomes)
            assert (await batch.status()).published == 12
            report = await batch.report(urls=True)
            assert [item.source for item in report] == [f"film {n:03}.mp4" for n in range(12)]
            assert all(item.page_url and item.urls and item.bytes == 20_000 for item in report)
            # Again: nothing is left to do.
            assert (await batch.add(Manifest.read(folder))).known == 12
            assert [each async for each in batch.run(wait_until_published=True)] == []
    await asyncio.to_thread(report.write, tmp_path / "report.csv")
    await asyncio.to_thread(report.write, tmp_path / "report.json")
    text = (tmp_path / "report.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(text.decode("utf-8-sig").splitlines()))
    assert {row["state"] for row in rows} == {"published"}
    assert len(json.loads((tmp_path / "report.json").read_text("utf-8"))["items"]) == 12


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_what_was_read_before_an_error_is_in_the_ledger(kind: str, tmp_path: Path) -> None:
    def plain() -> Iterator[UploadItem]:
        yield UploadItem("a.mp4", Metadata("A"))
        yield UploadItem("b.mp4", Metadata("B"))
        raise ValueError("the database went away")

    async def asynchronous() -> AsyncIterator[UploadItem]:
        for item in plain():
            yield item

    async with Batch(None, tmp_path / "spring.ledger") as batch:
        with pytest.raises(ValueError, match="went away"):
            await batch.add(plain() if kind == "plain" else asynchronous())
        assert (await batch.status()).waiting == 2
