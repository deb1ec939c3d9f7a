"""The emulator's page in a real browser: it follows what happens, gives orders, and needs nothing from elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import iqiyi_async
from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata
from iqiyi_async.emulator import (
    DEFAULT_APP_KEY,
    DEFAULT_APP_SECRET,
    EmulatorConfig,
    Fault,
    FileState,
    ThreadedEmulatorServer,
)

from .browser import CHROMIUM, Browser
from .steps import Steps

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page was not tried"),
    pytest.mark.timeout(120),
]

MIB = 1024 * 1024

#: Where pictures for the documentation go; `IQIYI_PICTURES=docs/images pytest tests/emulator/test_page.py` makes them.
PICTURES = os.environ.get("IQIYI_PICTURES")
PAGE_FOLDER = Path(iqiyi_async.__file__).parent / "emulator" / "page"


@pytest.fixture
def server() -> Iterator[ThreadedEmulatorServer]:
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=60)) as served:
        yield served


def steps_of(server: ThreadedEmulatorServer) -> Steps:
    return Steps(server)  # type: ignore[arg-type]


async def half_an_upload(server: ThreadedEmulatorServer, name: str) -> str:
    steps = steps_of(server)
    await steps.authorize()
    file_id = await steps.open(1000)
    for first in (0, 400):
        await steps.chunk(file_id, 1000, first, bytes(100))
    await steps.metadata(file_id, name)
    return file_id


async def the_rest(server: ThreadedEmulatorServer, file_id: str) -> None:
    steps = steps_of(server)
    await steps.authorize()
    for first, count in ((100, 300), (500, 500)):
        await steps.chunk(file_id, 1000, first, bytes(count))
    await steps.finish(file_id)


async def films(server: ThreadedEmulatorServer) -> None:
    """A published film, and one of which three ranges are there."""
    key, secret = DEFAULT_APP_KEY, DEFAULT_APP_SECRET
    async with AsyncVideoCloud(key, secret, endpoints=Endpoints.single(server.endpoint_url)) as cloud:
        await cloud.upload(bytes(12 * MIB), Metadata("Harbour at night"), file_type="mp4")
        server.clock.advance(60)
        ticket = await cloud.request_upload("mp4", 40 * MIB)
        await cloud.set_metadata(ticket.file_id, Metadata("Holiday on Hainan"))
        for first in (0, 4 * MIB, 24 * MIB):
            await cloud.upload_chunk(ticket, first, bytes(4 * MIB))


def test_an_upload_from_its_first_range_to_the_player(server: ThreadedEmulatorServer, tmp_path: Path) -> None:
    with Browser(server.endpoint_url + "/", tmp_path) as page:
        page.until("document.querySelector('.link.live')")
        page.until("!document.getElementById('no-videos').hidden")
        file_id = asyncio.run(half_an_upload(server, "<b>Holiday</b>"))
        page.until("document.querySelectorAll('.video rect').length === 2")
        page.until("document.querySelector('.video .name').textContent === '<b>Holiday</b>'")
        page.until("document.querySelector('.state').textContent === 'uploading'")
        page.until("document.querySelectorAll('#tokens li').length === 2")
        asyncio.run(the_rest(server, file_id))
        page.until("document.querySelector('.state').textContent === 'publishing'")
        page.run("document.querySelector('[data-advance=\"60\"]').click()")
        page.until("document.querySelector('.state').textContent === 'published'")
        page.run("document.querySelector('.play').click()")
        page.until("document.querySelector('video')")
        page.until(
            "document.querySelector('video').networkState === 3 || document.querySelector('video').readyState > 0"
        )
        assert server.files[file_id].plays >= 1
        page.until("document.getElementById('said').textContent.includes(\"can't play\")")
        assert page.run("document.querySelectorAll('.violation').length") > 0
        page.run(
            "(() => { const chosen = document.querySelector('.video select'); chosen.value = 'review_failed';"
            " chosen.dispatchEvent(new Event('change')); })()"
        )
        page.until("document.querySelector('.state').textContent === 'review failed'")
        assert server.files[file_id].state is FileState.REVIEW_FAILED
        assert page.complaints == []


def test_faults_are_switched_with_the_keyboard(server: ThreadedEmulatorServer, tmp_path: Path) -> None:
    server.use_faults(server.faults.extended([Fault(operation="get_urls", status=500)]))
    with Browser(server.endpoint_url + "/", tmp_path) as page:
        page.until("document.querySelectorAll('#faults li').length === 1")
        page.run("document.querySelector('#presets button').focus()")
        page.press(" ")
        page.until("document.querySelector('#presets [aria-checked=true]')")
        assert [fault.operation for fault in server.faults.faults] == ["get_urls", "upload_chunk"]
        page.press(" ")
        page.until("!document.querySelector('#presets [aria-checked=true]')")
        assert [fault.operation for fault in server.faults.faults] == ["get_urls"]
        page.press("t")
        page.until("document.getElementById('ahead').textContent.includes('1 min')")
        page.press("/")
        assert page.run("document.activeElement.id") == "filter"
        for key in "nothing of this kind":
            page.press(key)
        page.until("document.getElementById('no-history').textContent === 'No request fits the filter.'")
        assert server.clock.offset == 60
        assert page.complaints == []


def test_a_server_that_goes_away_is_noticed(tmp_path: Path) -> None:
    server = ThreadedEmulatorServer()
    server.start()
    try:
        with Browser(server.endpoint_url + "/", tmp_path) as page:
            page.until("document.querySelector('.link.live')")
            server.stop()
            page.until("document.querySelector('.link.lost')")
    finally:
        server.stop()


@pytest.mark.parametrize("dark", [False, True])
def test_pictures(server: ThreadedEmulatorServer, tmp_path: Path, dark: bool) -> None:
    asyncio.run(films(server))
    assert server.violations == ()
    with Browser(server.endpoint_url + "/", tmp_path / "profile", dark=dark) as page:
        page.until("document.querySelectorAll('.video').length === 2")
        ground = page.run("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(", "))) < 200) is dark
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        path = Path(PICTURES or tmp_path) / f"emulator-{'dark' if dark else 'light'}.png"
        page.picture(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_files_name_no_other_place() -> None:
    for path in PAGE_FOLDER.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "")
        assert "@import" not in text
