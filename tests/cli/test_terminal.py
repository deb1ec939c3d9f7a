"""What a person sees on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from iqiyi_async.emulator import Fault, FaultPlan, ThreadedEmulatorServer

from .program import APP_SECRET, eventually
from .terminal import CTRL_C, terminal

MakeVideo = Callable[..., Path]

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
WORDS = ("--chunk-size", "64K", "--workers", "4")


def test_the_live_display(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    faults = [
        Fault(operation="upload_chunk", delay=0.25),
        Fault(operation="upload_chunk", call=3, status=503),
        Fault(operation="get_status", call=1, code="A00001"),
    ]
    service.faults = FaultPlan(faults)
    path = video(size=1_000_000)
    with terminal(service, "upload", path, *WORDS, "--wait") as seen:
        seen.until(r"holiday\.mp4 +━\S* +\d+% +\d+\.\d/976\.6 KiB")
        seen.until(r"[1-4] in flight")
        seen.until(r"1 retry")
        seen.until(r"\d [kM]B/s +00:0\d")
        seen.until(r"not available for now \(HTTP 503\)")
        seen.until(r"complete, being published")
        assert seen.finish() == 0
    (view,) = service.published()
    assert f"uploaded as {view.file_id}" in seen.text
    assert seen.seen.rindex(SHOW_CURSOR) > seen.seen.rindex(HIDE_CURSOR)
    assert APP_SECRET not in seen.seen


def test_several_files_and_a_narrow_terminal(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.2)])
    paths = [video(f"a film with a very long name, part {number}.mp4", number * 400_000) for number in (1, 3)]
    with terminal(service, "upload", *paths, *WORDS, columns=80, NO_COLOR="1") as seen:
        seen.until(r"a film with a v… +━+")
        seen.until(r"all .* 1 of 2 files")
        assert seen.finish() == 0
    assert all(len(line) <= 80 for line in seen.text.replace("\r", "\n").split("\n") if "━" in line)
    assert "\x1b[3" not in seen.seen
    for view in service.published():
        assert seen.text.count(f"uploaded as {view.file_id}") == 1


def test_a_terminal_whose_size_is_not_known(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    with terminal(service, "upload", video(), columns=0, COLUMNS="0") as person:
        assert person.finish() == 0
        assert "uploaded as" in person.text


def test_ctrl_c_at_the_keyboard(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="upload_chunk", delay=60)])
    with terminal(service, "upload", video(size=1_000_000), *WORDS) as seen:
        seen.until("976.6 KiB")
        eventually(lambda: any(exchange.operation.value == "upload_chunk" for exchange in service.history))
        seen.type(CTRL_C)
        seen.until("stopping: ")
        seen.type(CTRL_C)
        assert seen.finish() == 130
    assert "stopped at once" in seen.text
    assert "Traceback" not in seen.text
    assert seen.seen.rindex(SHOW_CURSOR) > seen.seen.rindex(HIDE_CURSOR)


def test_a_dumb_terminal_gets_lines(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    with terminal(service, "upload", video(), *WORDS, TERM="dumb") as seen:
        assert seen.finish() == 0
    assert "uploading 97.7 KiB" in seen.text
    assert "\x1b" not in seen.seen


def test_delete_asks(service: ThreadedEmulatorServer) -> None:
    for answer, code in (("n\n", 1), ("\x04", 1), (CTRL_C, 130)):
        with terminal(service, "delete", "one", "two") as seen:
            seen.until(r"one\r\n +two\r\nDelete 2 videos for good\? \[y/N\] ")
            seen.type(answer)
            assert seen.finish() == code, seen.text
        assert "Traceback" not in seen.text
        assert not service.history
    with terminal(service, "delete", "one") as seen:
        seen.until("for good")
        seen.type("yes\n")
        seen.finish()
    eventually(lambda: any(exchange.operation.value == "delete_videos" for exchange in service.history))


def test_a_terminal_that_goes_away(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    """With SIGHUP ignored, as `nohup` and `disown` do it: the work goes on without anybody to look at it."""
    service.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.3)])
    path = video(size=500_000)
    with terminal(service, "upload", path, *WORDS, ignoring="SIGHUP") as seen:
        seen.until(r"in flight")
        seen.hang_up()
        assert seen.finish() == 0
    (view,) = service.published()
    assert service.content(view.file_id) == path.read_bytes()


def test_a_terminal_that_goes_away_without_a_word_to_ignore_it(
    service: ThreadedEmulatorServer, video: MakeVideo
) -> None:
    service.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.3)])
    path = video(size=8_000_000)
    with terminal(service, "upload", path, *WORDS) as seen:
        seen.until(r"in flight")
        seen.hang_up()
        assert seen.finish() == 129
    (left,) = service.open_uploads()
    assert 0 < left.accepted < 8_000_000


@pytest.mark.parametrize("columns", [40, 60, 100])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_redraws_never_wrap_and_the_share_is_never_cut(
    service: ThreadedEmulatorServer, video: MakeVideo, columns: int, encoding: str
) -> None:
    service.faults = FaultPlan([Fault(operation="upload_chunk", delay=0.2)])
    paths = [video(f"很长的名字很长的名字 {number}.mp4", 400_000) for number in (1, 2)]
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    with terminal(service, "upload", *paths, *WORDS, columns=columns, **env) as seen:
        assert seen.finish() == 0
    rows = [row for row in re.split(r"[\r\n]+", seen.text) if re.match(r"(很|\\u|all )", row)]
    assert rows
    for row in rows:
        assert cell_len(row) <= columns
        assert re.search(r" \d+%", row), row
    assert re.search(r"of 2 f", seen.text)


def test_the_display_of_many_small_files_is_small(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    paths = [video(f"{number}.mp4", 1000 + number) for number in range(200)]
    with terminal(service, "upload", *paths) as seen:
        assert seen.finish() == 0
    assert len(service.published()) == 200
    assert seen.text.count(": uploaded as ") == 200
    assert len(seen.seen) < 200 * 500
