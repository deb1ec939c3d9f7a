"""`doctor`: against a service that works, behind a real nginx, and where nothing works."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iqiyi_async.cli import trial
from iqiyi_async.cli.options import Account
from iqiyi_async.cli.reach import Reached, reach
from iqiyi_async.emulator import EmulatorConfig, Fault, FaultPlan, ThreadedEmulatorServer

from .nginx import NGINX, free_port, nginx
from .program import APP_KEY, APP_SECRET, Finished, run

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[tuple[ThreadedEmulatorServer, int]]:
    """A service whose addresses are those of a proxy before it, and the port of that proxy."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = EmulatorConfig(app_key=APP_KEY, app_secret=APP_SECRET, public_url=url, publish_after=0)
    with ThreadedEmulatorServer(config) as server:
        yield server, port


def findings(done: Finished) -> dict[str, tuple[str, str]]:
    return {each["check"]: (each["level"], each["remedy"]) for each in done.json["findings"]}


def test_where_everything_works(service: ThreadedEmulatorServer, state: Path) -> None:
    done = run(service, "doctor", XDG_STATE_HOME=str(state))
    assert done.code == 0
    lines = done.out.splitlines()
    assert all(line.startswith(("ok ", "options that fit: ")) for line in lines), done.out
    assert lines[-1] == "options that fit: --parameters headers --chunk-size 4MiB --workers 8"
    assert any("connection" in line and " ms" in line for line in lines)
    assert "uploads can work from here" in done.err
    # The test uploads are gone.
    assert not service.open_uploads()
    assert not service.published()


def test_for_machines(service: ThreadedEmulatorServer, state: Path) -> None:
    done = run(service, "doctor", "--json", XDG_STATE_HOME=str(state))
    assert (done.code, done.err) == (0, "")
    assert done.json["ok"] is True
    assert done.json["options"] == {"parameters": "headers", "chunk_size": 4 * 2**20, "max_workers": 8}
    assert all(level == "ok" for level, _ in findings(done).values())


@needs_nginx
def test_behind_an_nginx_with_its_default_settings(
    behind: tuple[ThreadedEmulatorServer, int], state: Path, tmp_path: Path
) -> None:
    server, port = behind
    with nginx(tmp_path, server.endpoint_url, port=port) as url:
        done = run(server, "doctor", "--json", XDG_STATE_HOME=str(state), IQIYI_ENDPOINT_URL=url)
        assert done.code == 1
        assert done.json["options"] == {"parameters": "body", "chunk_size": 512 * 1024, "max_workers": 8}
        found = findings(done)
        assert found["test upload, parameters in headers"] == ("failure", "upload with --parameters body")
        assert found["test upload, parameters in the body"] == ("failure", "upload with --chunk-size 512KiB")
        # What it advises works.
        film = tmp_path / "film.mp4"
        film.write_bytes(os.urandom(3_000_000))
        advised = ["--parameters", "body", "--chunk-size", "512KiB"]
        done = run(server, "upload", "-q", film, *advised, XDG_STATE_HOME=str(state), IQIYI_ENDPOINT_URL=url)
        assert done.code == 0, done.err
    (view,) = server.published()
    assert server.content(view.file_id) == film.read_bytes()


@needs_nginx
def test_behind_an_nginx_that_takes_large_bodies(
    behind: tuple[ThreadedEmulatorServer, int], state: Path, tmp_path: Path
) -> None:
    server, port = behind
    with nginx(tmp_path, server.endpoint_url, port=port, more="client_max_body_size 64m;") as url:
        done = run(server, "doctor", XDG_STATE_HOME=str(state), IQIYI_ENDPOINT_URL=url)
    assert "options that fit: --parameters body --chunk-size 4MiB --workers 8" in done.out


@pytest.mark.anyio
@pytest.mark.parametrize("date", [b"yesterday", b"\xff", b"Mon, 01 Jan 99999 00:00:00 GMT", b""])
async def test_a_server_with_an_odd_clock_is_reached(date: bytes) -> None:
    found = await reach_one(b"HTTP/1.1 200 OK\r\nDate: " + date + b"\r\n\r\n")
    assert (found.finding.level, found.skew) == ("ok", None)


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"", b"x" * 100_000])
async def test_a_server_that_speaks_something_else(answer: bytes) -> None:
    found = await reach_one(answer)
    assert (found.finding.level, found.finding.text) == ("failure", "answer: no HTTP answer")


