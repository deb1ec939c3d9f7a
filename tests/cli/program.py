"""Runs the program, and waits for what it says."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import iqiyi_async
from iqiyi_async.emulator import ThreadedEmulatorServer

#: A command that takes longer hangs (seconds).
PATIENCE = 20.0

PROGRAM = ("-m", "iqiyi_async")
APP_KEY, APP_SECRET = "the-app-key-of-the-tests", "the-app-secret-of-the-tests"


def environment(server: ThreadedEmulatorServer | None, **more: str) -> dict[str, str]:
    """What the program sees: every warning is shown, so that a test can refuse them."""
    env = dict(os.environ, PYTHONPATH=str(Path(iqiyi_async.__file__).parents[1]), PYTHONWARNINGS="default")
    if server is not None:
        env.update(IQIYI_APP_KEY=APP_KEY, IQIYI_APP_SECRET=APP_SECRET, IQIYI_ENDPOINT_URL=server.endpoint_url)
    env.update(more)
    return env


class Finished:
    """A command that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.text = out + err
        for mishap in ("Traceback", "Warning:", "Exception ignored", "never retrieved", "was never awaited"):
            assert mishap not in err, err
        assert APP_SECRET not in self.text

    @property
    def json(self) -> Any:
        """Stdout as one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Stdout as one JSON object per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def results(self) -> list[dict[str, Any]]:
        """The results among them."""
        return [line for line in self.lines if line["event"] == "result"]


def run(server: ThreadedEmulatorServer | None, *words: object, stdin: str = "", **env: str) -> Finished:
    """Run a command to its end, without a terminal."""
    done = subprocess.run(
        [sys.executable, *PROGRAM, *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(server, **env),
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def in_shell(server: ThreadedEmulatorServer, redirections: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell with these redirections starts it."""
    command = shlex.join([sys.executable, "-m", "iqiyi_async", *map(str, words)])
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {command} {redirections}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(server),
        check=False,
    )


class Running:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._out: list[str] = []
        self._err: list[str] = []

    def read_out(self, wanted: Callable[[str], bool]) -> str:
        """Wait for a line on stdout."""
        return self._read(cast("IO[str]", self._process.stdout), self._out, wanted)

    def read_err(self, wanted: Callable[[str], bool]) -> str:
        """Wait for a line on stderr."""
        return self._read(cast("IO[str]", self._process.stderr), self._err, wanted)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def finish(self) -> Finished:
        """Wait until it ends."""
        out, err = self._process.communicate(timeout=PATIENCE)
        return Finished(self._process.returncode, "".join(self._out) + (out or ""), "".join(self._err) + err)

    def _read(self, stream: IO[str], seen: list[str], wanted: Callable[[str], bool]) -> str:
        # Unbuffered below: `communicate` must find the rest in the pipe.
        while line := _line(stream.fileno()):
            seen.append(line)
            if wanted(line):
                return line
        raise AssertionError(f"it ended without saying so: {''.join(seen)}")


def _line(fd: int) -> str:
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(fd, 1)):
        line += byte
    return line.decode()


@contextmanager
def started(
    server: ThreadedEmulatorServer | None,
    *words: object,
    program: tuple[str, str] = PROGRAM,
    stdout: IO[str] | int = subprocess.PIPE,
    **env: str,
) -> Iterator[Running]:
    """Run a command, and end it if the test does not."""
    process = subprocess.Popen(
        [sys.executable, *program, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(server, **env),
        # Who runs the tests in the background has them ignore it; the program is not to inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()


def eventually(condition: Callable[[], object]) -> None:
    """Wait for something in another thread or process."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def has(**fields: object) -> Callable[[str], bool]:
    """Whether a line is a JSON object with these fields."""
    return lambda line: fields.items() <= cast("Mapping[str, object]", json.loads(line)).items()
