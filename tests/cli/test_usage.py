"""Wrong use: exit code 2, a line that says what is wrong, and nothing sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from iqiyi_async.cli.front import command_first
from iqiyi_async.cli.front import run as run_here
from iqiyi_async.emulator import ThreadedEmulatorServer

from .program import APP_KEY, APP_SECRET, run

MakeVideo = Callable[..., Path]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens there: a command that sends anything fails with another code.
    for name, value in (("APP_KEY", APP_KEY), ("APP_SECRET", APP_SECRET), ("ENDPOINT_URL", "http://127.0.0.1:1")):
        monkeypatch.setenv(f"IQIYI_{name}", value)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert run_here([*map(str, words), "-q"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
    assert APP_SECRET not in err
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "frobnicate"),
        (["--frobnicate"], "there is no command"),
        (["upload"], "PATH"),
        (["upload", "{video}", "--nonsense"], "--nonsense"),
        (["upload", "{video}", "--workers", "many"], "--workers"),
        (["upload", "{video}", "--workers", "0"], "--workers must be"),
        (["upload", "{video}", "--chunk-size", "huge"], "--chunk-size"),
        (["upload", "{video}", "--chunk-size", "2GiB"], "--chunk-size must be"),
        (["upload", "{video}", "--category", "opera"], "--category"),
        (["upload", "{video}", "--parameters", "cookies"], "headers"),
        (["upload", "{video}", "--on-failure", "cry"], "cancel"),
        (["upload", "{video}", "--timeout", "3"], "--wait"),
        (["upload", "{video}", "--wait", "--timeout", "-3"], "--timeout"),
        (["upload", "{video}", "--name", ""], "name"),
        (["upload", "{video}", "--endpoint-url", "ftp://example.com"], "--endpoint-url"),
        (["upload", "{video}", "{other}", "--name", "One"], "--name"),
        (["upload", "{folder}"], "not a file"),
        (["upload", "{folder}/absent.mp4"], "No such file"),
        (["upload", "{folder}/empty.mp4"], "empty"),
        (["upload", "{folder}/notes.a-b"], "--file-type"),
        (["upload", "{folder}/endless"], "--file-type"),
        (["status"], "FILE_ID"),
        (["status", "one", "two"], "two"),
        (["list", "--page", "one"], "--page"),
        (["list", "--page", "0"], "page"),
        (["list", "--page-size", "101"], "--page-size"),
        (["list", "--page", "2", "--all"], "--all"),
        (["urls"], "FILE_ID"),
        (["delete"], "FILE_ID"),
        (["delete", "some-id"], "--yes"),
        (["delete", "some,id", "--yes"], "file_id"),
        (["demo", "{folder}/absent.mp4"], "No such file"),
        (["emulator", "--port", "http"], "--port"),
        (["emulator", "--port", "70000"], "--port"),
        (["emulator", "--host", "0.0.0.0"], "loopback"),
        (["emulator", "--publish-after", "-1"], "--publish-after"),
        (["emulator", "--faults", "{folder}/absent.json"], "No such file"),
        (["emulator", "--faults", "{folder}/bad.json"], "faults[0]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("credentials")
def test_wrong_use(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    video: MakeVideo,
    words: list[str],
    said: str,
) -> None:
    for name in ("empty.mp4", "notes.a-b", "endless", "bad.json"):
        (tmp_path / name).write_text("" if name == "empty.mp4" else '{"faults": [{"operation": "dance"}]}')
    places = {"video": video(), "other": video("other.mp4"), "folder": tmp_path}
    assert said in refused(capsys, *(word.format(**places) for word in words))


def test_credentials_are_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "IQIYI_APP_KEY" in refused(capsys, "list")
    monkeypatch.setenv("IQIYI_APP_KEY", APP_KEY)
    assert "IQIYI_APP_SECRET" in refused(capsys, "list")
    assert "IQIYI_APP_SECRET" in refused(capsys, "delete", "some-id")


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("words", [["--app-secret", "s3cret"], ["--app-secret=s3cret"]])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    err = refused(capsys, "list", *words)
    assert "IQIYI_APP_SECRET" in err
    assert "s3cret" not in err


@pytest.mark.usefixtures("credentials")
def test_a_secret_file_must_be_private(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(APP_SECRET)
    file.chmod(0o644)
    assert "chmod 600" in refused(capsys, "list", "--app-secret-file", file)
    assert "No such file" in refused(capsys, "list", "--app-secret-file", tmp_path / "absent")
    file.write_bytes(b"\xff\xfe\x00")
    file.chmod(0o600)
    assert "no text" in refused(capsys, "list", "--app-secret-file", file)
    file.write_text(" spaces around ")
    assert "spaces" in refused(capsys, "list", "--app-secret-file", file)


@pytest.mark.usefixtures("credentials")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(capsys: pytest.CaptureFixture[str], video: MakeVideo) -> None:
    path = video()
    path.chmod(0)
    assert "permission" in refused(capsys, "upload", path)


def test_options_may_stand_before_the_command() -> None:
    assert command_first(["-v", "list", "--all"]) == ["list", "-v", "--all"]
    assert command_first(["--endpoint-url", "http://x", "status", "id"]) == [
        "status",
        "--endpoint-url",
        "http://x",
        "id",
    ]
    assert command_first(["status", "list"]) == ["status", "list"]
    assert command_first(["-v"]) == ["-v"]


def test_help_and_version(service: ThreadedEmulatorServer) -> None:
    bare = run(None)
    assert (bare.code, bare.out) == (2, "")
    assert "Usage: iqiyi-async" in bare.err
    bare = run(None, "batch")
    assert (bare.code, bare.out) == (2, "")
    assert "Usage: iqiyi-async batch" in bare.err
    told = run(None, "upload", "--help")
    assert told.code == 0
    assert "IQIYI_APP_SECRET" in told.out
    assert told.err == ""
    for columns in ("0", "1"):
        assert run(None, "upload", "--help", COLUMNS=columns).code == 0
    version = run(None, "--version")
    assert version.code == 0
    assert version.out.startswith("iqiyi-async ")
    assert not service.history
