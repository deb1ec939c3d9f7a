"""The page on web back ends: its first program runs as it stands there, and what it links to is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer

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


@pytest.mark.anyio
async def test_an_upload_that_the_server_starts(
    emulator: ThreadedEmulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (second,) = [each for each in programs if "websocket" in each]
    for name, value in (
        ("IQIYI_APP_KEY", DEFAULT_APP_KEY),
        ("IQIYI_APP_SECRET", DEFAULT_APP_SECRET),
        ("IQIYI_ENDPOINT_URL", emulator.endpoint_url),
        ("XDG_STATE_HOME", str(tmp_path / "state")),
    ):
        monkeypatch.setenv(name, value)
    (tmp_path / "holiday.mp4").write_bytes(content(100_000))
    space: dict[str, Any] = {}
    exec(programs[0] + second.replace("/srv/films", str(tmp_path)), space)
    app, seen = space["app"], list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            seen.append(json.loads(message["text"]))

    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as browser:
            assert (await browser.post("/films/holiday")).json() == {"state": "waiting"}
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/films/holiday/progress",
            "headers": [],
            "query_string": b"",
        }
        await app(scope, receive, send)
    assert seen[-1]["state"] == "finished"
    assert (seen[-1]["accepted"], seen[-1]["total"]) == (100_000, 100_000)


def test_what_the_page_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert links
    for link in links:
        assert (DOCS / link).exists(), link
