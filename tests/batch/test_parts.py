"""The small parts of a batch, each by itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import (
    AuthorizationError,
    ChunkReceipt,
    ConfigurationError,
    DuplicateVideoError,
    IntegrityError,
    Metadata,
    QuotaExceededError,
    ServiceUnavailableError,
    TransportError,
    UploadError,
    UploadItem,
    UploadOutcome,
    VideoCloudError,
)
from iqiyi_async._redaction import shown
from iqiyi_async.batch import Batch, HotFolder, Manifest
from iqiyi_async.batch.afterwards import OnSuccess
from iqiyi_async.batch.ledger.base import LedgerError, open_ledger
from iqiyi_async.batch.models import ItemState
from iqiyi_async.batch.outage import OutageWatch
from iqiyi_async.batch.settings import Settings
from iqiyi_async.batch.slots import Slot
from iqiyi_async.batch.sources import new_item, source_text
from iqiyi_async.batch.verdicts import Verdict, hint_for, retry_after_of, review_of, verdict_of
from iqiyi_async.models import Fingerprint, JournalEntry
from iqiyi_async.upload.sharing.timetable import Timetable

from ..engine.tools import cloud


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


BUSY = ServiceUnavailableError("busy", code="HTTP 503", retry_after=7.0)
VERDICTS = [
    (DuplicateVideoError("twice", file_id="f"), Verdict.DUPLICATE),
    (AuthorizationError("no"), Verdict.STOP),
    (caused(UploadError("stopped"), AuthorizationError("no")), Verdict.STOP),
    (QuotaExceededError("full", code="A00018"), Verdict.STOP),
    (ConfigurationError("missing"), Verdict.FAIL),
    (BUSY, Verdict.OUTAGE),
    (caused(UploadError("stopped"), BUSY), Verdict.OUTAGE),
    (TransportError("cut", sent=True), Verdict.OUTAGE),
    (IntegrityError("bits"), Verdict.RETRY),
    (OSError(5, "disk"), Verdict.RETRY),
    (UploadError("stopped", retryable=True), Verdict.RETRY),
    (UploadError("stopped"), Verdict.FAIL),
    (caused(UploadError("stopped", retryable=True), LedgerError("away")), Verdict.RELEASE),
    (ValueError("a mistake of a source"), Verdict.FAIL),
]


@pytest.mark.parametrize(("error", "verdict"), VERDICTS, ids=lambda each: getattr(each, "value", type(each).__name__))
def test_verdicts(error: Exception, verdict: Verdict) -> None:
    assert verdict_of(error) is verdict
    assert hint_for(error)


def test_a_video_that_could_not_be_looked_at_has_failed_for_now() -> None:
    error = VideoCloudError("the service is down", retryable=True)
    assert review_of(error) == (ItemState.FAILED, error)


def test_what_the_service_asks_to_wait() -> None:
    assert retry_after_of(caused(UploadError("stopped"), BUSY)) == 7.0
    assert retry_after_of(VideoCloudError("x")) == 0.0


def test_an_outage_by_and_by() -> None:
    now = [0.0]
    watch = OutageWatch(lambda: now[0])
    assert watch.allowed(8) == 8
    # One item that fails again and again is its own matter.
    assert [watch.failure(1, down=False) for _ in range(5)] == [Verdict.RETRY] * 5
    assert watch.failure(2, down=False) is Verdict.RETRY
    assert watch.failure(3, down=False) is Verdict.RELEASE
    assert (watch.allowed(8), watch.pause) == (0, 1.0)
    now[0] = 1.0
    assert (watch.allowed(8), watch.pause) == (1, None)
    assert watch.failure(4, down=False) is Verdict.RELEASE
    assert watch.pause == 2.0
    now[0] = 3.0
    watch.success()
    assert watch.allowed(8) == 8
    assert watch.failure(1, down=True) is Verdict.RELEASE


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_and_are_bounded(failures: int, chance: float) -> None:
    settings = Settings(Path("/"))
    wait = settings.backoff(failures, lambda: chance)
    most = min(600.0, 5.0 * 2.0 ** min(failures - 1, 32))
    assert most / 2 <= wait <= most


@given(st.lists(st.text("ab./", min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=4))
def test_the_same_path_is_the_same_item(parts: list[str]) -> None:
    root = Path("/data/films")
    path = "/".join(parts)
    if path.startswith("/"):
        return
    told = source_text(path, root)
    assert source_text(root / path, root) == told
    assert source_text(root / told, root) == told or Path(told).is_absolute()


def test_urls_are_shown_without_what_is_secret() -> None:
    assert shown("https://user:pw@host:8080/a%20b.mp4?sig=secret#x") == "https://host:8080/a%20b.mp4"
    assert shown("films/a?b.mp4") == "films/a?b.mp4"
    one = new_item(UploadItem("https://h/a.mp4?id=1&X-Amz-Signature=s", Metadata("A")), Path("/"))
    two = new_item(UploadItem("https://h/a.mp4?X-Amz-Signature=t&id=1", Metadata("A")), Path("/"))
    other = new_item(UploadItem("https://h/a.mp4?id=2", Metadata("A")), Path("/"))
    assert one.identity == two.identity != other.identity
    assert "X-Amz" not in one.identity


def entry(path: Path, *, young: bool = False) -> JournalEntry:
    import hashlib

    found, data = path.stat(), path.read_bytes()
    mark = Fingerprint(found.st_size, 0 if young else found.st_mtime_ns, 0, "")
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return JournalEntry("f", "u", mark, accepted=(ChunkReceipt(0, len(data) - 1, md5),))


@pytest.mark.parametrize("young", [False, True])
def test_a_file_that_has_changed_is_left(tmp_path: Path, young: bool) -> None:
    film = tmp_path / "a.mp4"
    film.write_bytes(b"before")
    uploaded = entry(film, young=young)
    film.write_bytes(b"after!")
    assert "has changed" in OnSuccess.parse("delete").apply(film, tmp_path, uploaded)
    assert film.exists()
    assert OnSuccess.parse("delete").apply(film, tmp_path, entry(film, young=young)) == ""
    assert not film.exists()
    assert OnSuccess.parse("delete").apply(film, tmp_path, uploaded), "it is gone already, and that is told"


def test_moving_overwrites_nothing(tmp_path: Path) -> None:
    root, done = tmp_path / "in", tmp_path / "done"
    root.mkdir()
    for content in (b"one", b"two", b"three"):
        (root / "a.mp4").write_bytes(content)
        assert OnSuccess("move", done).apply(root / "a.mp4", root, entry(root / "a.mp4")) == ""
    assert {each.name: each.read_bytes() for each in done.iterdir()} == {
        "a.mp4": b"one",
        "a (2).mp4": b"two",
        "a (3).mp4": b"three",
    }
    for wrong in ("", "move", "move:", "burn"):
        with pytest.raises(ConfigurationError):
            OnSuccess.parse(wrong)


def test_a_hot_folder_waits_until_files_have_settled(tmp_path: Path) -> None:
    now = [0.0]
    folder = HotFolder(tmp_path, settle_seconds=5, clock=lambda: now[0])
    film = tmp_path / "a.mp4"
    film.write_bytes(b"half")
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert folder.look() == []
    now[0] = 4.0
    film.write_bytes(b"half and more")
    assert folder.look() == []
    now[0] = 8.0
    assert folder.look() == []
    now[0] = 9.0
    assert [item.source for item in folder.look()] == [film]
    now[0] = 20.0
    assert folder.look() == [], "once is enough"
    film.write_bytes(b"another film")
    folder.look()
    now[0] = 26.0
    assert len(folder.look()) == 1


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="file systems with names of any bytes")
def test_a_hot_folder_leaves_what_can_not_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    folder = HotFolder(tmp_path, settle_seconds=5, clock=lambda: now[0])
    (tmp_path / "good.mp4").write_bytes(b"x")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "dangling.mp4").symlink_to("nowhere.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.mp4")).write_bytes(b"x")
    assert folder.look() == []
    now[0] = 6.0
    assert [item.source for item in folder.look()] == [tmp_path / "good.mp4"]
    assert len([each for each in caplog.messages if "can't be read" in each]) == 1, "once is enough"
    assert len([each for each in caplog.messages if "rename the file" in each]) == 1


@pytest.mark.parametrize("url", ["", "mysql://h/d", "sqlite://host/a", "sqlite:///", 7])
def test_no_ledger(url: object) -> None:
    with pytest.raises(ConfigurationError):
        open_ledger(url, "a")


@pytest.mark.anyio
async def test_a_file_that_is_no_ledger_is_left(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database")
    with pytest.raises(ConfigurationError, match=r"notes\.txt is no ledger, and was left as it is"):
        async with asyncio.timeout(5), Batch(None, other):
            pass
    assert other.read_text() == "not a database"


@pytest.mark.anyio
async def test_runners_share_the_bandwidth(tmp_path: Path) -> None:
    ledgers = [open_ledger(str(tmp_path / "a.ledger"), "a") for _ in range(2)]
    limit = Timetable.parse("1MB")
    async with cloud("http://127.0.0.1:1") as one, cloud("http://127.0.0.1:1") as two:
        slots = [Slot(each, ledger, 0.6, limit) for each, ledger in zip((one, two), ledgers, strict=True)]
        renewing = []

        async def patiently(call: Callable[[], object]) -> object:
            return await call()  # type: ignore[misc]

        try:
            await slots[0].take()
            assert slots[0].share == 1_000_000
            renewing.append(asyncio.create_task(slots[0].run(patiently)))  # type: ignore[arg-type]
            await slots[1].take()
            assert slots[1].share == 0, "until the other knows of it"
            renewing.append(asyncio.create_task(slots[1].run(patiently)))  # type: ignore[arg-type]
            async with asyncio.timeout(5):
                while [each.share for each in slots] != [500_000, 500_000]:
                    await asyncio.sleep(0.02)
            renewing.pop().cancel()
            await slots[1].free()
            async with asyncio.timeout(5):
                while slots[0].share != 1_000_000:
                    await asyncio.sleep(0.02)
        finally:
            for each in renewing:
                each.cancel()
            for ledger in ledgers:
                await ledger.aclose()


def test_a_manifest_of_many_sources() -> None:
    items = [UploadItem("a.mp4", Metadata("A"))]
    manifest = Manifest.read(items, items)
    assert list(manifest) == items * 2
    assert list(manifest) == items * 2, "it is read anew each time"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("https://user:secret@host/a.mp4?sig=secret#secret", "'https://host/a.mp4'"),
        ("films/a?b.mp4", "'films/a?b.mp4'"),
        (b"secret", "<6 bytes>"),
        (Path("a.mp4"), repr(Path("a.mp4"))),
    ],
)
def test_an_item_tells_no_secret(source: object, told: str) -> None:
    item = UploadItem(source, Metadata("A"))
    assert repr(UploadOutcome(item)).startswith(f"UploadOutcome(item=UploadItem(source={told}, metadata=")
    assert item.source == source
