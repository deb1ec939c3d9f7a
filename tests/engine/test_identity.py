"""The same video, once: what is found again by its path, its key or its bytes, and what is published once more."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    ChunkReceipt,
    DuplicateVideoError,
    Endpoints,
    MemoryJournal,
    Metadata,
    SourceChangedError,
    SqliteJournal,
    UploadError,
    UploadOptions,
)
from iqiyi_async.models import JournalEntry, Phase

from .servers import Asked, Cut, Service, answer, ok
from .test_journal_session import Broken
from .tools import KEY, NAME, QUICK, SECRET, cloud, content, in_time, pieces

pytestmark = pytest.mark.anyio

SIZE = 8 * 64 * 1024
OTHER = Metadata("A film", description="corrected")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    os.utime(path, ns=(10**18, 10**18))
    return path


async def test_the_same_again_is_the_earlier_receipt(service: Service, path: Path) -> None:
    async with cloud(service.url, journal=MemoryJournal()) as client:
        first = await client.upload(path, NAME)
        os.utime(path)
        path.chmod(0o600)
        assert (await client.upload(path, NAME)).file_id == first.file_id
    assert service.published == [first.file_id]


@pytest.mark.parametrize("year", [1000, 2400])
async def test_times_that_no_database_holds(service: Service, tmp_path: Path, year: int) -> None:
    """Such a file could not be uploaded at all: its time did not fit into the journal."""
    memory = Path("/dev/shm")  # The file systems in memory know all times.
    with tempfile.NamedTemporaryFile(dir=memory if memory.is_dir() else None, suffix=".mp4") as file:
        file.write(content(SIZE))
        file.flush()
        seconds = (year - 1970) * 31_556_952
        os.utime(file.name, (seconds, seconds))
        if int(Path(file.name).stat().st_mtime) != seconds:
            pytest.skip("the file system knows no such times")
        await asyncio.sleep(0.06)
        journal = SqliteJournal(tmp_path / "journal.db")
        async with cloud(service.url, journal=journal) as client:
            first = await client.upload(file.name, NAME)
            assert (await client.upload(file.name, NAME)).file_id == first.file_id
        await journal.aclose()
    assert service.published == [first.file_id]


async def test_other_metadata_is_a_duplicate_unless_it_is_wanted_again(service: Service, path: Path) -> None:
    async with cloud(service.url, journal=MemoryJournal()) as client:
        first = await client.upload(path, NAME)
        asked = service.count("request_upload")
        with pytest.raises(DuplicateVideoError, match="already") as caught:
            await client.upload(path, OTHER)
        assert caught.value.file_id == first.file_id
        assert not caught.value.retryable
        assert service.count("request_upload") == asked, "nothing was begun"
        second = await client.upload(path, OTHER, again=True)
    assert second.file_id != first.file_id


@pytest.mark.parametrize("how", ["copy", "move", "link"])
async def test_another_name_is_a_duplicate(service: Service, path: Path, how: str) -> None:
    other = path.with_name("other.mp4")
    async with cloud(service.url, journal=MemoryJournal()) as client:
        first = await client.upload(path, NAME)
        if how == "copy":
            shutil.copy2(path, other)
        elif how == "move":
            path.rename(other)
        else:
            other.hardlink_to(path)
        with pytest.raises(DuplicateVideoError) as caught:
            await client.upload(other, NAME)
    assert caught.value.file_id == first.file_id


@pytest.mark.parametrize("size", [10, 100_000, SIZE])
@pytest.mark.parametrize("bytes_first", [True, False], ids=["bytes first", "file first"])
async def test_the_bytes_of_a_file_are_a_duplicate_of_it(
    service: Service, path: Path, size: int, bytes_first: bool
) -> None:
    data = content(size)
    path.write_bytes(data)
    async with cloud(service.url, journal=MemoryJournal()) as client:
        sources = [data, path] if bytes_first else [path, data]
        first = await client.upload(sources[0], NAME, file_type="mp4")
        with pytest.raises(DuplicateVideoError) as caught:
            await client.upload(sources[1], NAME, file_type="mp4")
        changed = bytearray(data)
        changed[size // 4] ^= 1  # outside of the samples, if there is room
        other = await client.upload(changed, NAME, file_type="mp4")
    assert caught.value.file_id == first.file_id
    assert service.files[other.file_id] == changed


async def test_a_duplicate_is_sought_within_one_group_only(service: Service, path: Path) -> None:
    async with cloud(service.url, journal=MemoryJournal()) as client:
        first = await client.upload(path, NAME, group="one")
        second = await client.upload(path, NAME, group="two")
    assert first.file_id != second.file_id


@pytest.mark.parametrize("renamed", [False, True], ids=["other metadata", "another name"])
@pytest.mark.parametrize("code", ["A00002", "A00003", "A00006", "A00007"])
async def test_a_video_that_will_never_be_shown_is_no_duplicate(
    service: Service, path: Path, code: str, renamed: bool
) -> None:
    async def status(asked: Asked) -> bytes:
        return answer({"code": code})

    async with cloud(service.url, journal=MemoryJournal()) as client:
        first = await client.upload(path, NAME)
        service.hooks["get_status"] = status
        again = path.rename(path.with_name("other.mp4")) if renamed else path
        second = await client.upload(again, OTHER)
    assert first.file_id != second.file_id


async def test_other_bytes_of_the_same_size_and_samples_are_no_duplicate(service: Service, path: Path) -> None:
    other = path.with_name("other.mp4")
    data = bytearray(content(SIZE))
    data[SIZE // 4] ^= 1  # outside of the samples
    other.write_bytes(data)
    async with cloud(service.url, journal=MemoryJournal()) as client:
        first = await client.upload(path, NAME)
        second = await client.upload(other, NAME)
    assert first.file_id != second.file_id
    assert service.files[second.file_id] == data


async def test_an_upload_is_remembered_as_long_as_the_options_say(service: Service, path: Path) -> None:
    async with cloud(service.url, journal=MemoryJournal(), remember=0.2) as client:
        first = await client.upload(path, NAME)
        await asyncio.sleep(0.3)
        second = await client.upload(path, NAME)
    assert first.file_id != second.file_id


def failing(service: Service, after: int = 4) -> None:
    async def refuse(asked: Asked) -> bytes | None:
        return answer({"code": "A00010"}) if service.count("upload_chunk") == after else None

    service.hooks["upload_chunk"] = refuse


async def test_corrected_metadata_goes_on_with_an_unfinished_upload(service: Service, path: Path) -> None:
    failing(service)
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        receipt = await client.upload(path, OTHER)
    assert receipt.file_id == "file0"
    assert receipt.resumed_bytes == 3 * 64 * 1024
    assert "corrected" in service.calls("set_metadata")[-1].target


async def test_an_unfinished_upload_goes_on_under_another_name(service: Service, path: Path) -> None:
    failing(service)
    other = path.with_name("renamed.mp4")
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        path.rename(other)
        receipt = await client.upload(other, NAME)
        assert [each async for each in client.iter_unfinished()] == []
    assert receipt.file_id == "file0"
    assert receipt.resumed_bytes == 3 * 64 * 1024


async def test_a_source_that_changed_is_cancelled_before_it_starts_over(service: Service, path: Path) -> None:
    failing(service)
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        path.write_bytes(content(SIZE)[::-1])
        receipt = await client.upload(path, NAME)
    assert receipt.file_id == "file1"
    assert service.states["file0"] == "cancelled"


async def test_a_range_that_was_changed_outside_of_the_samples_is_not_spliced(service: Service, path: Path) -> None:
    failing(service)
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        with path.open("r+b") as file:
            file.seek(90_000)
            file.write(b"other")
        os.utime(path, ns=(10**18, 10**18))
        receipt = await client.upload(path, NAME)
    assert receipt.file_id == "file1"
    assert service.files["file1"] == path.read_bytes()


async def test_a_stream_whose_accepted_ranges_differ_is_refused(service: Service) -> None:
    failing(service)
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(pieces(content(SIZE), 5000), NAME, file_type="mp4", size=SIZE, key="k")
        with pytest.raises(SourceChangedError):
            await client.upload(pieces(content(SIZE)[::-1], 5000), NAME, file_type="mp4", size=SIZE, key="k")
    assert not service.published


@pytest.mark.parametrize("phase", [Phase.FINISHING, Phase.CANCELLING])
async def test_what_was_announced_may_have_happened(service: Service, path: Path, phase: Phase) -> None:
    """A process ended right after it had announced finish or cancel: the next goes on with the same file_id."""
    failing(service)
    journal = MemoryJournal()
    async with cloud(service.url, journal=journal, max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        (key,) = journal._entries
        fence = await journal.acquire(key, "dead", 0.0)
        assert fence is not None
        assert await journal.advance(key, fence, phase)
        receipt = await in_time(client.upload(path, NAME))
    assert receipt.file_id == "file0"
    assert service.published == ["file0"]


async def test_an_unfinished_upload_that_the_service_has_dropped_starts_over(service: Service, path: Path) -> None:
    failing(service)
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        del service.states["file0"]
        receipt = await in_time(client.upload(path, NAME))
    assert receipt.file_id == "file1"
    assert service.published == ["file1"]


async def test_who_lost_the_lease_touches_nothing(service: Service, path: Path) -> None:
    """A process was stopped past its lease; another has taken the upload over. It wakes up and fails."""
    journal = MemoryJournal()
    taken = False

    async def chunk(asked: Asked) -> bytes | None:
        nonlocal taken
        if service.count("upload_chunk") == 3 and not taken:
            taken = True
            (key,) = journal._entries
            journal._leases.clear()
            assert await journal.acquire(key, "the other", 60) is not None
        return None

    service.hooks["upload_chunk"] = chunk
    async with cloud(service.url, journal=journal, max_workers=1, on_failure="cancel") as client:
        with pytest.raises(UploadError, match="taken it over") as caught:
            await in_time(client.upload(path, NAME))
    assert caught.value.resumable
    assert service.count("cancel_upload") == 0
    assert service.count("finish_upload") == 0
    assert service.states["file0"] == "uploading"


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_journal_that_is_removed_under_way_is_written_again(service: Service, path: Path, workers: int) -> None:
    place = path.with_name("uploads.db")
    journal = SqliteJournal(place)

    async def chunk(asked: Asked) -> bytes | None:
        if service.count("upload_chunk") == 3:
            for each in path.parent.glob("uploads.db*"):
                if ".alive" not in each.name and ".lock" not in each.name:
                    each.unlink()
        if service.count("upload_chunk") == 6:
            raise Cut
        return None

    service.hooks["upload_chunk"] = chunk
    async with cloud(service.url, journal=journal, max_workers=workers) as client:
        receipt = await in_time(client.upload(path, NAME))
        assert (await client.upload(path, NAME)).file_id == receipt.file_id
    await journal.aclose()
    assert service.published == ["file0"]


class Slow(SqliteJournal):
    """Notes what it is told, and takes its time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.told: list[str] = []

    async def _do(self, work: Any, *, durable: bool = False) -> Any:
        self.told.append(work.func.__name__.strip("_"))
        done = await super()._do(work, durable=durable)
        await asyncio.sleep(0.02)
        self.told.append(f"{work.func.__name__.strip('_')} done")
        return done


