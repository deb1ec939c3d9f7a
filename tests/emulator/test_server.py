"""Servers: inside the loop, in a thread, from the command line; what they say while they run, and what they leave."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from iqiyi_async.emulator import (
    DEFAULT_APP_KEY,
    DEFAULT_APP_SECRET,
    Emulator,
    EmulatorConfig,
    EmulatorServer,
    Fault,
    FaultPlan,
    ThreadedEmulatorServer,
    serve,
)

from .steps import Steps, chunk
from .wire import ask, get, wire


def open_files() -> int:
    """How many file descriptors this process has."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def wait_for_threads(before: set[threading.Thread]) -> None:
    """Idle threads of a loop that has ended are told to end, but nobody waits for them."""
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread


@pytest.mark.anyio
class TestServe:
    async def test_it_says_when_it_is_ready_and_stops_when_told(self) -> None:
        ready: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        config = EmulatorConfig(app_key="k", app_secret="s")
        running = asyncio.create_task(serve(config, on_ready=ready.set_result, stop=stop))
        said = await ready
        assert set(said) == {"endpoint_url", "app_key", "app_secret"}
        assert (said["app_key"], said["app_secret"]) == ("k", "s")
        assert (await ask(said["endpoint_url"], get("/__emulator__/health"))).json["ok"]
        stop.set()
        await running
        with pytest.raises(OSError, match="onnect"):
            await ask(said["endpoint_url"], get("/__emulator__/health"))

    async def test_it_ends_when_cancelled(self) -> None:
        ready = asyncio.Event()
        running = asyncio.create_task(serve(EmulatorConfig(), on_ready=lambda _: ready.set()))
        await ready.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", "", "127.0.0.1.example.com"])
    async def test_it_is_for_loopback_only(self, host: str) -> None:
        with pytest.raises(ValueError, match="loopback"):
            await serve(EmulatorConfig(), host=host)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
    async def test_any_loopback_will_do(self, host: str) -> None:
        try:
            async with EmulatorServer(host=host) as server, httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{server.endpoint_url}/__emulator__/health")).json()["ok"]
        except OSError:
            if host == "::1":
                pytest.skip("no IPv6 here")
            raise

    async def test_a_port_that_is_taken(self) -> None:
        async with EmulatorServer() as one:
            port = int(one.endpoint_url.rsplit(":", 1)[1])
            two = EmulatorServer(port=port)
            with pytest.raises(OSError, match="in use"):
                await two.start()


@pytest.mark.anyio
class TestClosing:
    async def test_nothing_is_left_whatever_was_going_on(self) -> None:
        before = open_files()
        plan = FaultPlan((Fault(operation="get_status", delay=3600), Fault(operation="get_urls", oversize=10**12)))
        tasks = asyncio.all_tasks()
        async with EmulatorServer(EmulatorConfig(faults=plan)) as server:
            steps = Steps(server)
            await steps.authorize()
            file_id = await steps.open(10_000_000)
            async with (
                wire(steps.url) as idle,
                wire(steps.url) as body,
                wire(steps.url) as late,
                wire(steps.url) as much,
            ):
                assert (await idle.ask(get("/nothing"))).status == 404
                await body.send(chunk(file_id, 10_000_000, 0, bytes(5_000_000))[:3_000_000])
                await late.send(get(f"/api/file/fullStatus?access_token={steps.token}&file_id={file_id}"))
                await much.send(get(f"/api/file/urllist?access_token={steps.token}&file_id={file_id}"))
                await much.reader.readexactly(100_000)
                began = time.monotonic()
                await server.aclose()
                assert time.monotonic() - began < 2
                assert asyncio.all_tasks() == tasks
                assert server.connections == 0
        gc.collect()
        assert open_files() <= before + 1

    async def test_closing_twice_and_starting_again(self, tmp_path: Path) -> None:
        emulator = Emulator(EmulatorConfig(data_dir=tmp_path))
        async with EmulatorServer(emulator) as server:
            await Steps(server).authorize()
        await server.aclose()
        async with EmulatorServer(emulator) as server:
            assert len(emulator.state.tokens) == 2
            assert (await ask(server.endpoint_url, get("/openupload"))).code == "A21332"

    async def test_without_a_data_folder_each_start_is_a_new_one(self) -> None:
        emulator = Emulator()
        for _ in range(2):
            async with EmulatorServer(emulator) as server:
                assert not emulator.files
                await Steps(server, "").authorize()
                steps = Steps(server)
                await steps.authorize()
                await steps.open(5)


