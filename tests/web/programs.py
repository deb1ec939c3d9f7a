"""Programs that the tests of the examples run: the application in a process of its own, npm and node."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "web"
NODE, NPM = shutil.which("node"), shutil.which("npm")


def install_packages(folder: Path) -> Path:
    """What the page needs, from npm: its `node_modules`. The test is left out where that can't be had."""
    if NODE is None or NPM is None:
        pytest.skip("left out: it needs node and npm")
    shutil.copy(EXAMPLES / "package.json", folder)
    command = [NPM, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"left out: npm could not install the packages of the example: {done.stderr[-300:]}")
    return folder / "node_modules"


class Application:
    """An example behind one port that stays the same when it is killed and started again."""

    def __init__(
        self,
        server: ThreadedEmulatorServer,
        folder: Path,
        name: str = "app:app",
        *,
        where: Path = EXAMPLES,
        **environment: str,
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        number = self._listener.fileno()
        self._command = [sys.executable, "-m", "uvicorn", name, "--fd", str(number), "--no-access-log"]
        self._passed = (number,)
        if name.endswith(".py"):
            # A program with a server of its own.
            self._listener.close()
            self._command, self._passed = [sys.executable, name], ()
        self._where = where
        self._log = folder / "log"
        self._environment = {
            **os.environ,
            "IQIYI_APP_KEY": DEFAULT_APP_KEY,
            "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
            "IQIYI_ENDPOINT_URL": server.endpoint_url,
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PORT": str(port),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if problem is not None:
            problem.add_note(self.log[-4000:])
        self.end(signal.SIGTERM)
        self._listener.close()

    @property
    def log(self) -> str:
        """What the application said."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, and return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._where,
                env=self._environment,
                pass_fds=self._passed,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, "the application does not start")

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=20).close()
        except urllib.error.HTTPError as answer:
            answer.close()
        except OSError:
            return False
        return True

    def end(self, how: signal.Signals) -> None:
        """Stop it, or kill it."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def kill_and_restart(self) -> None:
        """Without a warning, in the middle of whatever it does."""
        self.end(signal.SIGKILL)
        self.start()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)
