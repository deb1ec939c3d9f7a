"""The page on sources: its range source is uploaded, resumed by its name, and refused once it has changed."""

from __future__ import annotations

import importlib.util
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import AsyncVideoCloud, Metadata, RangeSource, SqliteJournal
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "range_source.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("range_source", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.anyio
async def test_the_range_source_is_uploaded(
    iqiyi_emulator: ThreadedEmulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 1000
    for number in range(3):
        (tmp_path / f"{number}.part").write_bytes(data[number * 100_000 : (number + 1) * 100_000])
    recording: RangeSource = example().Recording(tmp_path, 100_000)
    monkeypatch.setenv("IQIYI_APP_KEY", DEFAULT_APP_KEY)
    monkeypatch.setenv("IQIYI_APP_SECRET", DEFAULT_APP_SECRET)
    monkeypatch.setenv("IQIYI_ENDPOINT_URL", iqiyi_emulator.endpoint_url)
    async with (
        aclosing(SqliteJournal(tmp_path / "journal.db")) as journal,
        AsyncVideoCloud.from_env(journal=journal) as cloud,
    ):
        receipt = await cloud.upload(recording, Metadata("Recording"))
        assert iqiyi_emulator.content(receipt.file_id) == data
        again = await cloud.upload(example().Recording(tmp_path, 100_000), Metadata("Recording"))
        assert again.file_id == receipt.file_id


def test_the_page_shows_the_example_as_it_is() -> None:
    text = EXAMPLE.read_text("utf-8")
    body = text[text.index("class Recording") :].strip()
    assert body in (DOCS / "sources.md").read_text("utf-8")
