"""What a batch, its manifests and its reports say to arguments and files that can't work."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import ConfigurationError, Metadata, UploadItem
from iqiyi_async.batch import Batch, BatchReport, BatchStatus, Manifest, ReportItem
from iqiyi_async.batch.ledger.base import LedgerError
from iqiyi_async.batch.ledger.rows import entry_from_json, entry_to_json, metadata_from_json, metadata_to_json
from iqiyi_async.batch.manifest.columns import ColumnError, make_item
from iqiyi_async.batch.outage import OutageWatch
from iqiyi_async.batch.verdicts import Verdict
from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer
from iqiyi_async.models import Category, Fingerprint, JournalEntry

from ..engine.tools import NAME, cloud
from .test_runs import Films, outcomes_of, quick

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"open_source": "a function"}, "open_source"),
        ({"max_bandwidth": -1}, "max_bandwidth"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"name": ""}, "name"),
        ({"on_success": "archive"}, "on_success"),
    ],
)
def test_settings_of_a_batch(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Batch(None, tmp_path / "a.ledger", **settings)


def test_a_batch_tells_which_it_is() -> None:
    assert repr(Batch(None, Path("a.ledger"), name="spring")) == "<Batch 'spring' in <SqliteLedger a.ledger>>"
    told = repr(Batch(None, "postgresql://user:secret@host/db", name="spring", max_bandwidth=1000))
    assert told == "<Batch 'spring' in <PostgresLedger>>"


@pytest.mark.anyio
async def test_items_of_the_wrong_kind(tmp_path: Path) -> None:
    async with Batch(None, tmp_path / "a.ledger", root=tmp_path) as batch:
        sources: list[Any] = [b"bytes", " ", "a\0.mp4", "a\udcff.mp4"]
        wrong: list[Any] = [5, ["a.mp4"], *([UploadItem(source, NAME)] for source in sources)]
        for items in wrong:
            with pytest.raises(ConfigurationError):
                await batch.add(items)
        # In a manifest they are bad lines, which stop no others.
        given = [UploadItem("a\0.mp4", NAME), UploadItem("b.mp4", NAME)]
        assert (await batch.add(Manifest.read(given))).invalid == 1
        with pytest.raises(ConfigurationError, match="no client"):
            await anext(batch.run())
        await batch.drain(1.0)
        assert (batch.reviewed, list(batch.running)) == (0, [])
        assert len(await batch.report(urls=True)) == 2
        assert (await batch.status()).unfinished == 1


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_many_items_are_added_in_lots(kind: str, tmp_path: Path) -> None:
    def plain() -> Iterator[UploadItem]:
        return (UploadItem(f"{number}.mp4", NAME) for number in range(4001))

    async def asynchronous() -> AsyncIterator[UploadItem]:
        for item in plain():
            yield item

    async with Batch(None, tmp_path / "a.ledger", root=tmp_path) as batch:
        assert (await batch.add(plain() if kind == "plain" else asynchronous())).added == 4001


@pytest.mark.anyio
async def test_adding_that_is_cancelled_waits_for_no_reader(tmp_path: Path) -> None:
    def slow() -> Iterator[UploadItem]:
        time.sleep(0.3)
        yield UploadItem("a.mp4", NAME)

    async with Batch(None, tmp_path / "a.ledger") as batch:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await batch.add(Manifest.read(slow()))
        assert (await batch.status()).total == 0


def test_sources_of_a_manifest(tmp_path: Path) -> None:
    (item,) = Manifest.read("https://host/films/a%20b.mp4?sig=x")
    assert (item.source, item.metadata.name) == ("https://host/films/a%20b.mp4?sig=x", "a b")
    with pytest.raises(ConfigurationError, match="No such file"):
        list(Manifest.read(tmp_path / "none.csv"))
    with pytest.raises(ConfigurationError, match="there is no such file or folder"):
        list(Manifest.read(tmp_path / "none"))
    again = Manifest.read("-", "a.csv", "https://host/a.mp4?sig=x").again()
    assert repr(again) == "<Manifest ['a.csv', 'https://host/a.mp4']>"


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"description": "长" * 5000}, "description"),
        ({"tags": ["fine", "长" * 5000]}, "tags"),
        ({"description": "x" * 3000, "title": "y" * 2000, "tags": ["z" * 20] * 100}, "description"),
    ],
    ids=["description", "tags", "all together"],
)
def test_what_is_too_long_names_its_column(values: dict[str, Any], column: str) -> None:
    with pytest.raises(ColumnError) as caught:
        make_item({"source": "a.mp4", **values})
    assert caught.value.column == column


def test_headings_of_a_file(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"source": "a.mp4", "note": 1}\n{"source": "b.mp4", "note": 2}\n')
    manifest = Manifest.read(lines)
    assert len(list(manifest)) == 2
    assert manifest.ignored_columns == ["note"]
    table = tmp_path / "a.csv"
    table.write_text('"source"x,title\na.mp4,A\n')
    with pytest.raises(ConfigurationError, match="line 1: no CSV"):
        list(Manifest.read(table))


def test_a_dry_run_tells_what_can_not_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = tmp_path / "a.mp4"
    film.write_bytes(b"x")
    (tmp_path / "none").write_bytes(b"x")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    urls = ("ftp://host/a.mp4", "https://host/三亚.mp4", "https://user:secret@host/a.mp4")
    items = [UploadItem(source, NAME) for source in (film, tmp_path / "none", *urls)]
    found = Manifest.read(items).check()
    assert found.items == 0
    said = ("no permission to read it", "file_type is needed", "ftp:// can't be read", "can't be used", "user name")
    assert "secret" not in str(found)
    assert all(each in problem for each, problem in zip(said, found.problems, strict=True))


def test_reports_that_can_not_be_written(tmp_path: Path) -> None:
    report = BatchReport("spring", BatchStatus(), ())
    with pytest.raises(ConfigurationError, match=r"\.csv or \.json"):
        report.write(tmp_path / "report.txt")
    (tmp_path / "report.csv").mkdir()
    with pytest.raises(OSError, match=r"report\.csv"):
        report.write(tmp_path / "report.csv")
    assert sorted(each.name for each in tmp_path.iterdir() if "report" in each.name) == ["report.csv"]
    assert json.loads(report.to_json())["status"]["waiting"] == BatchStatus().waiting


def test_a_report_holds_no_formulas() -> None:
    """Names of files and answers of a service are anybody's words; a spreadsheet would compute them."""
    words = ("=cmd|' /C calc'!A0", "+1", "-1+1.mp4", "@SUM(A1)", "\t=1", "a=1", "")
    items = tuple(ReportItem(each, each, "", "failed", error=each) for each in words)
    report = BatchReport("spring", BatchStatus(), items)
    rows = list(csv.DictReader(io.StringIO(report.to_csv(), newline="")))
    told = [*(f"'{each}" for each in words[:5]), *words[5:]]
    assert all([row[column] for row in rows] == told for column in ("source", "title", "error"))
    assert [each["title"] for each in json.loads(report.to_json())["items"]] == list(words)