async def reach_one(answer: bytes) -> Reached:
    """Reach a server that says this to everybody."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        return await reach(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", needed=True)


def test_nobody_there(state: Path) -> None:
    done = run(
        None,
        "doctor",
        IQIYI_APP_KEY=APP_KEY,
        IQIYI_APP_SECRET=APP_SECRET,
        IQIYI_ENDPOINT_URL="http://127.0.0.1:1",
        XDG_STATE_HOME=str(state),
        HTTPS_PROXY="http://user:pass-word@proxy.example:3128",
    )
    assert done.code == 1
    assert "FAILS    http://127.0.0.1:1: connection: " in done.out
    assert "port 1 must be open" in done.out
    assert "warning  HTTPS_PROXY: " in done.out
    assert "pass-word" not in done.text


def test_without_credentials(service: ThreadedEmulatorServer, state: Path) -> None:
    done = run(
        None, "doctor", "--json", IQIYI_ENDPOINT_URL=service.endpoint_url, XDG_STATE_HOME=str(state), IQIYI_APP_KEY=""
    )
    assert done.code == 1
    level, remedy = findings(done)["credentials"]
    assert (level, "IQIYI_APP_KEY" in remedy) == ("failure", True)
    assert not [exchange for exchange in service.history if exchange.operation.value == "authorize"]


def test_refused_credentials(service: ThreadedEmulatorServer, state: Path) -> None:
    done = run(service, "doctor", "--json", XDG_STATE_HOME=str(state), IQIYI_APP_SECRET="nonsense-nonsense")
    assert done.code == 1
    assert findings(done)["account"][0] == "failure"
    assert done.json["options"] is None


def test_a_state_folder_that_others_can_read(service: ThreadedEmulatorServer, state: Path) -> None:
    run(service, "list", XDG_STATE_HOME=str(state))
    tokens = state / "iqiyi-async" / "tokens.json"
    tokens.chmod(0o644)
    done = run(service, "doctor", XDG_STATE_HOME=str(state))
    assert done.code == 1
    assert f"FAILS    {tokens}: is open to other users (mode 0644); chmod 600 {tokens}" in done.out


def test_an_application_that_may_not_upload(service: ThreadedEmulatorServer, state: Path) -> None:
    service.faults = FaultPlan([Fault(operation="request_upload", code="A00008")])
    done = run(service, "doctor", XDG_STATE_HOME=str(state))
    assert done.code == 1
    assert "FAILS    test upload, parameters in headers: " in done.out


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_says_nothing_is_waited_for_once(silent: str, state: Path) -> None:
    """It took 77 s: the account was asked for again and again after nothing had answered."""
    began = time.monotonic()
    done = run(
        None,
        "doctor",
        IQIYI_APP_KEY=APP_KEY,
        IQIYI_APP_SECRET=APP_SECRET,
        IQIYI_ENDPOINT_URL=silent,
        XDG_STATE_HOME=str(state),
    )
    assert time.monotonic() - began < 30
    assert done.code == 1
    assert f"FAILS    {silent}: answer: nothing within 10.0 s" in done.out
    assert "warning  account: not tried: the addresses above do not answer" in done.out


@pytest.mark.anyio
async def test_an_account_and_an_upload_that_take_too_long(
    service: ThreadedEmulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "ACCOUNT_SECONDS", 0.5)
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.5)
    monkeypatch.setenv("IQIYI_APP_SECRET", APP_SECRET)
    account = Account(app_key=APP_KEY, endpoint_url=service.endpoint_url)
    service.faults = FaultPlan([Fault(operation="list_videos", delay=5), Fault(operation="upload_chunk", delay=5)])
    assert (await trial.try_account(account)).text == "nothing within 0.5 s"
    (finding,), advice = await trial.try_uploads(account)
    assert (finding.level, finding.text, advice) == ("failure", "nothing within 0.5 s", None)
