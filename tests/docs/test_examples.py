"""The examples of the docs do what they say, pasted as they stand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Fault, ThreadedEmulatorServer

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
VIDEO = bytes(range(256)) * 4096


@contextmanager
def running(server: ThreadedEmulatorServer, folder: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The example under a real web server, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": server.endpoint_url,
        "SPOOL": str(folder / "spool"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--fd", str(listener.fileno()), "--no-access-log"],
            cwd=EXAMPLES,
            env=environment,
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    try:
        yield url, process
    except Exception as problem:
        # Whatever went wrong, the application may have said why.
        problem.add_note(log.read_text())
        raise
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


def post(url: str, title: str) -> str:
    head = b'--limit\r\nContent-Disposition: form-data; name="video"; filename="holiday.mp4"\r\n\r\n'
    body = head + VIDEO + b"\r\n--limit--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    request = urllib.request.Request(f"{url}/videos?title={title}", body, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 202
        return str(json.load(answer)["id"])


def wait_for(url: str, name: str, state: str) -> dict[str, Any]:
    """Ask until the video is in a state; the application says nothing by itself."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{url}/videos/{name}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        if found["state"] == state:
            return found
        time.sleep(0.05)
    pytest.fail(f"not {state} in time: {found}")


def test_the_web_application_uploads_what_it_is_given(iqiyi_emulator: ThreadedEmulatorServer, tmp_path: Path) -> None:
    with running(iqiyi_emulator, tmp_path, tmp_path / "log") as (url, process):
        found = wait_for(url, post(url, "Holiday"), "uploaded")
        assert iqiyi_emulator.content(found["file_id"]) == VIDEO
        assert list((tmp_path / "spool").iterdir()) == []
    assert process.returncode in (0, -signal.SIGTERM), (tmp_path / "log").read_text()


@pytest.mark.iqiyi_end_check(False)
def test_a_stopped_application_goes_on_after_its_restart(
    iqiyi_emulator: ThreadedEmulatorServer, iqiyi_faults: Any, tmp_path: Path
) -> None:
    iqiyi_faults.add(Fault(operation="finish_upload", call=1, delay=3600))
    log = tmp_path / "log"
    with running(iqiyi_emulator, tmp_path, log) as (url, process):
        post(url, "Holiday")
        deadline = time.monotonic() + 20
        while not any(each.operation == "finish_upload" for each in iqiyi_emulator.history):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        # No drain is that patient in a test: the second signal is what an impatient operator sends.
        process.kill()
    iqiyi_faults.clear()
    assert len(iqiyi_emulator.open_uploads()) == 1
    with running(iqiyi_emulator, tmp_path, log):
        deadline = time.monotonic() + 20
        while iqiyi_emulator.open_uploads():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
    assert len(iqiyi_emulator.files) == 1
    assert [each.operation for each in iqiyi_emulator.history].count("upload_chunk") == 1
