"""The Python of the pages runs as it is printed: block after block, against the emulator."""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import os
import re
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

import iqiyi_async
import iqiyi_async.emulator
from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer

DOCS = Path(__file__).parents[2] / "docs"
#: Pages whose blocks may use `cloud`, `file_id` and every public name.
PAGES = [
    "index.md",
    "limits-and-tuning.md",
    "migration.md",
    "playing.md",
    "../README.md",
    "reference/errors.md",
    "start.md",
    "tokens-and-journals.md",
    "uploads.md",
]
_BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def blocks(page: str) -> list[str]:
    """Those that stand on the page; `test_programs` runs the files that it includes."""
    found = _BLOCK.findall((DOCS / page).read_text("utf-8"))
    # Tests are run by the plugin's own suite, web applications by `test_examples`.
    return [block for block in found if "def test_" not in block and "FastAPI" not in block]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iqiyi_emulator: ThreadedEmulatorServer) -> Path:
    """Where a reader would be: with some videos, and the credentials in the environment."""
    (tmp_path / "series").mkdir()
    for number, name in enumerate(("holiday.mp4", "film.mp4", "series/1.mp4", "series/2.mp4")):
        (tmp_path / name).write_bytes(bytes([number]) * 300_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQIYI_APP_KEY", DEFAULT_APP_KEY)
    monkeypatch.setenv("IQIYI_APP_SECRET", DEFAULT_APP_SECRET)
    monkeypatch.setenv("IQIYI_ENDPOINT_URL", iqiyi_emulator.endpoint_url)
    return tmp_path


# A client borrows its journal: the programs of a page let go of theirs without closing it, as a process does at its
# end.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <sqlite3.Connection:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_run(page: str, folder: Path, iqiyi_emulator: ThreadedEmulatorServer) -> None:
    together: list[CodeType] = []
    for block in blocks(page):
        if "asyncio.run(" in block:
            run_alone(block, folder)
        else:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            together.append(compile(block, f"docs/{page}", "exec", flags=flags, dont_inherit=True))
    asyncio.run(run_together(together, iqiyi_emulator.endpoint_url))
    gc.collect()  # here, where it is known what is left


def run_alone(block: str, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, env=environment, capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


async def run_together(programs: list[CodeType], url: str) -> None:
    async with AsyncVideoCloud(DEFAULT_APP_KEY, DEFAULT_APP_SECRET, endpoints=Endpoints.single(url)) as cloud:
        names: dict[str, Any] = {"AsyncVideoCloud": AsyncVideoCloud, "Metadata": Metadata, "cloud": cloud}
        names["file_id"] = (await cloud.upload(b"a video", Metadata("A video"), file_type="mp4")).file_id
        await cloud.wait_until_published(names["file_id"])
        for program in programs:
            result = eval(program, names)
            if inspect.iscoroutine(result):
                await result


@pytest.mark.parametrize("module", [iqiyi_async, iqiyi_async.emulator])
def test_the_examples_of_docstrings_run(
    module: ModuleType, folder: Path, iqiyi_emulator: ThreadedEmulatorServer
) -> None:
    text = "".join(re.findall(r"^    .*\n", module.__doc__ or "", re.MULTILINE))
    program = compile(textwrap.dedent(text), "docstring", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    ours = partial(AsyncVideoCloud, endpoints=Endpoints.single(iqiyi_emulator.endpoint_url))
    given = {"AsyncVideoCloud": ours, "app_key": DEFAULT_APP_KEY, "app_secret": DEFAULT_APP_SECRET}
    names = {name: getattr(module, name) for name in module.__all__} | given
    asyncio.run(eval(program, names))


@pytest.mark.parametrize("page", sorted({page.name for page in DOCS.glob("*.md")}))
def test_files_that_a_page_includes_are_there(page: str) -> None:
    for name in _SNIPPET.findall((DOCS / page).read_text("utf-8")):
        # The suite may run without the checkout around it; the site's own build looks for all of them.
        if name.startswith("docs/"):
            assert (DOCS.parent / name).is_file(), f"{page} includes {name}, which is not there"


def test_every_command_is_on_its_page() -> None:
    """Each command of the program is on its page, and each option on the page is one of the program."""
    page = (DOCS / "command-line.md").read_text("utf-8")
    commands = ["upload", "status", "list", "urls", "delete", "unfinished", "doctor", "demo", "emulator", "batch"]
    calls = [["--help"], *([each, "--help"] for each in commands), ["batch", "run", "--help"]]
    # One process for all: starting costs more than the help.
    each = "assert run(call) == 0; print('END', flush=True)"
    program = f"from iqiyi_async.cli.front import run\nfor call in {calls!r}: {each}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "COLUMNS": "200"},
        capture_output=True,
        timeout=50,
        check=True,
    )
    overview, *rest = done.stdout.decode().split("END\n")
    assert len(rest) == len(calls)
    told = set(re.findall(r"`iqiyi-async ([a-z]+)", page))
    assert set(re.findall(r"^│ ([a-z]+) ", overview, re.MULTILINE)) <= told
    options = set(re.findall(r"--[a-z][a-z-]+", " ".join([overview, *rest])))
    used = {word for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", page) if word != "--help"}
    assert used <= options


def test_names_that_pages_link_are_public() -> None:
    """What a page links in the reference, as `[..][iqiyi_async.Name]`, is public."""
    for page in DOCS.rglob("*.md"):
        for name in re.findall(r"\]\[iqiyi_async\.([A-Z]\w+)", page.read_text("utf-8")):
            assert name in iqiyi_async.__all__, f"{page.name}: {name}"
