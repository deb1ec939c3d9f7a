"""The examples, driven as people use them: uppy in a real browser, tus-js-client in Node, curl's way of sending."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer

from ..emulator.browser import CHROMIUM, Browser
from ..engine.tools import content
from .programs import NODE, Application, install_packages, wait_until

FILM = content(1_500_000)
#: Slow enough that what happens on the way falls into the upload.
SLOW = FaultPlan((Fault(operation="upload_chunk", probability=1.0, delay=0.4),))

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="left out: it needs Chromium")


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_packages(tmp_path_factory.mktemp("npm"))


@pytest.fixture
def application(emulator: ThreadedEmulatorServer, node_modules: Path, tmp_path: Path) -> Iterator[Application]:
    with Application(emulator, tmp_path, NODE_MODULES=str(node_modules)) as running:
        yield running


@pytest.fixture
def page(application: Application, tmp_path: Path) -> Iterator[Browser]:
    with Browser(application.url, tmp_path / "profile") as browser:
        browser.until("document.querySelector('.uppy-Dashboard-input')")
        yield browser


def choose(browser: Browser, *files: Path) -> None:
    """Choose files as a person does, and press the button."""
    root = browser.ask("DOM.getDocument")["root"]["nodeId"]
    field = browser.ask("DOM.querySelector", nodeId=root, selector=".uppy-Dashboard-input")["nodeId"]
    browser.ask("DOM.setFileInputFiles", nodeId=field, files=[str(each) for each in files])
    press(browser, ".uppy-StatusBar-actionBtn--upload")


def press(browser: Browser, selector: str) -> None:
    found = f"document.querySelector({json.dumps(selector)})"
    browser.until(found)
    browser.run(f"{found}.click()")


def slow_down(browser: Browser, rate: int, *, offline: bool = False) -> None:
    """Let the browser send so many bytes a second; -1 is no limit."""
    browser.ask("Network.enable")
    limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    browser.ask("Network.emulateNetworkConditions", offline=offline, **limits)


def published(browser: Browser, count: int) -> None:
    browser.until(f"document.querySelectorAll('li[data-state=published]').length == {count}")


def finished(server: ThreadedEmulatorServer) -> list[bytes]:
    return [server.content(each.file_id) for each in server.files.values() if each.finished_at is not None]


def chunks(server: ThreadedEmulatorServer) -> int:
    return sum(each.operation == "upload_chunk" and each.status == 200 for each in server.history)


def films(folder: Path, count: int) -> tuple[list[Path], list[bytes]]:
    data = [number.to_bytes(4, "big") + FILM[4:] for number in range(count)]
    paths = [folder / f"film {number}.mp4" for number in range(count)]
    for path, each in zip(paths, data, strict=True):
        path.write_bytes(each)
    return paths, data


@needs_browser
@pytest.mark.timeout(180)
def test_several_films_from_a_browser(emulator: ThreadedEmulatorServer, page: Browser, tmp_path: Path) -> None:
    paths, data = films(tmp_path, 3)
    choose(page, *paths)
    published(page, 3)
    assert sorted(finished(emulator)) == sorted(data)
    assert page.complaints == []


@needs_browser
@pytest.mark.timeout(180)
def test_a_server_that_is_killed_on_the_way(
    emulator: ThreadedEmulatorServer, application: Application, page: Browser, tmp_path: Path
) -> None:
    paths, data = films(tmp_path, 2)
    emulator.use_faults(SLOW)
    choose(page, *paths)
    wait_until(lambda: any(each.operation == "upload_chunk" for each in emulator.history), "no chunk came")
    application.kill_and_restart()
    emulator.use_faults(FaultPlan(()))
    published(page, 2)
    assert sorted(finished(emulator)) == sorted(data)


@needs_browser
@pytest.mark.timeout(180)
def test_a_network_that_is_cut_on_the_way(emulator: ThreadedEmulatorServer, page: Browser, tmp_path: Path) -> None:
    paths, data = films(tmp_path, 1)
    slow_down(page, 600_000)
    choose(page, *paths)
    page.until("document.querySelector('li[data-state=receiving]')")
    slow_down(page, 600_000, offline=True)
    page.run("new Promise((done) => setTimeout(done, 1500))")
    slow_down(page, -1)
    wait_until(lambda: finished(emulator) == data, "the film is not there")
    published(page, 1)


@needs_browser
@pytest.mark.timeout(180)
def test_pause_reload_and_the_same_file_again(emulator: ThreadedEmulatorServer, page: Browser, tmp_path: Path) -> None:
    paths, data = films(tmp_path, 1)
    slow_down(page, 400_000)
    choose(page, *paths)
    page.until("/^[1-9][0-9]? % received/.test(document.querySelector('li')?.textContent)")
    press(page, ".uppy-StatusBar-actions button[title='Pause']")
    # What has come by then is at the service before anybody asks.
    page.until("/, [1-9][0-9]? % at the service/.test(document.querySelector('li').textContent)")
    press(page, ".uppy-StatusBar-actions button[title='Resume']")
    page.ask("Page.reload")
    page.until("document.querySelector('.uppy-Dashboard-input') && document.querySelector('li[data-state]') == null")
    slow_down(page, -1)
    choose(page, *paths)
    published(page, 1)
    assert finished(emulator) == data
    # The upload of before has gone on.
    assert len(emulator.files) == 1
    press(page, "li button")
    page.until("document.querySelector('video')?.src.startsWith('http')")


@pytest.mark.timeout(180)
def test_tus_js_client_in_node(emulator: ThreadedEmulatorServer, node_modules: Path, tmp_path: Path) -> None:
    (path,), data = films(tmp_path, 1)
    environment = {"JOURNAL": str(tmp_path / "uploads.db"), "FINISHED": str(tmp_path / "finished")}
    emulator.use_faults(SLOW)
    with Application(emulator, tmp_path, "worker_app:app", where=Path(__file__).parent, **environment) as running:
        assert NODE is not None
        script = Path(__file__).with_name("node_client.mjs")
        client = subprocess.Popen(
            [NODE, script, str(node_modules), f"{running.url}/uploads/", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: chunks(emulator) > 0, "no chunk came")
        running.kill_and_restart()
        emulator.use_faults(FaultPlan(()))
        said, _ = client.communicate(timeout=60)
    assert client.returncode == 0, said.decode()
    assert finished(emulator) == data


@pytest.mark.parametrize("name", ["starlette_app:app", "aiohttp_app.py"])
def test_without_the_gateway(emulator: ThreadedEmulatorServer, tmp_path: Path, name: str) -> None:
    if name == "aiohttp_app.py":
        pytest.importorskip("aiohttp", reason="left out: it needs aiohttp")
    with Application(emulator, tmp_path, name) as running:
        request = urllib.request.Request(f"{running.url}/videos?title=Film&key=one", FILM)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 201
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(f"{running.url}/videos?title=", b"x", timeout=20)
        refused.value.close()
    assert finished(emulator) == [FILM]
