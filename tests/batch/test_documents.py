"""The documents of batches do what they say: their examples, in their order, in one folder.

The code of the Chinese pages is the same; `tests/test_translations.py` holds that.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

import iqiyi_async
from iqiyi_async import UploadItem
from iqiyi_async.batch import Manifest
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(name: str) -> Iterator[tuple[str, str, str]]:
    for match in _BLOCK.finditer((DOCS / name).read_text("utf-8")):
        yield match[1], match[2] or "", match[3]


@pytest.mark.timeout(120)
def test_the_examples(emulator: ThreadedEmulatorServer, tmp_path: Path) -> None:
    films = tmp_path / "films"
    (films / "races").mkdir(parents=True)
    for number, path in enumerate(("beach.mp4", "races/final.mp4")):
        (films / path).write_bytes(Random(number).randbytes(50_000))
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": emulator.endpoint_url,
        "PYTHONPATH": str(Path(iqiyi_async.__file__).parents[1]),
        "PYTHONIOENCODING": "utf-8",
    }

    def run(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, (words, done.stderr.decode())

    ran = 0
    for language, title, text in blocks("batches.md"):
        if language == "csv":
            (tmp_path / title).write_text(text, "utf-8")
        elif language == "sh":
            for line in text.splitlines():
                if line.startswith("iqiyi-async "):
                    run("-m", "iqiyi_async", *line.split()[1:])
                    ran += 1
        elif "asyncio.run" in text:
            run("-c", text)
            ran += 1
    assert ran == 7
    assert len(emulator.published()) == 2
    assert (tmp_path / "report.csv").exists()
    assert (tmp_path / "report.json").exists()


def test_the_spreadsheets_are_read_alike(tmp_path: Path) -> None:
    read: list[list[UploadItem]] = []
    for language, title, text in blocks("batches.md"):
        if language == "csv":
            (tmp_path / title).write_text(text, "utf-8")
            read.append(list(Manifest.read(tmp_path / title, root=tmp_path)))
    english, chinese = read
    assert [item.source for item in chinese] == [item.source for item in english]
    assert [item.metadata.category for item in chinese] == [item.metadata.category for item in english]
    assert chinese[0].metadata.name == "海边的一天"
    assert chinese[0].metadata.tags == ("海滩", "海南")


@pytest.mark.parametrize("name", ["batches.md", "many-machines.md"])
def test_the_python_of_documents_can_be_read(name: str) -> None:
    found = [text for language, _, text in blocks(name) if language == "python"]
    assert found
    for text in found:
        ast.parse(text)


@pytest.mark.parametrize("name", ["batches.md", "batches.zh.md", "many-machines.md", "many-machines.zh.md"])
def test_the_commands_of_documents_have_these_options(name: str) -> None:
    words = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (DOCS / name).read_text("utf-8")))
    help_text = subprocess.run(
        [sys.executable, "-m", "iqiyi_async", "batch", "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert {word for word in words if word not in help_text} == set()