@pytest.mark.anyio
@pytest.mark.parametrize("operation", ["list_videos", "get_urls"])
async def test_a_report_does_without_what_can_not_be_asked(
    emulator: ThreadedEmulatorServer, films: Films, ledger_url: str, name: str, operation: str
) -> None:
    folder = films(2)
    async with cloud(emulator.endpoint_url) as client, quick(client, ledger_url, name, folder) as batch:
        await batch.add(Manifest.read(folder))
        await outcomes_of(batch, wait_until_published=True)
        emulator.faults = FaultPlan([Fault(operation=operation, code="Q00001")])
        report = await batch.report(urls=True)
        assert [bool(each.page_url) for each in report] == [operation != "list_videos"] * 2
        assert [bool(each.urls) for each in report] == [operation != "get_urls"] * 2
        emulator.faults = FaultPlan()
        assert all(each.page_url and each.urls for each in await batch.report(urls=True))


def test_rows_of_a_ledger() -> None:
    for metadata in (Metadata("A"), Metadata("A", 'a "b"', ("x", "y"), Category.TRAVEL)):
        assert metadata_from_json(metadata_to_json(metadata)) == metadata
    entry = JournalEntry("f", "http://host/upload", Fingerprint(1, 0, 0, ""), remember=7.0)
    damaged = entry_to_json(entry).replace('"remember": 7.0', f'"remember": 1{"0" * 400}')
    for text in ("no json", "{}", "[]", '{"upload_url": 1, "fingerprint": 5}', damaged):
        assert entry_from_json(text, file_id="f", phase="sending", changed=0.0, key="k") is None


def test_an_outage_grows_only_when_its_pause_is_over() -> None:
    now = [0.0]
    watch = OutageWatch(lambda: now[0])
    assert watch.failure(1, down=True) is Verdict.RELEASE
    pause = watch.pause
    assert watch.failure(2, down=True) is Verdict.RELEASE
    assert watch.pause == pause


@pytest.mark.anyio
@pytest.mark.parametrize("place", ["a folder", "no folder", "must exist"])
async def test_places_where_no_ledger_can_be(place: str, tmp_path: Path) -> None:
    path = {"a folder": tmp_path, "no folder": tmp_path / "none" / "a.ledger"}.get(place, tmp_path / "a.ledger")
    with pytest.raises(ConfigurationError):
        async with Batch(None, path, must_exist=place == "must exist"):
            pass


@pytest.mark.anyio
async def test_a_ledger_that_is_removed_while_it_is_used(tmp_path: Path) -> None:
    async with Batch(None, tmp_path / "a.ledger") as batch:
        (tmp_path / "a.ledger").unlink()
        with pytest.raises(LedgerError, match="removed or replaced"):
            await batch.status()


@pytest.mark.anyio
async def test_a_ledger_whose_folder_goes_away_may_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    async with Batch(None, folder / "a.ledger") as batch:
        await batch.add([UploadItem("a.mp4", NAME)])
    folder.rename(tmp_path / "away")
    with pytest.raises(LedgerError, match="can't be used"):
        await batch.status()
    (tmp_path / "away").rename(folder)
    assert (await batch.status()).waiting == 1
    await batch.aclose()


@pytest.mark.anyio
async def test_a_batch_that_was_not_opened_is_closed(tmp_path: Path) -> None:
    await Batch(None, tmp_path / "a.ledger").aclose()
    assert not list(tmp_path.iterdir())


@pytest.mark.anyio
async def test_a_ledger_of_another_release_is_left(tmp_path: Path) -> None:
    import sqlite3

    database = sqlite3.connect(tmp_path / "a.ledger")
    database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(ConfigurationError, match="no ledger of this release"):
        async with Batch(None, tmp_path / "a.ledger"):
            pass


def test_without_the_library_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from iqiyi_async.batch import Batch\n"
        "try:\n    Batch(None, 'postgresql://localhost/x')\n"
        "except ImportError as e:\n    print(e)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=False)
    assert "pip install 'iqiyi-async[postgres]'" in done.stdout, done.stderr
