"""The page on web back ends: its first program runs as it stands there, and what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iqiyi_async.emulator import ThreadedEmulatorServer

from ..engine.tools import content
from .programs import Application
from .tus import Tus

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "web-backends.md").read_text("utf-8")


@pytest.mark.anyio
async def test_the_first_program_takes_an_upload(emulator: ThreadedEmulatorServer, tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "pasted.py").write_text(found[1])
    film = content(100_000)
    with Application(emulator, tmp_path, "pasted:app", where=tmp_path) as running:
        async with Tus(f"{running.url}/uploads/") as tus:
            await tus.send_all(await tus.new(len(film), "film.mp4"), film)
        (video,) = emulator.files.values()
        assert emulator.content(video.file_id) == film
    assert f" is video {video.file_id}" in running.log


def test_what_the_page_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert links
    for link in links:
        assert (DOCS / link).exists(), link
