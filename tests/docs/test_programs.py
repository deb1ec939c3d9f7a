"""Every program in docs/examples does what its first lines say, as a process of its own."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, ThreadedEmulatorServer
from iqiyi_async.pytest_plugin import FaultControl

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
VIDEO = bytes(range(256)) * 1024
#: Those that are no programs; other tests run them.
ELSEWHERE = {"range_source.py"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    for number in range(3):
        (tmp_path / "films" / f"{number}.mp4").write_bytes(VIDEO + bytes([number]))
    (tmp_path / "holiday.mp4").write_bytes(VIDEO)
    (tmp_path / "videos.csv").write_text("source,title\nfilms/0.mp4,The first\nfilms/1.mp4,The second\n")
    return tmp_path


def run(
    server: ThreadedEmulatorServer, folder: Path, name: str, *arguments: str, given: bytes = b"", code: int = 0
) -> str:
    """What a program prints."""
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": server.endpoint_url,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, timeout=50, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode()


def test_each_is_run_by_a_test() -> None:
    text = Path(__file__).read_text("utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert path.name in ELSEWHERE or f'"{path.name}"' in text, f"no test runs {path.name}"


def test_first_upload(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    printed = run(iqiyi_emulator, folder, "first_upload.py", "holiday.mp4", "Holiday")
    (video,) = iqiyi_emulator.published()
    assert iqiyi_emulator.content(video.file_id) == VIDEO
    assert f"uploaded as {video.file_id}" in printed
    assert "262,144 of 262,144 bytes" in printed
    assert "published in these qualities" in printed


def test_play(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    run(iqiyi_emulator, folder, "first_upload.py", "holiday.mp4", "Holiday")
    printed = run(iqiyi_emulator, folder, "play.py", iqiyi_emulator.published()[0].file_id)
    assert printed.startswith(iqiyi_emulator.endpoint_url)


def test_watch_upload(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    printed = run(iqiyi_emulator, folder, "watch_upload.py", "holiday.mp4")
    assert "paused 0 of" in printed
    assert "finished 262,144 of 262,144 bytes" in printed
    assert "% of the time for" in printed


def test_stream(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    run(iqiyi_emulator, folder, "stream.py", str(len(VIDEO)), given=VIDEO)
    (video,) = iqiyi_emulator.published()
    assert iqiyi_emulator.content(video.file_id) == VIDEO


def test_many(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    (folder / "films" / "empty.mp4").touch()
    printed = run(iqiyi_emulator, folder, "many.py", "films", code=1)
    assert printed.count("is published as") == len(iqiyi_emulator.published()) == 3
    assert "empty.mp4 failed:" in printed


def test_batch(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    assert run(iqiyi_emulator, folder, "batch.py", "videos.csv").count(" done\n") == 2
    assert "films/0.mp4" in (folder / "videos.report.csv").read_text("utf-8-sig")
    assert " done\n" not in run(iqiyi_emulator, folder, "batch.py", "videos.csv")
    assert len(iqiyi_emulator.files) == 2


def test_step_by_step(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    assert "holiday" in run(iqiyi_emulator, folder, "step_by_step.py", "holiday.mp4")
    assert iqiyi_emulator.content(iqiyi_emulator.published()[0].file_id) == VIDEO


@contextmanager
def behind_http(content: bytes) -> Iterator[str]:
    """A server that knows ranges."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            body = content[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/film.mp4"
        server.shutdown()
        thread.join()


def test_from_url(iqiyi_emulator: ThreadedEmulatorServer, folder: Path) -> None:
    with behind_http(VIDEO) as url:
        run(iqiyi_emulator, folder, "from_url.py", url)
    assert iqiyi_emulator.content(iqiyi_emulator.published()[0].file_id) == VIDEO


@pytest.mark.iqiyi_end_check(False)
def test_failing_upload(iqiyi_emulator: ThreadedEmulatorServer, iqiyi_faults: FaultControl, folder: Path) -> None:
    iqiyi_faults.add(operation="finish_upload", code="Q00001")
    printed = run(iqiyi_emulator, folder, "failing_upload.py", "holiday.mp4")
    assert "262,144 bytes are at the service; run this again, and it goes on" in printed
    iqiyi_faults.clear()
    assert "uploaded as" in run(iqiyi_emulator, folder, "failing_upload.py", "holiday.mp4")
    assert len(iqiyi_emulator.files) == 1


@pytest.mark.iqiyi_end_check(False)
def test_the_failure_of_troubleshooting(
    iqiyi_emulator: ThreadedEmulatorServer, iqiyi_faults: FaultControl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's fault, its two lines, and the same command once more."""
    page = (EXAMPLES.parent / "troubleshooting.md").read_text("utf-8")
    plan = json.loads(re.findall(r"^```json.*?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0])
    error, hint = re.findall(r"^(error: .*)\n(hint: .*)$", page, re.MULTILINE)[0]
    iqiyi_faults.add(*plan["faults"])
    (folder / "holiday.mp4").write_bytes(bytes(302_586))
    monkeypatch.setenv("IQIYI_APP_KEY", DEFAULT_APP_KEY)
    monkeypatch.setenv("IQIYI_APP_SECRET", DEFAULT_APP_SECRET)
    monkeypatch.setenv("IQIYI_ENDPOINT_URL", iqiyi_emulator.endpoint_url)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    command = [sys.executable, "-m", "iqiyi_async", "upload", "holiday.mp4"]
    failed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    assert (failed.returncode, failed.stderr.splitlines()[-2:]) == (1, [error, hint])
    iqiyi_faults.clear()
    subprocess.run(command, cwd=folder, capture_output=True, timeout=50, check=True)
    assert [each.operation for each in iqiyi_emulator.history].count("upload_chunk") == 1


@pytest.mark.parametrize("suite", ["test_token_store.py", "test_journal.py"])
def test_a_store_of_ones_own(suite: str, tmp_path: Path) -> None:
    """The suite of "token_store.py" is "test_token_store.py", that of "journal.py" is "test_journal.py"; both pass."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES), *(path for path in sys.path if path)])}
    alone = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tmp_path}", f"--basetemp={tmp_path / 'b'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *alone, str(EXAMPLES / suite)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
