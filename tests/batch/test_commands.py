"""The batch commands, each as a program of its own, against a real emulator."""

from __future__ import annotations

import csv
import io
import json
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from iqiyi_async.emulator import Fault, FaultPlan, FileState, ThreadedEmulatorServer

from ..cli.program import APP_KEY, APP_SECRET, run, started
from ..cli.terminal import terminal
from ..sources.servers import nginx

Films = Callable[..., Path]


@pytest.fixture
def service(emulator: ThreadedEmulatorServer) -> ThreadedEmulatorServer:
    return emulator


def command(folder: Path, *words: object) -> list[object]:
    return ["batch", *words, "--ledger", f"sqlite:///{folder.parent}/spring.ledger", "--name", "spring"]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's own instead of the program's: `run` sets those of its tests."""
    from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET

    assert (APP_KEY, APP_SECRET) != (DEFAULT_APP_KEY, DEFAULT_APP_SECRET)
    monkeypatch.setattr("tests.cli.program.APP_KEY", DEFAULT_APP_KEY)
    monkeypatch.setattr("tests.cli.program.APP_SECRET", DEFAULT_APP_SECRET)


def test_a_folder(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(5)
    report = folder.parent / "report.csv"
    done = run(service, *command(folder, "run", folder, "--wait", "--report", report))
    assert done.code == 0, done.text
    assert "spring: 5 files: 5 published" in done.out
    assert "5 added" in done.err
    rows = list(csv.DictReader(report.read_text("utf-8-sig").splitlines()))
    assert [row["state"] for row in rows] == ["published"] * 5
    assert all(row["page_url"] for row in rows)
    again = run(service, *command(folder, "run", folder))
    assert (again.code, len(service.files)) == (0, 5)
    assert "0 added, 5 known already" in again.err


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_failure_names_its_file_once(service: ThreadedEmulatorServer, films: Films, language: str) -> None:
    folder = films(1)
    (folder.parent / "videos.csv").write_text("source\nmissing.mp4\n")
    done = run(service, "--lang", language, *command(folder, "run", folder.parent / "videos.csv"))
    assert done.code == 1
    (line,) = [each for each in done.err.splitlines() if "missing.mp4" in each and "ConfigurationError" not in each]
    assert line.count("missing.mp4") == 1


def test_for_machines(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(3)
    done = run(service, *command(folder, "run", folder, folder / "missing.csv", "--json"))
    assert done.code == 2
    (folder / "list.csv").write_text("source,category\nfilm 000.mp4,9\nmissing.mp4,\nfilm 001.mp4,nonsense\n")
    done = run(service, *command(folder, "run", folder / "list.csv", "--json", "--root", folder))
    assert done.code == 1
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert lines[0] == {"event": "added", "added": 2, "known": 0, "invalid": 1}
    results = {line["source"]: line for line in lines if line["event"] == "result"}
    assert results[str(folder / "film 000.mp4")]["ok"] is True
    assert results[str(folder / "missing.mp4")]["ok"] is False
    summary = lines[-1]
    assert summary["event"] == "summary"
    assert (summary["uploaded"], summary["failed"], summary["invalid"]) == (1, 1, 1)
    assert "batch retry" in summary["retry"]


def test_a_duplicate_is_told_as_one(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(1)
    assert run(service, *command(folder, "run", folder)).code == 0
    (folder / "copy.mp4").write_bytes((folder / "film 000.mp4").read_bytes())
    done = run(service, *command(folder, "run", folder, "--json"))
    assert done.code == 0, done.text
    (result,) = [line for line in map(json.loads, done.out.splitlines()) if line["event"] == "result"]
    assert (result["state"], result["file_id"]) == ("duplicate", service.published()[0].file_id)


def test_a_second_film_under_the_name_of_one_that_was_moved(service: ThreadedEmulatorServer, films: Films) -> None:
    """Whoever empties a folder each night fills it again, and cameras count from one."""
    folder = films(2)
    (folder / "list.csv").write_text("source,title\nfilm 000.mp4,One\nfilm 001.mp4,Two\n")
    done = folder.parent / "done"
    words = command(folder, "run", folder / "list.csv", "--root", folder, "--on-success", f"move:{done}")
    assert run(service, *words).code == 0
    (folder / "film 001.mp4").write_bytes(b"another film")
    again = run(service, *words)
    assert (again.code, len(service.files)) == (0, 3), again.text
    assert "1 added, 1 known already" in again.err
    assert sorted(path.name for path in done.iterdir()) == ["film 000.mp4", "film 001 (2).mp4", "film 001.mp4"]
    assert sorted(video.name for video in service.published()) == ["One", "Two", "Two"]


def test_failures_and_what_retries_them(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(3)
    service.faults = FaultPlan([Fault(operation="finish_upload", code="A00010")])
    done = run(service, *command(folder, "run", folder, "--max-attempts", 1))
    assert done.code == 1
    assert " x UploadError" in done.err
    assert "iqiyi-async batch retry --ledger" in done.err
    service.faults = FaultPlan()
    status = run(None, *command(folder, "status"))
    assert "failed          3" in status.out
    assert "3 items will be tried again" in run(None, *command(folder, "retry")).out
    assert run(service, *command(folder, "run")).code == 0
    assert json.loads(run(None, *command(folder, "status", "--json")).out)["uploaded"] == 3
    rows = list(csv.DictReader(io.StringIO(run(None, *command(folder, "report")).out)))
    assert [row["state"] for row in rows] == ["uploaded"] * 3
    written = folder.parent / "report.json"
    assert run(service, *command(folder, "report", written)).code == 0
    assert len(json.loads(written.read_text("utf-8"))["items"]) == 3


def test_a_dry_run_sends_nothing(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(3)
    good = run(None, "batch", "run", folder, "--dry-run")
    assert (good.code, good.out) == (0, "3 items: 60,000 bytes (58.6 KiB) to send\n")
    (folder / "empty.mp4").write_bytes(b"")
    bad = run(None, "batch", "run", folder, "--dry-run")
    assert bad.code == 1
    assert "empty.mp4: the file is empty" in bad.err
    (folder / "list.csv").write_text("source\nftp://files.example/film.mp4\n")
    strange = run(None, "batch", "run", folder / "list.csv", "--dry-run")
    assert strange.code == 1
    assert "ftp:// can't be read: give a path, or a URL with http, https, s3" in strange.err
    assert service.history == ()


def test_standard_input(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(2)
    words = command(folder, "run", "-", "--root", folder)
    assert run(service, *words, stdin="文件,标题\nfilm 000.mp4,海\n").code == 0
    assert [view.name for view in service.published()] == ["海"]


def test_ctrl_c_drains_and_the_same_command_goes_on(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(6, size=300_000)
    words = command(folder, "run", folder, "--concurrency", 2, "--max-bandwidth", "300KB")
    with started(service, *words) as running:
        running.read_err(lambda line: "6 added" in line)
        deadline = time.monotonic() + 15
        while not service.files and time.monotonic() < deadline:
            time.sleep(0.05)
        running.signal(signal.SIGINT)
        done = running.finish()
    assert done.code == 130
    assert "stopping" in done.err
    assert "the same command goes on" in done.err
    left = json.loads(run(None, *command(folder, "status", "--json")).out)
    assert left["held"] == 0
    assert left["waiting"] > 0
    assert run(service, *command(folder, "run", folder)).code == 0
    assert len(service.published()) == 6
    assert len(service.files) == 6


def test_what_stops_the_batch_is_told_after_the_summary(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(4)
    service.faults = FaultPlan([Fault(operation="request_upload", code="A00018")])
    done = run(service, *command(folder, "run", folder))
    assert done.code == 1
    assert "4 waiting" in done.out
    assert "quota" in done.err
    assert "hint: delete videos" in done.err
    status = run(None, *command(folder, "status"))
    assert "stopped" in status.out


def test_the_display_on_a_terminal(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(8, size=200_000)
    words = command(folder, "run", folder, "--max-bandwidth", "400KB", "--wait")
    begun = time.monotonic()
    with terminal(service, *words) as shown:
        code = shown.finish()
    assert code == 0, shown.text
    assert "of 8 files" in shown.text
    assert "8 published" in shown.text
    # At most 50 KB a minute, and a little for what is said in any case.
    assert len(shown.seen) < 3000 + (time.monotonic() - begun) * 50_000 / 60


def test_urls_in_a_manifest(service: ThreadedEmulatorServer, films: Films, tmp_path: Path) -> None:
    folder = films(2)
    with nginx(tmp_path / "nginx", folder) as url:
        lines = [f"{url}/film%20000.mp4?sig=secret,A", f"{url}/film%20001.mp4,B", f"{url}/missing.mp4?sig=secret,M"]
        (tmp_path / "urls.csv").write_text("\n".join(["source,title", *lines]))
        done = run(
            service, *command(folder, "run", tmp_path / "urls.csv", "--report", tmp_path / "report.csv", "--json")
        )
    assert done.code == 1
    assert sorted(view.name for view in service.published()) == ["A", "B"]
    report = (tmp_path / "report.csv").read_text("utf-8-sig")
    assert "secret" not in done.text + report
    assert "missing.mp4" in report
    assert {line.get("ok") for line in done.lines} >= {True, False}


def test_stop_from_elsewhere(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(6, size=300_000)
    words = command(folder, "run", folder, "--concurrency", 1, "--max-bandwidth", "150KB")
    with started(service, *words) as running:
        running.read_err(lambda line: "6 added" in line)
        assert run(None, *command(folder, "stop")).code == 0
        done = running.finish()
    assert done.code == 1
    assert "waiting" in done.out


def test_what_waits_for_its_publication_is_left(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(1)
    assert run(service, *command(folder, "run", folder)).code == 0
    service.set_outcome(service.published()[0].file_id, FileState.PUBLISHING)
    with started(service, *command(folder, "run", "--wait")) as running:
        running.read_err(lambda line: "1 uploaded" in line or "1 of 1" in line)
        assert run(None, *command(folder, "stop")).code == 0
        done = running.finish()
    assert "1 uploaded" in done.out
    assert "the same command goes on" in done.err
    assert done.code == 1


def test_a_hot_folder(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(1)
    moved = folder.parent / "done"
    words = ["run", "--watch", folder, "--settle", "0.5", "--on-success", f"move:{moved}"]
    with started(service, *command(folder, *words)) as running:
        running.read_err(lambda line: "watching" in line)
        for number in (0, 1):
            (folder / f"new {number}.mp4").write_bytes(bytes([number]) * 30_000)
            deadline = time.monotonic() + 15
            while not (moved / f"new {number}.mp4").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        # Tomorrow's news have the name of today's.
        (folder / "new 0.mp4").write_bytes(b"tomorrow" * 4000)
        deadline = time.monotonic() + 15
        while not (moved / "new 0 (2).mp4").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.signal(signal.SIGTERM)
        assert running.finish().code == 143
    assert len(service.published()) == 4
    assert list(folder.glob("*.mp4")) == []


def test_the_command_that_goes_on_finds_the_files(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(2)
    (folder / "no ending").write_bytes(b"x")
    (folder.parent / "list.csv").write_text("source\nfilm 000.mp4\nfilm 001.mp4\nno ending\nmissing.mp4\n")
    service.faults = FaultPlan([Fault(operation="request_upload", code="A00018")])
    first = run(service, *command(folder, "run", folder.parent / "list.csv", "--root", folder, "--wait"))
    (told,) = [line for line in first.err.splitlines() if "the same command goes on" in line]
    service.faults = FaultPlan()
    again = run(service, *shlex.split(told.partition("or: ")[2])[1:])
    assert "2 published, 2 failed" in again.out
    said = first.err + again.err
    # What is missing is a column: there is no such option. And a file is named once.
    assert "file_type is needed" in said
    assert "--file-type" not in said
    assert f"{folder}/missing.mp4 can't be read" in said
    assert f"missing.mp4: {folder}" not in said


def test_the_rate_is_that_of_this_run(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(3, size=900_000)
    assert run(service, *command(folder, "run", folder)).code == 0
    (folder / "late.mp4").write_bytes(b"late" * 50_000)
    done = run(service, *command(folder, "run", folder, "--max-bandwidth", "100KB"))
    (line,) = [line for line in done.err.splitlines() if "this run took" in line]
    assert "2.8 MiB at the service" in line
    value, unit = line.split()[-2:]
    assert (float(value), unit) <= (110.0, "KiB/s")


@pytest.mark.timeout(120)
def test_usage(films: Films) -> None:
    folder = films(1)
    for words in (
        ["--ledger", "mysql://x"],
        ["--report", "a.xls"],
        ["--on-success", "burn"],
        ["--max-bandwidth", "fast"],
        ["--concurrency", "0"],
        ["--workers", "0"],
        ["--watch", folder, "--settle", "-1"],
        ["--watch", folder, "--settle", "nan"],
        ["--max-attempts", "0"],
        ["--lease", "0"],
        ["--concurency", "3"],
        ["--watch", "nowhere"],
        ["--dask", "nowhere"],
    ):
        given = words if "--ledger" in words else [*words, "--ledger", f"sqlite:///{folder.parent}/a.ledger"]
        done = run(None, "batch", "run", folder, *given, IQIYI_APP_KEY="k", IQIYI_APP_SECRET="s")
        assert done.code == 2, (words, done.text)
        assert "error: " in done.err
        assert "hint: " in done.err
        assert "_" not in done.err.partition("hint: ")[0].replace("on_success", "")
    # Nothing was added before the mistake was told.
    assert not (folder.parent / "a.ledger").exists()


@pytest.mark.parametrize("word", ["status", "retry", "stop", "report"])
def test_a_ledger_that_is_not_there_is_not_made(service: ThreadedEmulatorServer, tmp_path: Path, word: str) -> None:
    done = run(service, "batch", word, "--ledger", tmp_path / "sprnig.ledger")
    assert done.code == 2
    assert "there is no ledger" in done.err
    assert "sprnig.ledger" in done.err
    assert not list(tmp_path.iterdir())


def test_a_ledger_in_a_folder_that_is_missing_is_refused_at_once(
    service: ThreadedEmulatorServer, films: Films, tmp_path: Path
) -> None:
    done = run(service, "batch", "run", films(1), "--ledger", tmp_path / "none" / "spring.ledger")
    assert done.code == 2
    assert "can't be made: No such file or directory" in done.err
    assert "trying again" not in done.err
    done = run(service, "batch", "run", films(1), "--ledger", tmp_path)
    assert (done.code, "is a folder: give the path of a file" in done.err) == (2, True)


def test_a_misspelt_batch_has_no_items(service: ThreadedEmulatorServer, films: Films) -> None:
    folder = films(1)
    assert run(service, *command(folder, "run", folder)).code == 0
    ledger = f"sqlite:///{folder.parent}/spring.ledger"
    assert "no items" in run(None, "batch", "status", "--ledger", ledger, "--name", "sprng").err
