"""The commands, each as a program of its own, against a real emulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from iqiyi_async import UploadProgress, UploadReceipt
from iqiyi_async.emulator import Fault, FaultPlan, FileState, ThreadedEmulatorServer

from .program import APP_KEY, APP_SECRET, run

MakeVideo = Callable[..., Path]


def test_upload_for_people(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video()
    words = ["--description", "Hainan", "--tags", "beach, sea", "--tags", "sun", "--category", "travel", "--wait"]
    done = run(service, "upload", path, *words)
    assert done.code == 0
    (view,) = service.published()
    assert (view.name, view.description, view.category) == ("holiday", "Hainan", 9)
    assert view.tags == ("beach", "sea", "sun")
    assert service.content(view.file_id) == path.read_bytes()
    assert done.out.startswith(f"{path}: uploaded as {view.file_id} (97.7 KiB, in ")
    assert done.out.count("\n") == 1
    assert "uploading 97.7 KiB" in done.err
    assert "published" in done.err


def test_upload_for_machines(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video()
    options = ["--json", "--wait", "--name", "一", "--file-type", "mkv", "--chunk-size", "16KiB", "--workers", "3"]
    done = run(service, "upload", path, *options, "--parameters", "body", "--no-journal")
    assert (done.code, done.err) == (0, "")
    (view,) = service.published()
    assert (view.name, view.file_type) == ("一", "mkv")
    *progress, result = done.lines
    assert all(line["event"] == "progress" and line["path"] == str(path) for line in progress)
    assert {field.name for field in attrs.fields(UploadProgress)} <= progress[0].keys()
    accepted = [line["accepted"] for line in progress]
    assert accepted == sorted(accepted)
    assert accepted[-1] == 100_000
    assert result["event"] == "result"
    assert result["ok"] is True
    assert (result["file_id"], result["chunks"], result["state"]) == (view.file_id, 7, "published")
    assert {field.name for field in attrs.fields(UploadReceipt)} <= result.keys()


def test_several_files_share_one_run(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    paths = [video(f"{number}.mp4", 1000 + number) for number in range(6)]
    done = run(service, "upload", "-q", *paths)
    assert (done.code, done.err) == (0, "")
    assert sorted(done.out.split()) == sorted(view.file_id for view in service.published())
    assert len(service.published()) == 6
    authorized = [exchange for exchange in service.history if exchange.operation.value == "authorize"]
    assert len(authorized) == 1


def test_workers_and_chunks_by_themselves(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video(size=3_000_000)
    assert run(service, "upload", "-q", path, "--workers", "auto", "--chunk-size", "auto").code == 0
    (view,) = service.published()
    assert service.content(view.file_id) == path.read_bytes()


def test_one_failure_of_several(service: ThreadedEmulatorServer, video: MakeVideo, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_text("no video")
    good = video()
    done = run(service, "upload", "--json", notes, good)
    assert done.code == 1
    results = {result["path"]: result for result in done.results}
    assert results[str(good)]["ok"]
    assert not results[str(notes)]["ok"]
    assert results[str(notes)]["error"] == "ConfigurationError"
    assert f"error: {notes}: " in done.err
    assert len(service.published()) == 1


def test_what_was_uploaded_is_not_sent_again_unless_asked(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video()
    first, second = run(service, "upload", path, "-q"), run(service, "upload", path)
    assert first.out.strip() in second.out
    assert "was uploaded before" in second.out
    third = run(service, "upload", path, "--again", "--json")
    assert third.results[0]["file_id"] != first.out.strip()
    assert len(service.published()) == 2


def test_a_service_that_refuses(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="request_upload", code="A00018")])
    done = run(service, "upload", video(), "--json")
    assert done.code == 1
    (result,) = done.results
    assert (result["ok"], result["error"], result["file_id"]) == (False, "QuotaExceededError", None)
    assert "quota" in done.err
    assert "hint: delete videos" in done.err


def test_a_refusal_of_the_account_is_told_once(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="request_upload", code="A00008")])
    paths = [video(f"{number}.mp4") for number in range(10)]
    done = run(service, "upload", *paths, "--json")
    assert done.code == 1
    assert len(done.results) == 10
    assert not any(result["ok"] for result in done.results)
    assert done.err.count("hint: look at the state of your application") <= 4
    assert done.err.count("not begun") >= 6


def test_waiting_ends(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="get_status", code="A00001")])
    done = run(service, "upload", video(), "--wait", "--timeout", "0.3", "--json")
    assert done.code == 1
    (result,) = done.results
    assert (result["ok"], result["error"], result["resumable"]) == (False, "TimeoutError", False)
    assert result["accepted"] == 100_000
    assert "not published after 0.3 s" in done.err
    assert f"look later with: iqiyi-async status {result['file_id']}" in done.err


def test_wrong_credentials(service: ThreadedEmulatorServer, tmp_path: Path) -> None:
    done = run(service, "list", IQIYI_APP_SECRET="nonsense-nonsense")
    assert done.code == 1
    assert done.out == ""
    assert "hint: check the app key" in done.err
    assert "nonsense-nonsense" not in done.err
    file = tmp_path / "secret"
    file.write_text(APP_SECRET + "\n")
    file.chmod(0o600)
    words = ["--app-secret-file", file, "--endpoint-url", service.endpoint_url, "--app-key", APP_KEY]
    assert run(None, "list", *words).code == 0


def test_nobody_there(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    service.faults = FaultPlan([Fault(operation="finish_upload", status=403)])
    done = run(service, "upload", video())
    assert done.code == 1
    assert "HTTP 403" in done.err
    assert "it goes on from there (100,000 bytes are safe at the service)" in done.err


def test_status_list_urls_delete(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    path = video()
    file_id = run(service, "upload", path, "-q").out.strip()
    assert "published" in run(service, "status", file_id).out
    assert run(service, "status", file_id, "--json").json["state"] == "published"

    listed = run(service, "-q", "list")
    assert file_id in listed.out
    assert "holiday" in listed.out
    assert listed.err == ""
    page = run(service, "list", "--json").json
    assert (page["total"], page["page_size"], page["videos"][0]["size"]) == (1, 20, 100_000)
    assert run(service, "list", "--page", "2", "--page-size", "1", "--json").json["videos"] == []
    assert [each["file_id"] for each in run(service, "list", "--all", "--json").json["videos"]] == [file_id]

    urls = run(service, "urls", file_id)
    assert "mp4   smooth" in urls.out
    assert "expire" in urls.err
    resolved = run(service, "urls", file_id, "--resolve", "--json").json
    assert resolved["resolved"] is True
    assert resolved["mp4"]["1"] not in urls.out
    assert "expires_at" in resolved

    refused = run(service, "delete", file_id)
    assert (refused.code, len(service.published())) == (2, 1)
    deleted = run(service, "delete", file_id, "--yes")
    assert (deleted.code, deleted.out) == (0, "deleted 1 video\n")
    assert not service.published()


def test_a_video_that_does_not_exist(service: ThreadedEmulatorServer) -> None:
    done = run(service, "status", "nothing", "--json")
    assert done.code == 1
    assert done.json["state"] == "absent"
    assert "error: there is no video nothing" in done.err


def test_names_cannot_draw_on_the_terminal(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    run(service, "upload", video(), "--name", "[red]one[/red] 片")
    assert "[red]one[/red] 片" in run(service, "list").out
    body = '{"code": "A00000", "count": 1, "data": [{"fileId": "x", "fileName": "\\u001b[2Jgone", "fileStatus": 2}]}'
    service.faults = FaultPlan([Fault(operation="list_videos", body=body)])
    shown = run(service, "list").out
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone" in shown


def test_a_terminal_without_letters(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    run(service, "upload", video(), "--name", "片")
    done = run(service, "list", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.code == 0
    assert "\\u7247" in done.out


def test_a_refused_review_is_a_state(service: ThreadedEmulatorServer, video: MakeVideo) -> None:
    file_id = run(service, "upload", video(), "-q").out.strip()
    service.set_outcome(file_id, FileState.REVIEW_FAILED)
    done = run(service, "status", file_id)
    assert done.code == 0
    assert "review failed" in done.out