async def test_what_needs_no_waiting_is_written_together(service: Service, path: Path) -> None:
    """What may not be undone waits for the journal; besides, the journal is waited for once at each end."""
    path.write_bytes(b"a film" * 1000)
    journal = Slow(path.with_name("uploads.db"))

    async def look(asked: Asked) -> bytes | None:
        begun, finishing = "begin done" in journal.told, "advance done" in journal.told
        assert (begun, finishing) == {
            "request_upload": (False, False),
            "upload_chunk": (True, False),
            "set_metadata": (True, False),
            "finish_upload": (True, True),
        }.get(asked.operation, (begun, finishing))
        return None

    for operation in ("request_upload", "upload_chunk", "set_metadata", "finish_upload"):
        service.hooks[operation] = look
    async with cloud(service.url, journal=journal) as client:
        await in_time(client.upload(path, NAME, again=True))
        # The receipt comes when all is written.
        assert journal.told[-1] == "release done"
        assert journal.told[:2] == ["acquire", "load"]
        assert journal.told.index("record") < journal.told.index("advance")
        assert [each for each in journal.told if "done" not in each][-2:] == ["advance", "release"]
        assert journal.told.index("release") < len(journal.told) - 2, "one after the other"
    await journal.aclose()


async def test_a_journal_that_can_not_be_asked_fails_the_upload(service: Service, path: Path) -> None:
    place = path.with_name("notes.txt")
    place.write_text("not a journal")
    journal = SqliteJournal(place)
    async with cloud(service.url, journal=journal) as client:
        with pytest.raises(UploadError, match=r"notes\.txt") as caught:
            await client.upload(path, NAME)
    await journal.aclose()
    assert "journal_required=False" in str(caught.value)
    assert not service.asked
    assert place.read_text() == "not a journal"


