"""`demo` and `emulator`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from iqiyi_async.cli.demo import compare
from iqiyi_async.cli.failures import CommandError
from iqiyi_async.emulator import ThreadedEmulatorServer

from .program import run, started

MakeVideo = Callable[..., Path]


def test_the_demo_needs_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = run(None, "demo", TMPDIR=str(temporary))
    assert done.code == 0, done.text
    assert "19 chunks, every MD5 checked" in done.out
    assert "published after" in done.out
    assert "/play/" in done.out
    assert done.out.splitlines()[-1] == "identical: all 302,586 bytes came back as they were sent"
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "home").exists()


def test_the_demo_of_ones_own_video(video: MakeVideo) -> None:
    done = run(None, "demo", video("mine.mkv", 3_000_000), "-q")
    assert done.code == 0
    assert "identical: all 3,000,000 bytes" in done.out
    assert done.err == ""


def test_the_demo_keeps_its_emulator(tmp_path: Path) -> None:
    with started(None, "demo", "--keep", TMPDIR=str(tmp_path)) as running:
        said = running.read_out(lambda line: line.startswith("  export "))
        url = said.split("IQIYI_ENDPOINT_URL=")[1].split()[0]
        with build_opener(ProxyHandler({})).open(f"{url}/", timeout=10) as page:
            assert page.status == 200
        running.signal(signal.SIGINT)
        done = running.finish()
    assert done.code == 0


def test_the_demo_can_be_interrupted(tmp_path: Path) -> None:
    with started(None, "demo", TMPDIR=str(tmp_path)) as running:
        running.read_out(lambda line: line.startswith("emulator"))
        running.signal(signal.SIGINT)
        done = running.finish()
    assert done.code == 130
    assert [path for path in tmp_path.iterdir() if path.name != "home"] == []


def test_what_is_not_identical_is_found(service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path) -> None:
    path = video()
    file_id = run(service, "upload", path, "-q").out.strip()
    url = run(service, "urls", file_id, "--resolve", "--json").json["mp4"]["1"]
    assert compare(url, path) is None
    content = path.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(content[:50_000] + bytes([content[50_000] ^ 1]) + content[50_001:])
    assert compare(url, other) == "from byte 50,000 on"
    other.write_bytes(content[:-1])
    assert compare(url, other) == "from byte 99,999 on"
    other.write_bytes(content + b"x")
    assert compare(url, other) == "from byte 100,000 on, where it ends"
    with pytest.raises(CommandError, match="404"):
        compare(service.endpoint_url + "/media/nothing", path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_emulator_says_when_it_is_ready_and_ends_when_told(
    tmp_path: Path, video: MakeVideo, number: signal.Signals
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"faults": [{"operation": "upload_chunk", "call": 1, "status": 503}]}))
    words = [
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--app-key",
        "K",
        "--app-secret",
        "S",
        "--data-dir",
        tmp_path / "data",
    ]
    words += ["--publish-after", "0.5", "--token-lifetime", "30", "--faults", plan]
    with started(None, "emulator", *words) as emulator:
        ready = json.loads(emulator.read_out(bool))
        assert (ready["app_key"], ready["app_secret"]) == ("K", "S")
        env = {"IQIYI_APP_KEY": "K", "IQIYI_APP_SECRET": "S", "IQIYI_ENDPOINT_URL": ready["endpoint_url"]}
        uploaded = run(None, "upload", video(), "--json", "--wait", **env)
        assert uploaded.code == 0
        assert uploaded.results[0]["retries"] == 1
        emulator.signal(number)
        done = emulator.finish()
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == 1
    assert any((tmp_path / "data").iterdir())


def test_a_port_that_is_taken(service: ThreadedEmulatorServer) -> None:
    port = service.endpoint_url.rpartition(":")[2]
    done = run(None, "emulator", "--port", port)
    assert (done.code, done.out) == (1, "")
    assert "address already in use" in done.err.lower()
    assert "hint: choose another port" in done.err
