"""Readers that go away, and extras that are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from iqiyi_async.emulator import ThreadedEmulatorServer

from .program import PATIENCE, environment, run

MakeVideo = Callable[..., Path]


def with_closed(server: ThreadedEmulatorServer, stream: str, *words: object) -> tuple[int, str]:
    """Run a command of which nobody reads one stream; the exit code, and the other stream."""
    reading, writing = os.pipe()
    os.close(reading)
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "iqiyi_async", *map(str, words)],
            **{stream: writing, other: subprocess.PIPE},  # type: ignore[call-overload]
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
            env=environment(server),
            check=False,
        )
    finally:
        os.close(writing)
    return done.returncode, getattr(done, other)


@pytest.mark.parametrize("words", [["list", "--json"], ["list", "-q"], ["--help"], ["--version"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_error(
    service: ThreadedEmulatorServer, video: MakeVideo, words: list[str]
) -> None:
    if words[0] == "list":
        run(service, "upload", video(), "-q")
    assert with_closed(service, "stdout", *words) == (141, "")


def test_an_upload_goes_on_without_a_reader(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    assert with_closed(service, "stdout", "upload", video(), "--json") == (0, "")
    assert len(service.published()) == 1
    code, out = with_closed(service, "stderr", "upload", video("two.mp4"), "-v")
    assert code == 0
    assert "uploaded as" in out
    assert len(service.published()) == 2


def without(tmp_path: Path, *modules: str) -> str:
    """A folder for PYTHONPATH in which these modules can't be imported, as if they were not installed."""
    for module in modules:
        (tmp_path / f"{module}.py").write_text(
            f'raise ModuleNotFoundError("No module named {module}", name="{module}")'
        )
    return os.pathsep.join((str(tmp_path), environment(None)["PYTHONPATH"]))


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_the_extra_the_program_says_so(tmp_path: Path, missing: str) -> None:
    done = run(None, "list", PYTHONPATH=without(tmp_path, missing))
    assert (done.code, done.out) == (1, "")
    assert "error: the command line needs an extra" in done.err
    assert "hint: pip install 'iqiyi-async[cli]'" in done.err
    assert run(None, "--version", PYTHONPATH=without(tmp_path, missing)).code == 0


@pytest.mark.parametrize("command", ["demo", "emulator"])
def test_without_the_emulators_extra(tmp_path: Path, command: str) -> None:
    done = run(None, command, PYTHONPATH=without(tmp_path, "uvicorn"))
    assert (done.code, done.out) == (1, "")
    assert "iqiyi-async[emulator]" in done.err
    assert "hint: pip install" in done.err


def test_colours_are_for_terminals(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    assert "\x1b" not in run(service, "upload", video(), "--wait").text
    assert "\x1b" not in run(service, "list").text
    assert "\x1b" not in run(service, "status", "x").text