async def test_so_does_one_that_can_not_be_asked_for_the_same_bytes(service: Service, path: Path) -> None:
    async with cloud(service.url, journal=Broken("find")) as client:
        with pytest.raises(UploadError, match=r"OSError: no find.*no byte was sent") as caught:
            await client.upload(path, NAME)
    assert not caught.value.file_id
    assert not service.asked


def test_tags_given_as_a_set_are_the_same_in_every_process() -> None:
    script = (
        "from iqiyi_async import Metadata; from iqiyi_async.protocol.uploads import metadata_digest;"
        "print(metadata_digest(Metadata('n', tags={'beach', 'sea', 'sun', 'sand', 'salt'})))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(told) == 1


async def test_a_range_goes_to_the_fallback_when_its_node_dies(service: Service, path: Path) -> None:
    """The service names an address that is dead; the documented host takes the ranges of the same upload."""
    real = service.url

    async def ticket(asked: Asked) -> bytes:
        service.usual(asked)
        return ok(data={"upload_url": "http://127.0.0.1:9/upload", "file_id": f"file{len(service.files) - 1}"})

    service.hooks["request_upload"] = ticket
    endpoints = attrs.evolve(Endpoints.single(real), fallbacks=(real,))
    options = UploadOptions(chunk_size=64 * 1024, max_workers=2)
    async with AsyncVideoCloud(KEY, SECRET, endpoints=endpoints, options=options, retry=QUICK) as client:
        began = time.monotonic()
        receipt = await in_time(client.upload(path, NAME), 20)
        assert time.monotonic() - began < 15
    assert service.files[receipt.file_id] == content(SIZE)


class Forgetful(MemoryJournal):
    """Accepted ranges can't be written into it: another program has locked it."""

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        raise OSError("database is locked")


async def test_a_video_whose_ranges_were_not_noted_is_told_from_another(service: Service, path: Path) -> None:
    async with cloud(service.url, journal=Forgetful()) as client:
        first = await client.upload(path, NAME)
        data = bytearray(path.read_bytes())
        data[90_000] ^= 1  # outside of the samples
        path.write_bytes(data)
        second = await client.upload(path, NAME)
        assert (await client.upload(path, NAME)).file_id == second.file_id
    assert first.file_id != second.file_id
    assert service.files[second.file_id] == data


@pytest.mark.parametrize("metadata", [NAME, OTHER], ids=["the same", "corrected"])
async def test_a_video_that_was_finished_a_moment_ago_may_not_have_turned_up(
    service: Service, path: Path, metadata: Metadata
) -> None:
    """The status lags behind: absent is no proof."""

    async def lag(asked: Asked) -> bytes | None:
        return answer({"code": "A00003"}) if service.count("get_status") == 1 else None

    async with cloud(service.url, journal=MemoryJournal(), doubt_patience=5.0) as client:
        first = await client.upload(path, NAME)
        service.hooks["get_status"] = lag
        try:
            again = (await in_time(client.upload(path, metadata))).file_id
        except DuplicateVideoError as error:
            again = error.file_id or ""
    assert again == first.file_id
    assert service.published == [first.file_id]


async def test_one_that_was_finished_long_ago_is_believed_to_be_gone(service: Service, path: Path) -> None:
    journal = MemoryJournal(wall_clock=lambda: time.time() - 60)

    async def gone(asked: Asked) -> bytes:
        return answer({"code": "A00003"})

    async with cloud(service.url, journal=journal, doubt_patience=30.0) as client:
        first = await client.upload(path, NAME)
        service.hooks["get_status"] = gone
        second = await in_time(client.upload(path, NAME))
    assert first.file_id != second.file_id


async def test_that_finish_may_have_been_said_is_not_forgotten_before_it_is_said_again(
    service: Service, path: Path
) -> None:
    """The next run goes on, and ends before it finishes: the one after it must still know."""
    failing(service)
    journal = MemoryJournal()
    async with cloud(service.url, journal=journal, max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
        (key,) = journal._entries
        fence = await journal.acquire(key, "dead", 0.0)
        assert fence is not None
        assert await journal.advance(key, fence, Phase.FINISHING)
        failing(service, after=5)
        with pytest.raises(UploadError):
            await client.upload(path, NAME)
    entry = await journal.load(key)
    assert entry is not None
    assert entry.phase is Phase.FINISHING


class Remote:
    """An object that is read by ranges."""

    name = "film.mp4"

    def __init__(self, data: bytes, identity: str) -> None:
        self.size = len(data)
        self._data = data
        self._identity = identity

    async def read_range(self, first: int, size: int) -> bytes:
        return self._data[first : first + size]

    async def identity(self) -> str:
        return self._identity


@pytest.mark.parametrize(("key", "identity"), [(None, "two"), ("k", "two"), ("k", "")])
async def test_another_identity_of_the_same_bytes_is_the_same_video(
    service: Service, key: str | None, identity: str
) -> None:
    """The object was written again, or moved to a store that names it otherwise."""
    data = content(SIZE)
    async with cloud(service.url, journal=MemoryJournal()) as client:
        first = await client.upload(Remote(data, "one"), NAME, key=key)
        assert (await client.upload(Remote(data, identity), NAME, key=key)).file_id == first.file_id
        other = await client.upload(Remote(data[::-1], identity + "three"), NAME, key=key)
    assert other.file_id != first.file_id


async def test_under_its_key_a_video_is_the_same_whatever_kind_of_source_brings_it(
    service: Service, path: Path
) -> None:
    data = content(SIZE)
    sources = [path, data, Remote(data, "one"), pieces(data, 5000), Remote(data, ""), data, path]
    async with cloud(service.url, journal=MemoryJournal()) as client:
        for source in sources:
            await client.upload(source, NAME, key="k", file_type="mp4", size=SIZE)
    assert service.published == ["file0"]


async def test_names_that_look_alike_are_two_files(service: Service, tmp_path: Path) -> None:
    """One has a line break in its name, the other one its two letters."""
    failing(service)
    one, other = tmp_path / "a\nb.mp4", tmp_path / "a\\nb.mp4"
    one.write_bytes(content(SIZE))
    other.write_bytes(content(SIZE)[::-1])
    async with cloud(service.url, journal=MemoryJournal(), max_workers=1) as client:
        with pytest.raises(UploadError):
            await client.upload(one, NAME)
        await client.upload(other, NAME)
    assert service.states["file0"] == "uploading", "the upload of the other was cancelled"


class Stopped(MemoryJournal):
    """The process is stopped just after its upload was noted; another takes it over."""

    shared = False

    async def begin(self, key: str, fence: int, entry: JournalEntry) -> bool:
        done = await super().begin(key, fence, entry)
        self._leases.clear()
        assert await self.acquire(key, "the other", 60.0) is not None
        time.sleep(0.2)
        return done


async def test_who_was_stopped_past_the_lease_sends_no_metadata(service: Service, path: Path) -> None:
    async with cloud(service.url, journal=Stopped(), lease_seconds=0.1) as client:
        with pytest.raises(UploadError, match="taken it over"):
            await in_time(client.upload(path, NAME))
    assert service.count("set_metadata") == 0
    assert service.count("finish_upload") == 0
