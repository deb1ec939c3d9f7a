"""`upload` with many files and its flags, and `unfinished`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from iqiyi_async.emulator import Fault, FaultPlan, FileState, ThreadedEmulatorServer

from .program import eventually, in_shell, run, started

MakeVideo = Callable[..., Path]

SLOW = FaultPlan([Fault(operation="upload_chunk", delay=0.1)])


def some_bad(tmp_path: Path) -> list[Path]:
    """An empty file, a dangling link, a folder, names without an ending, and nothing at all."""
    empty, dangling, folder, untyped = (tmp_path / name for name in ("empty.mp4", "dangling.mp4", "folder", "untyped"))
    empty.touch()
    dangling.symlink_to(tmp_path / "nowhere")
    folder.mkdir()
    untyped.write_bytes(b"x")
    dotted = [tmp_path / name for name in ("1. The Beginning", "第1集.大结局")]
    for path in dotted:
        path.write_bytes(b"x")
    return [empty, dangling, folder, untyped, *dotted, tmp_path / "absent.mp4"]


def test_bad_paths_are_named_at_once_and_the_rest_goes_on(
    service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path
) -> None:
    good = [video(f"{number}.mp4", 1000 + number) for number in range(20)]
    bad = some_bad(tmp_path)
    done = run(service, "upload", "--json", *good[:10], *bad, *good[10:])
    assert done.code == 1
    assert len(service.published()) == 20
    results = done.results
    assert [result["path"] for result in results[: len(bad)]] == list(map(str, bad))
    assert {result["ok"] for result in results[: len(bad)]} == {False}
    assert sum(result["ok"] for result in results) == 20
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(bad)
    assert all(str(path) in line for path, line in zip(bad, errors, strict=True))
    # Each remedy once.
    hints = [line for line in done.err.splitlines() if line.startswith("hint: ")]
    assert len(hints) == len(set(hints)) == 4


def test_a_file_that_is_given_twice_is_uploaded_once(
    service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path
) -> None:
    """Patterns overlap (`upload *.mp4 film.mp4`): it was a reason to send none."""
    path = video()
    (tmp_path / "linked.mp4").symlink_to(path)
    done = run(service, "upload", path, path.parent / "." / path.name, tmp_path / "linked.mp4")
    assert done.code == 0, done.err
    assert done.err.count("given twice; it is uploaded once") == 2
    assert len(service.published()) == 1


def test_a_journal_that_cannot_be_used_says_what_the_command_can_do(
    service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("no folder")
    state = str(tmp_path / "state" / "more")
    done = run(service, "upload", video(), XDG_STATE_HOME=state)
    assert done.code == 1
    assert "--no-journal" in done.err
    assert "journal_required" not in done.err
    assert not service.published()


def test_only_bad_paths_are_wrong_use(service: ThreadedEmulatorServer, tmp_path: Path) -> None:
    done = run(service, "upload", *some_bad(tmp_path))
    assert (done.code, done.out) == (2, "")
    assert not service.history


def test_a_name_that_is_no_utf_8(service: ThreadedEmulatorServer, tmp_path: Path) -> None:
    """As older Chinese systems have written them."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + "海南.mp4".encode("gbk"))
    Path(path).write_bytes(b"a film")
    done = run(service, "upload", path, "--json")
    assert done.code == 0, done.err
    (view,) = service.published()
    assert view.name == "海南"


def test_waiting_for_a_review_holds_no_place(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="get_status", code="A00001")])
    paths = [video(f"{number}.mp4", 1000 + number) for number in range(12)]
    with started(service, "upload", *paths, "--wait", "--json") as running:
        eventually(lambda: len(service.published()) == 12)
        running.signal(signal.SIGTERM)
        done = running.finish()
    assert done.code == 143
    assert [result["ok"] for result in done.results] == [True] * 12