@pytest.mark.anyio
async def test_no_log_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1):
        async with EmulatorServer() as server:
            steps = Steps(server)
            granted = await steps.authorize()
            file_id = await steps.publish(b"hello")
            await steps.status(file_id)
            await steps.ask(b"nonsense\r\n\r\n")
            await steps.ask(chunk(file_id, 5, 0, b"x").replace(b"--frontier--", b"--frontiex--"))
    logged = "\n".join(record.getMessage() + repr(record.args) + str(record.exc_info) for record in caplog.records)
    for secret in (granted["access_token"], granted["refresh_token"], DEFAULT_APP_SECRET):
        assert secret not in logged
    assert DEFAULT_APP_SECRET not in repr(server.emulator.config)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.anyio
async def test_each_request_is_a_line_of_the_log(steps: Steps, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "iqiyi_async.emulator.requests"):
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        await steps.ask(get("/openupload", access_token="x", file_id="a\tb"))
        await steps.finish(await steps.open(5))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[1].startswith("3 POST /upload upload_chunk, 200 A00000 answered ")
    assert f"file_id {file_id} 0-4" in lines[1]
    assert "file_id a?b" in lines[2]
    assert "VIOLATION: finish was said while 5 of 5 bytes" in lines[-1]
    assert steps.token not in "".join(lines)


@pytest.mark.anyio
async def test_a_broken_disk_is_an_answer_and_a_log_entry(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = await steps.open(5)
    monkeypatch.setattr(steps.emulator.storage, "_folder", Path("/nonexistent"))
    answer = await steps.chunk(file_id, 5, 0, b"hello")
    assert (answer.status, answer.code) == (500, "Q00001")
    assert "disk" in answer.json["msg"]
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "the emulator's disk failed"
    ]
    monkeypatch.undo()
    assert (await steps.chunk(file_id, 5, 0, b"hello")).code == "A00000"


@pytest.mark.anyio
async def test_it_is_an_asgi_application_like_any_other() -> None:
    """With a lifespan, and without a socket."""
    emulator = Emulator()
    told: list[str] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    async def send(message: dict[str, str]) -> None:
        told.append(message["type"])

    await emulator.app({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), base_url="http://emulator") as client:
        answer = await client.get("/openupload", headers={"access_token": "x"})
        assert answer.json()["code"] == "A21332"
    await emulator.aclose()


