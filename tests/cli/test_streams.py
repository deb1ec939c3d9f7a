"""Readers that go away, and extras that are missing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from iqiyi_async.cli.streams import Output, Writer
from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer

from .program import PATIENCE, environment, eventually, in_shell, run, started

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


@pytest.mark.parametrize(
    "redirections",
    [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"],
)
@pytest.mark.parametrize("words", [(), ("--json",), ("-v", "--wait")], ids=["plain", "json", "verbose"])
def test_uploads_do_not_depend_on_their_report(
    service: ThreadedEmulatorServer, video: MakeVideo, redirections: str, words: tuple[str, ...]
) -> None:
    service.faults = FaultPlan([Fault(operation="upload_chunk", call=2, status=503)])
    paths = [video(f"{number}.mp4", 1000 + number) for number in range(3)]
    done = in_shell(service, redirections, "upload", *words, *paths)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert sorted(service.content(view.file_id) for view in service.published()) == sorted(
        path.read_bytes() for path in paths
    )
    # Nothing was written into a file that got the number of a closed stream.
    again = run(service, "upload", "-q", *paths)
    assert (again.code, len(service.published())) == (0, 3)


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(service: ThreadedEmulatorServer, redirections: str) -> None:
    done = in_shell(service, redirections, "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) is (">&-" not in redirections.replace("2>&-", ""))


def test_what_was_deleted_is_deleted_although_nobody_reads_it(
    service: ThreadedEmulatorServer, video: MakeVideo
) -> None:
    run(service, "upload", video(), "-q")
    done = in_shell(service, ">/dev/full", "delete", "--yes", service.published()[0].file_id)
    assert (done.returncode, service.published()) == (0, ())
    assert "stdout: No space left on device" in done.stderr


def test_an_emulator_runs_although_nobody_can_read_where() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with (
        Path("/dev/full").open("w") as full,
        started(None, "emulator", "--port", port, stdout=full) as emulator,
    ):
        eventually(lambda: answers(port))
        emulator.signal(signal.SIGTERM)
        assert emulator.finish().code == 0


def answers(port: int) -> bool:
    """Whether an emulator is there."""
    with (
        contextlib.suppress(URLError),
        urlopen(f"http://127.0.0.1:{port}/__emulator__/health", timeout=PATIENCE) as told,
    ):
        return bool(json.loads(told.read())["ok"])
    return False


def test_a_full_disk_is_told_where_somebody_reads(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    done = in_shell(service, ">/dev/full", "upload", "--json", video())
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "stdout: No space left on device" in done.stderr


@pytest.mark.parametrize("words", [["list", "--json"], ["list"], ["--help"], ["--version"]], ids=" ".join)
def test_where_the_output_is_all_there_is_a_full_disk_is_an_error(
    service: ThreadedEmulatorServer, video: MakeVideo, words: list[str]
) -> None:
    run(service, "upload", video(), "-q")
    done = in_shell(service, ">/dev/full", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: stdout: No space left on device")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("other", ["--json", "-v"])
def test_a_pipe_that_nobody_reads_holds_up_nothing(
    service: ThreadedEmulatorServer, video: MakeVideo, other: str
) -> None:
    """Both pipes are full after a few results; all uploads go through, and the program ends."""
    paths = [video(f"{'long name ' * 15}{number}.mp4", 1000 + number) for number in range(60)]
    fill = b"x" * 1024
    pipes = [os.pipe(), os.pipe()]
    for _, writing in pipes:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, fill)
        os.set_blocking(writing, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "iqiyi_async", "upload", other, *map(str, paths)],
        stdin=subprocess.DEVNULL,
        stdout=pipes[0][1],
        stderr=pipes[1][1],
        env=environment(service),
    )
    with process:
        try:
            eventually(lambda: len(service.published()) == 60)
            assert process.wait(30) == 0
        finally:
            process.kill()
            for end in (end for pipe in pipes for end in pipe):
                os.close(end)


def test_a_slow_reader_gets_every_result(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    paths = [video(f"{'long name ' * 15}{number}.mp4", 1000 + number) for number in range(120)]
    process = subprocess.Popen(
        [sys.executable, "-m", "iqiyi_async", "upload", "--json", *map(str, paths)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(service),
    )
    with process:
        eventually(lambda: len(service.published()) == 120)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    results = [json.loads(line) for line in out.splitlines() if '"result"' in line]
    assert sorted(result["path"] for result in results) == sorted(map(str, paths))


def test_a_pipe_that_does_not_block_gets_everything(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    paths = [video(f"{number}.mp4", 1000 + number) for number in range(3)]
    with subprocess.Popen(
        [sys.executable, "-m", "iqiyi_async", "upload", "--json", *map(str, paths)],
        stdout=writing,
        env=environment(service),
    ) as process:
        os.close(writing)
        with os.fdopen(reading) as out:
            lines = out.read().splitlines()
        assert process.wait(30) == 0
    assert sum(json.loads(line)["event"] == "result" for line in lines) == 3


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


def test_everything_is_written_in_order(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        writer = Writer()
        output = Output(file, "stdout", writer)
        for number in range(2000):
            output.write(f"{number}\n")
            if number % 100 == 0:
                assert writer.finish()
        output.write("x" * 100_000 + "\n")
        assert writer.finish()
    assert (tmp_path / "out").read_text() == "".join(f"{n}\n" for n in range(2000)) + "x" * 100_000 + "\n"