def test_bandwidth(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video(size=600_000)
    began = time.monotonic()
    done = run(service, "upload", path, "--max-bandwidth", "200KB", "--chunk-size", "64K")
    assert done.code == 0
    assert time.monotonic() - began > 2
    assert "bound by --max-bandwidth" in done.out
    table = run(service, "upload", path, "--again", "--max-bandwidth", "00:00-24:00=off,else=1KB")
    assert table.code == 0
    wrong = run(service, "upload", path, "--max-bandwidth", "25:00-26:00=1MB")
    assert (wrong.code, "--max-bandwidth" in wrong.err) == (2, True)


def test_the_same_bytes_under_another_name(service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path) -> None:
    path = video()
    first = run(service, "upload", "-q", path).out.strip()
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    done = run(service, "upload", copy, "--json")
    assert done.code == 1
    assert done.results[0]["error"] == "DuplicateVideoError"
    assert done.results[0]["file_id"] == first
    assert f"the video is {first}; --again uploads it once more" in done.err
    assert "again=True" not in done.err
    assert run(service, "upload", copy, "-q", "--again").code == 0
    assert len(service.published()) == 2


def test_a_key_finds_an_upload_again(service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path) -> None:
    path = video()
    first = run(service, "upload", path, "-q", "--key", "film-7", "--name", "Film").out
    moved = path.rename(tmp_path / "moved.mp4")
    assert run(service, "upload", moved, "-q", "--key", "film-7", "--name", "Film").out == first
    refused = run(service, "upload", moved, video("other.mp4"), "--key", "film-7")
    assert (refused.code, "--key is for one file" in refused.err) == (2, True)


def interrupted(service: ThreadedEmulatorServer, path: Path) -> str:
    """Begin an upload, and stop it; its file_id."""
    service.faults = SLOW
    with started(service, "upload", path, "--chunk-size", "32K", "--workers", "2", "--json") as running:
        running.read_out(lambda line: '"accepted": 0' not in line)
        running.signal(signal.SIGINT)
        done = running.finish()
    service.faults = FaultPlan()
    file_id: str = done.results[0]["file_id"]
    return file_id


def test_unfinished_uploads_are_listed_and_ended(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    assert run(service, "unfinished", "--json").out == ""
    path = video(size=16_000_000)
    file_id = interrupted(service, path)
    listed = run(service, "unfinished")
    assert listed.code == 0
    assert file_id in listed.out
    assert str(path) in listed.out
    assert "1 unfinished upload" in listed.err
    (line,) = run(service, "unfinished", "--json").lines
    assert (line["event"], line["file_id"], line["size"]) == ("unfinished", file_id, 16_000_000)
    assert 0 < line["accepted"] < 16_000_000

    unknown = run(service, "unfinished", "another")
    assert (unknown.code, "another" in unknown.err) == (2, True)
    ended = run(service, "unfinished", "--cancel")
    assert (ended.code, file_id in ended.out) == (0, True)
    assert not service.open_uploads()
    assert run(service, "unfinished", "--json").out == ""
    # The next upload of the file starts over.
    assert run(service, "upload", path, "-q").code == 0


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["plain", "json"])
def test_unfinished_uploads_are_ended_whoever_reads_about_it(
    service: ThreadedEmulatorServer, video: MakeVideo, words: tuple[str, ...]
) -> None:
    service.faults = FaultPlan([Fault(operation="finish_upload", status=400)])
    assert run(service, "upload", "-q", *(video(f"{number}.mp4", 1000 + number) for number in range(3))).code == 1
    service.faults = FaultPlan()
    done = in_shell(service, ">/dev/full", "unfinished", "--cancel", *words)
    assert done.returncode == 0, done.stderr
    assert "some results were not written" in done.stderr
    assert {view.state for view in service.files.values()} == {FileState.CANCELLED}


def test_an_upload_under_way_is_not_ended(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = SLOW
    path = video(size=8_000_000)
    with started(service, "upload", path, "--chunk-size", "32K", "--workers", "1", "--json") as running:
        running.read_out(lambda line: '"accepted": 0' not in line)
        done = run(service, "unfinished", "--cancel")
        assert (done.code, done.out) == (1, "")
        assert "is under way in another process" in done.err
        assert len(service.open_uploads()) == 1
        running.signal(signal.SIGINT)
        running.finish()


def test_what_the_service_has_dropped_is_forgotten(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    interrupted(service, video(size=16_000_000))
    service.reset()
    done = run(service, "unfinished", "--cancel")
    assert done.code == 0, done.err
    assert run(service, "unfinished", "--json").out == ""


@pytest.mark.parametrize(
    ("fault", "words", "said"),
    [
        (None, ["urls", "no-such-video"], "iqiyi-async list shows"),
        (Fault(operation="upload_chunk", status=413), ["upload", "{video}"], "--chunk-size 512KiB"),
        (Fault(operation="request_upload", status=404), ["upload", "{video}"], "--endpoint-url"),
        (Fault(operation="list_videos", status=404), ["list"], "--endpoint-url"),
        (None, ["delete", "--yes", "no-such-video"], "check the id"),
    ],
    ids=["urls", "413", "404", "404-list", "delete"],
)
def test_hints_that_can_work(
    service: ThreadedEmulatorServer, video: MakeVideo, fault: Fault | None, words: list[str], said: str
) -> None:
    service.faults = FaultPlan([] if fault is None else [fault])
    done = run(service, *(word.format(video=video()) for word in words))
    assert done.code == 1
    assert said in done.err.split("hint: ")[1], done.err


def test_a_success_leaves_a_line_in_the_log(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    done = run(service, "upload", video(), "-v")
    (view,) = service.published()
    (line,) = [line for line in done.err.splitlines() if line.startswith("info: ") and "finished" in line]
    assert view.file_id in line
    assert "100000 bytes" in line


def test_odd_values_of_the_list(service: ThreadedEmulatorServer) -> None:
    odd = (
        '{"fileId": "x", "fileName": "odd", "fileStatus": 2, "createTime": 99999999999999999, "duration": "long",'
        ' "playCount": "many"}'
    )
    body = f'{{"code": "A00000", "count": 1, "data": [{odd}]}}'
    service.faults = FaultPlan([Fault(operation="list_videos", body=body)])
    done = run(service, "list")
    assert done.code == 0
    assert "odd" in done.out
    (listed,) = run(service, "list", "--json").json["videos"]
    assert (listed["duration"], listed["play_count"]) == (None, None)
