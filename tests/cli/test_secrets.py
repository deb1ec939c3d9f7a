"""No secret in anything that is printed, whatever goes wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from iqiyi_async.cli import front
from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer

from .program import APP_KEY, APP_SECRET, run

MakeVideo = Callable[..., Path]

ECHO = '{"code": "Q00001", "msg": "no: %s"}'


@pytest.mark.parametrize(
    "fault",
    [
        Fault(operation="authorize", body=ECHO % APP_SECRET),
        Fault(operation="authorize", status=400, body=APP_SECRET),
        Fault(operation="request_upload", drop=True, times=1),
        Fault(operation="request_upload", token="revoked", times=1),
        Fault(operation="set_metadata", body=ECHO % APP_SECRET),
        Fault(operation="finish_upload", body="<html>" + APP_KEY, times=1),
        Fault(operation="upload_chunk", code="A00010"),
    ],
    ids=lambda fault: fault.operation,
)
def test_nothing_secret_is_printed(
    service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path, fault: Fault
) -> None:
    service.faults = FaultPlan([fault])
    done = run(service, "upload", video(), "-v", "--json")
    printed = done.text
    tokens = set(service.emulator.state.tokens)
    for secret in (APP_SECRET, APP_KEY, *tokens):
        assert secret not in printed
    for path in (tmp_path / "home").rglob("*.db"):
        with sqlite3.connect(path) as database:
            dump = "\n".join(database.iterdump())
        database.close()
        assert not [secret for secret in (APP_SECRET, APP_KEY, *tokens) if secret in dump]
    for path in (tmp_path / "home").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.name in (".local", "home")


def test_a_mistake_of_the_program_shows_no_values(
    service: ThreadedEmulatorServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("APP_KEY", APP_KEY), ("APP_SECRET", APP_SECRET), ("ENDPOINT_URL", service.endpoint_url)):
        monkeypatch.setenv(f"IQIYI_{name}", value)

    async def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("iqiyi_async.cli.videos.show_status", broken)
    assert front.run(["status", "x"]) == 1
    short = capsys.readouterr().err
    assert short.splitlines()[0] == "error: unexpected ZeroDivisionError: a mistake"
    assert "Traceback" not in short
    assert front.run(["status", "x", "-v"]) == 1
    long = capsys.readouterr().err
    assert "Traceback" in long
    assert APP_SECRET not in long