class TestThreaded:
    def test_from_a_synchronous_suite(self) -> None:
        threads = set(threading.enumerate())
        with ThreadedEmulatorServer(EmulatorConfig(publish_after=60)) as server:
            with httpx.Client(base_url=server.endpoint_url, trust_env=False) as client:
                credentials = {"client_id": DEFAULT_APP_KEY, "client_secret": DEFAULT_APP_SECRET}
                token = client.get("/api/iqiyi/authorize", params=credentials).json()["data"]["access_token"]
                headers = {"filetype": "mp4", "filesize": "5", "access_token": token}
                file_id = client.get("/openupload", headers=headers).json()["data"]["file_id"]
                assert [view.file_id for view in server.open_uploads()] == [file_id]
                place = {"file_id": file_id, "file_size": "5", "range": "0-4"}
                client.post("/upload", headers=place, files={"file": b"hello"}).raise_for_status()
                assert server.content(file_id) == b"hello"
                query = {"access_token": token, "file_id": file_id}
                client.get("/api/file/info", params={**query, "file_name": "a", "description": ""})
                client.post("/uploadfinish", headers={"range_finished": "true", **query})
                assert server.published() == ()
                server.clock.advance(60)
                assert [view.file_id for view in server.published()] == [file_id]
                server.set_outcome(file_id, "review_failed")
                assert client.get("/api/file/fullStatus", params=query).json()["code"] == "A00002"
                server.faults = FaultPlan((Fault(operation="get_status", call=1, status=503),))
                assert client.get("/api/file/fullStatus", params=query).status_code == 503
                assert server.faults.unfired() == ()
                server.spoil_tokens("expired")
                assert client.get("/api/file/fullStatus", params=query).json()["code"] == "A21327"
                assert server.history[-1].operation == "get_status"
                server.reset()
                assert not server.files
        server.stop()
        wait_for_threads(threads)

    def test_looking_while_it_works(self) -> None:
        """From several threads, while others upload."""
        with ThreadedEmulatorServer() as server:
            stop, seen, wrong = threading.Event(), [0], list[BaseException]()

            def look() -> None:
                try:
                    while not stop.is_set():
                        for view in server.files.values():
                            assert sum(last - first + 1 for first, last in view.ranges) == view.accepted
                        seen[0] += len(server.history)
                        server.clock.advance(0.001)
                except BaseException as error:
                    wrong.append(error)

            watchers = [threading.Thread(target=look) for _ in range(3)]
            for watcher in watchers:
                watcher.start()
            try:
                asyncio.run(self._uploads(server))
            finally:
                stop.set()
                for watcher in watchers:
                    watcher.join()
            assert not wrong
            assert seen[0] > 0
            assert all(view.accepted == view.size for view in server.files.values())

    @staticmethod
    async def _uploads(server: ThreadedEmulatorServer) -> None:
        async def one() -> None:
            steps = Steps(server)  # type: ignore[arg-type]
            await steps.authorize()
            file_id = await steps.open(2000)
            for first in (1990, *range(0, 1990, 199)):
                count = min(199, 2000 - first)
                assert (await steps.chunk(file_id, 2000, first, bytes(count))).code == "A00000"

        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(one())

    def test_a_failed_start_leaves_no_thread(self) -> None:
        threads = set(threading.enumerate())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = ThreadedEmulatorServer(port=taken.getsockname()[1])
            with pytest.raises(OSError, match="in use"):
                server.start()
        wait_for_threads(threads)
        with pytest.raises(RuntimeError, match="not running"):
            server.reset()

    def test_starting_twice(self) -> None:
        with ThreadedEmulatorServer() as server, pytest.raises(RuntimeError, match="already"):
            server.start()


@pytest.mark.parametrize(
    "options",
    [
        {"app_key": ""},
        {"app_secret": "a\nb"},
        {"publish_after": -1},
        {"token_lifetime": "1"},
        {"token_lifetime": float("nan")},
        {"url_lifetime": True},
        {"public_url": "ftp://x"},
        {"public_url": "http://x/?a=b"},
        {"public_url": "http://[x"},
        {"qualities": ["8K"]},
        {"early_finish": "maybe"},
        {"repeated_finish": "A00001"},
        {"publish_before_review": 1},
        {"quota_bytes": -1},
        {"quota_files": 1.5},
        {"application": "gone"},
        {"answer_style": "odd"},
        {"history_limit": -1},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError) as caught:
        EmulatorConfig(**options)  # type: ignore[arg-type]
    assert next(iter(options)) in str(caught.value)


@pytest.mark.anyio
async def test_the_history_is_bounded() -> None:
    async with EmulatorServer(EmulatorConfig(history_limit=3)) as server:
        for _ in range(5):
            await ask(server.endpoint_url, get("/openupload"))
        assert [entry.number for entry in server.emulator.history] == [3, 4, 5]


@pytest.mark.anyio
async def test_from_the_command_line_behind_a_proxy() -> None:
    options = ("--public-url", "https://video.test/emulator", "--publish-after", "0", "-v")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "iqiyi_async", "emulator", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = json.loads(await process.stdout.readline())["endpoint_url"]
        key = f"client_id={DEFAULT_APP_KEY}&client_secret={DEFAULT_APP_SECRET}"
        token = (await ask(url, get(f"/api/iqiyi/authorize?{key}"))).json["data"]["access_token"]
        opened = await ask(url, get(f"/openupload?filetype=mp4&filesize=5&access_token={token}"))
        assert opened.json["data"]["upload_url"] == "https://video.test/emulator/upload"
        health = get("/__emulator__/health").replace(b"127.0.0.1", b"video.test")
        assert (await ask(url, health)).status == 200
    finally:
        process.terminate()
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert b"2 GET /openupload request_upload, 200 A00000 answered" in errors
    assert token.encode() not in errors
