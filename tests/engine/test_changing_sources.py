"""Sources that are not what they were: whatever changes under way, nothing of it is published."""

from __future__ import annotations

import asyncio
import itertools
import mmap
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest

from iqiyi_async import (
    ChunkReceipt,
    ConfigurationError,
    MemoryJournal,
    SourceChangedError,
    UploadError,
    UploadOptions,
    UploadReceipt,
)
from iqiyi_async.upload.ranges import Range
from iqiyi_async.upload.reading.file_access import Look
from iqiyi_async.upload.reading.resources import SourceResources
from iqiyi_async.upload.reading.sources import UploadSource, make_source

from .servers import Asked, Service, answer
from .tools import NAME, Reader, cloud, content, in_time, open_paths, pieces

CHUNK = 64 * 1024
SIZE = 12 * CHUNK

pytestmark = pytest.mark.anyio


def _truncate(path: Path) -> None:
    os.truncate(path, SIZE // 2)


def _truncate_quietly(path: Path) -> None:
    _truncate(path)
    os.utime(path, ns=(10**18, 10**18))


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"one more")


def _touch(path: Path) -> None:
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"other bytes")


def _rewrite(path: Path) -> None:
    path.write_bytes(bytes(SIZE))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(SIZE))
    other.replace(path)


def _grow_and_shrink(path: Path) -> None:
    _grow(path)
    os.truncate(path, SIZE)


def _overwrite_quietly(path: Path) -> None:
    """As `rsync --inplace`, `exiftool -P` and `cp -p` do: the time of the last change is put back."""
    was = path.stat()
    _overwrite(path)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _chmod(path: Path) -> None:
    path.chmod(0o600 if path.stat().st_mode & 0o77 else 0o644)


def _copy(path: Path) -> None:
    """Another file with the same bytes, as `cp -p` and `mv` leave it: on network mounts even a look-up does so."""
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


def _rename_and_back(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    other.rename(path)


CHANGES = [_truncate, _truncate_quietly, _empty, _grow, _rewrite, _replace]
#: Attributes change, and no byte does; or bytes are written that are there already.
HARMLESS = [_touch, _grow_and_shrink, _chmod, _copy, _rename_and_back]


async def _upload_with_change(
    service: Service, path: Path, change: Callable[[Path], None], call: int, journal: MemoryJournal | None = None
) -> UploadReceipt:
    """The service holds a chunk back; the file changes; then it goes on."""
    path.write_bytes(content(SIZE))
    os.utime(path, ns=(10**18, 10**18))

    async def hold(asked: Asked) -> None:
        if service.count("upload_chunk") == call:
            await asyncio.to_thread(change, path)

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_workers=1, journal=journal) as client:
        receipt: UploadReceipt = await in_time(client.upload(path, NAME))
    return receipt


@pytest.mark.parametrize("call", [1, 6, 12])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
async def test_file_that_changes(service: Service, tmp_path: Path, change: Callable[[Path], None], call: int) -> None:
    """The last call is the last chunk: only a look at the end can tell."""
    path, journal = tmp_path / "film.mp4", MemoryJournal()
    with pytest.raises(SourceChangedError) as caught:
        await _upload_with_change(service, path, change, call, journal)
    assert not service.published
    assert service.count("finish_upload") == 0
    assert caught.value.file_id == "file0"
    assert not caught.value.resumable, "half of one film is never put together with half of another"
    assert "film.mp4 changed while it was uploaded" in str(caught.value)
    assert str(path) not in open_paths()


@pytest.mark.parametrize("change", [_overwrite, _overwrite_quietly], ids=lambda change: change.__name__.strip("_"))
@pytest.mark.parametrize("call", [8, 12])
async def test_file_that_is_written_to_in_place(
    service: Service, tmp_path: Path, change: Callable[[Path], None], call: int
) -> None:
    """Behind the place that was sent already: mixed content, whatever the times say."""
    with pytest.raises(SourceChangedError, match="not those that were sent"):
        await _upload_with_change(service, tmp_path / "film.mp4", change, call)
    assert not service.published


@pytest.mark.parametrize("call", [1, 6, 12])
@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.__name__.strip("_"))
async def test_file_whose_bytes_stay_is_published(
    service: Service, tmp_path: Path, change: Callable[[Path], None], call: int
) -> None:
    """Nothing is refused for what a backup, a rename or a chmod does: what was accepted is read again, and agrees."""
    receipt = await _upload_with_change(service, tmp_path / "film.mp4", change, call)
    assert service.files[receipt.file_id] == content(SIZE)
    assert receipt.file_id in service.published
    assert str(tmp_path / "film.mp4") not in open_paths()


@pytest.mark.parametrize("change", [_overwrite, _overwrite_quietly], ids=lambda change: change.__name__.strip("_"))
async def test_file_that_changes_ahead_of_what_was_sent(
    service: Service, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """All bytes that the service has are those of the file as it is at the end: one film, whole."""
    path = tmp_path / "film.mp4"
    receipt = await _upload_with_change(service, path, change, 1)
    assert service.files[receipt.file_id] == path.read_bytes() != content(SIZE)


# The rule itself, beside the engine


class _Files:
    """Sources of one file, with a clock that says that nothing is young, unless it is told otherwise."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.later_ns = 10**12
        self.on_look: Callable[[], None] = lambda: None
        self.resources = SourceResources(UploadOptions(**options), wall_clock=self._now)
        path.write_bytes(content(SIZE))

    def _now(self) -> int:
        self.on_look()
        return time.time_ns() + self.later_ns

    async def source(self) -> UploadSource:
        return await make_source(self.path, size=None, file_type=None, resources=self.resources)

    async def accepted(self) -> list[ChunkReceipt]:
        source = await self.source()
        parts = [Range(first, CHUNK) for first in range(0, SIZE, CHUNK)]
        found = [await source.read(part, lambda size: memoryview(bytearray(size))) for part in parts]
        await source.aclose()
        return [ChunkReceipt(each.first, each.first + each.size - 1, each.md5) for each in found]


@pytest.fixture
async def files(anyio_backend: str, tmp_path: Path) -> AsyncIterator[_Files]:
    made = _Files(tmp_path / "film.mp4")
    yield made
    await made.resources.aclose()
    assert str(made.path) not in open_paths()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda path: None, True),
        (_touch, True),
        (_chmod, True),
        (_copy, True),
        (_rename_and_back, True),
        (_overwrite, False),
        (_overwrite_quietly, False),
        (_rewrite, False),
        (_grow, False),
    ],
)
async def test_resumed_file_is_the_same_by_its_bytes(files: _Files, change: Callable[[Path], None], same: bool) -> None:
    source = await files.source()
    fingerprint, accepted = await source.fingerprint(), await files.accepted()
    await source.aclose()
    await asyncio.to_thread(change, files.path)
    again = await files.source()
    assert await again.matches(fingerprint, accepted) is same
    assert await again.matches(fingerprint, accepted, all_ranges=True) is same
    await again.aclose()


async def test_accepted_range_outside_of_the_samples_is_looked_at(files: _Files) -> None:
    """Across a resume, with the time of the last change put back."""
    source = await files.source()
    fingerprint, accepted = await source.fingerprint(), await files.accepted()
    await source.aclose()
    was = files.path.stat()

    def change() -> None:
        with files.path.open("r+b") as file:
            file.seek(2 * CHUNK)
            file.write(b"other bytes")
        os.utime(files.path, ns=(was.st_atime_ns, was.st_mtime_ns))

    await asyncio.to_thread(change)
    again = await files.source()
    assert (await again.fingerprint()).digest == fingerprint.digest
    assert not await again.matches(fingerprint, accepted)
    await again.aclose()


async def test_young_file_proves_nothing(files: _Files) -> None:
    """A second change within a tick of the file system's clock would not show."""
    assert (await (await files.source()).fingerprint()).mtime_ns
    files.later_ns = 0
    await asyncio.to_thread(_touch, files.path)
    assert not (await (await files.source()).fingerprint()).mtime_ns


@pytest.mark.parametrize(("nanoseconds", "young"), [(0, True), (4_000_000, False)])
def test_a_file_system_that_counts_in_seconds_proves_less(nanoseconds: int, young: bool) -> None:
    """FAT has pairs of seconds: another change shows only after them."""
    second = 1_600_000_000 * 10**9 + nanoseconds
    found = Path(__file__).stat()
    fields: dict[str, int] = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
    coarse = cast("os.stat_result", SimpleNamespace(**{**fields, "st_mtime_ns": second, "st_ctime_ns": second}))
    assert Look.of(coarse, second + 1_000_000_000).young is young
    assert not Look.of(coarse, second + 3_000_000_000).young


async def test_file_that_never_rests(files: _Files) -> None:
    """Two different looks in a row: nobody can say what its bytes are."""
    source = await files.source()
    fingerprint, accepted = await source.fingerprint(), await files.accepted()
    files.on_look = lambda: _chmod(files.path)
    with pytest.raises(SourceChangedError, match="being written to"):
        await source.conclude(accepted)
    with pytest.raises(SourceChangedError, match="being written to"):
        await source.matches(fingerprint, accepted, all_ranges=True)
    await source.aclose()


async def test_a_mount_whose_files_have_another_number_at_each_look(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FUSE without stable inodes: the bytes decide, in the run itself, after an interruption, and when it is done."""
    usual, numbers = Look.of, itertools.count(1)

    def look(found: os.stat_result, now_ns: int) -> Look:
        return attrs.evolve(usual(found, now_ns), inode=next(numbers), device=next(numbers))

    monkeypatch.setattr(Look, "of", look)
    path = tmp_path / "film.mp4"
    path.write_bytes(content(5 * CHUNK))
    seen = 0

    async def cut(asked: Asked) -> bytes | None:
        nonlocal seen
        seen += 1
        return answer({"code": "A00010"}) if seen > 3 else None

    service.hooks["upload_chunk"] = cut  # type: ignore[assignment]
    async with cloud(service.url, journal=MemoryJournal(), chunk_size=CHUNK, max_workers=1) as client:
        with pytest.raises(UploadError) as caught:
            await client.upload(path, NAME)
        assert caught.value.resumable
        del service.hooks["upload_chunk"]
        receipt = await client.upload(path, NAME)
        assert receipt.resumed_bytes == 3 * CHUNK
        assert (await client.upload(path, NAME)).file_id == receipt.file_id
    assert service.published == [receipt.file_id]


async def test_everything_is_read_again_where_that_is_wanted(files: _Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no time tells of a change, as on some network mounts, `verify="end"` does."""
    monkeypatch.setattr("iqiyi_async.upload.reading.file_access.CTIME_IS_CREATION", True)
    source, accepted = await files.source(), await files.accepted()
    was = files.path.stat()

    def change() -> None:
        with files.path.open("r+b") as file:
            file.seek(2 * CHUNK)
            file.write(b"other bytes")
        os.utime(files.path, ns=(was.st_atime_ns, was.st_mtime_ns))

    await asyncio.to_thread(change)
    await source.conclude(accepted)
    with pytest.raises(SourceChangedError):
        await source.conclude(accepted, read_all=True)
    await source.aclose()


async def test_name_that_is_no_text(service: Service, tmp_path: Path) -> None:
    """Named in GBK on a machine that speaks UTF-8."""
    path = tmp_path / os.fsdecode("\u6d77\u5357.mp4".encode("gbk"))
    await asyncio.to_thread(path.write_bytes, content(100))
    async with cloud(service.url, journal=MemoryJournal()) as client:
        receipt = await client.upload(path, NAME)
        assert service.files[receipt.file_id] == content(100)
        await asyncio.to_thread(path.write_bytes, b"")
        with pytest.raises(ConfigurationError, match=r"\\xba\\xa3\\xc4\\xcf\.mp4 is empty"):
            await client.upload(path, NAME)


@pytest.mark.parametrize("view", [bytearray, memoryview, lambda data: memoryview(data).toreadonly()])
async def test_bytes_that_are_written_to_while_they_are_sent(
    service: Service, view: Callable[[bytearray], bytes]
) -> None:
    data = bytearray(content(4 * CHUNK))
    source = data if view is bytearray else view(data)

    async def change(asked: Asked) -> None:
        data[0] = (data[0] + 1) % 256

    service.hooks["upload_chunk"] = change
    async with cloud(service.url, max_workers=1) as client:
        with pytest.raises(SourceChangedError):
            await client.upload(source, NAME, file_type="mp4")
    assert not service.published


async def test_a_mapped_file_that_is_written_to_while_it_is_sent(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(4 * CHUNK))

    async def change(asked: Asked) -> None:
        with path.open("r+b") as file:
            file.write(asked.body[:3])

    service.hooks["upload_chunk"] = change
    with path.open("rb") as file:
        source = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    async with cloud(service.url, max_workers=1) as client:
        with pytest.raises(SourceChangedError):
            await client.upload(source, NAME, file_type="mp4")
        assert not service.published
        del service.hooks["upload_chunk"]
        await client.upload(source, NAME, file_type="mp4")
    assert [*service.files.values()][-1] == path.read_bytes()


async def test_a_mapped_file_can_be_closed_when_it_was_uploaded(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(4 * CHUNK))
    async with cloud(service.url) as client:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            await client.upload(memoryview(mapped), NAME, file_type="mp4")
    assert service.published == ["file0"]


# More files than may be open


async def test_more_uploads_than_open_files(service: Service, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(24)]
    for number, path in enumerate(paths):
        path.write_bytes(content(3 * CHUNK + number))
    most = 0

    async def look(asked: Asked) -> None:
        nonlocal most
        # A list is made while threads close and open: one of two may count a file that went and the one that came.
        most = max(most, min(sum(each.endswith(".mp4") for each in open_paths()) for _ in range(2)))

    service.hooks["upload_chunk"] = look
    async with cloud(service.url, max_open_files=3) as client:
        receipts = await in_time(asyncio.gather(*(client.upload(path, NAME) for path in paths)), 20)
    for number, receipt in enumerate(receipts):
        assert service.files[receipt.file_id] == content(3 * CHUNK + number)
    assert 1 <= most <= 3
    assert not any(each.endswith(".mp4") for each in open_paths())


async def test_more_uploads_than_descriptors(service: Service, tmp_path: Path) -> None:
    """Files are opened late and given back: the limit of the process is never met."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "film.mp4"
    path.write_bytes(content(2 * CHUNK))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        async with cloud(service.url) as client:
            receipts = await in_time(asyncio.gather(*(client.upload(path, NAME) for _ in range(300))), 30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(service.published) == len({receipt.file_id for receipt in receipts}) == 300


async def test_process_without_a_free_descriptor_is_waited_for(files: _Files) -> None:
    resource = pytest.importorskip("resource")
    source = await files.source()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        ready = asyncio.create_task(source.pin())
        done, _ = await asyncio.wait([ready], timeout=0.2)
        assert not done
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    await in_time(ready)
    assert (await source.read(Range(0, 10), lambda size: memoryview(bytearray(size)))).view == content(10)
    await source.aclose()


async def test_places_among_the_open_files_go_round(tmp_path: Path) -> None:
    """Files that will be read soon keep their places, unless a worker waits: nobody is left waiting for ever."""
    resources = SourceResources(UploadOptions(max_open_files=2))
    paths = [tmp_path / f"{number}.mp4" for number in range(6)]
    for path in paths:
        path.write_bytes(content(100))
    sources = [await make_source(path, size=None, file_type=None, resources=resources) for path in paths]

    async def read(source: UploadSource) -> None:
        chunk = await source.read(Range(0, 100), lambda size: memoryview(bytearray(size)))
        assert chunk.view == content(100)

    await sources[0].pin()
    await sources[1].pin()
    pinning = asyncio.create_task(sources[2].pin())
    done, _ = await asyncio.wait([pinning], timeout=0.05)
    assert not done
    await in_time(asyncio.gather(*(read(source) for source in sources)))
    await in_time(pinning)
    for source in sources[:3]:
        source.unpin()
    for source in sources:
        await source.conclude([])
        await source.aclose()
    assert len(resources.files) == 0
    assert not [path for path in open_paths() if path.endswith(".mp4")]
    await resources.aclose()


async def test_check_that_is_cancelled_leaves_nothing_open(files: _Files) -> None:
    for _ in range(20):
        task = asyncio.create_task(files.source())
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await (await task).aclose()
    await (await files.source()).aclose()
    assert len(files.resources.files) == 0


@pytest.mark.parametrize("missing", ["preadv", "preadv and pread"])
async def test_systems_that_read_otherwise(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Windows has neither call, and no anonymous mappings by that name."""
    for name in missing.split(" and "):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.delattr(mmap, "MAP_ANONYMOUS", raising=False)
    monkeypatch.delattr(os, "sched_yield", raising=False)
    path = tmp_path / "film.mp4"
    path.write_bytes(content(3_000_000))
    async with cloud(service.url, chunk_size=400_000) as client:
        first = await in_time(client.upload(path, NAME))
        second = await in_time(client.upload(pieces(content(SIZE), 70_000), NAME, file_type="mp4", size=SIZE))
    assert service.files[first.file_id] == content(3_000_000)
    assert service.files[second.file_id] == content(SIZE)


async def test_file_that_is_deleted_is_still_uploaded(service: Service, tmp_path: Path) -> None:
    """An open file keeps its bytes: nothing of them has changed."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))

    async def delete(asked: Asked) -> None:
        path.unlink(missing_ok=True)

    service.hooks["upload_chunk"] = delete
    async with cloud(service.url, max_workers=1) as client:
        receipt = await in_time(client.upload(path, NAME))
    assert service.files[receipt.file_id] == content(SIZE)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="what the test breaks is not on this system")
async def test_file_that_can_not_be_read_any_more(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle: one typed error, from which the upload can go on."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    real, reads = os.preadv, 0

    def failing(*arguments: object) -> int:
        nonlocal reads
        reads += 1
        if reads > 3:
            raise OSError(5, "Input/output error")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", failing)
    async with cloud(service.url, max_workers=1, journal=MemoryJournal()) as client:
        with pytest.raises(UploadError, match=r"film\.mp4 can't be read any more: Input/output error") as caught:
            await in_time(client.upload(path, NAME))
    assert caught.value.resumable
    assert not service.published


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="what the test breaks is not on this system")
async def test_reads_that_come_short_are_read_on(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: real(fd, [buffers[0][:1000]], offset))
    async with cloud(service.url) as client:
        receipt = await in_time(client.upload(path, NAME))
    assert service.files[receipt.file_id] == content(SIZE)


@pytest.mark.parametrize("given", [0, 1, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize("kind", ["stream", "reader"])
async def test_stream_that_ends_too_early(service: Service, kind: str, given: int) -> None:
    data = content(given)
    source = pieces(data, 1000) if kind == "stream" else Reader(data)
    async with cloud(service.url) as client:
        with pytest.raises(SourceChangedError, match="ended before"):
            await in_time(client.upload(source, NAME, file_type="mp4", size=SIZE))
    assert not service.published
    assert given or not service.files, "what gives nothing at all is found out before the first request"


@pytest.mark.parametrize("more", [1, 70_000])
@pytest.mark.parametrize("piece", [1000, CHUNK, SIZE, 2 * SIZE])
async def test_stream_that_goes_on(service: Service, piece: int, more: int) -> None:
    async with cloud(service.url) as client:
        with pytest.raises(SourceChangedError, match="goes on"):
            await in_time(client.upload(pieces(content(SIZE + more), piece), NAME, file_type="mp4", size=SIZE))
    assert not service.published


@pytest.mark.parametrize("after", [0, 1, 100])
async def test_stream_that_raises(service: Service, after: int) -> None:
    """The caller gets one typed error, which says of which upload it is; the stream's own is its cause."""
    problem = ValueError("the camera is off")

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(after):
            yield bytes(1000)
        raise problem

    async with cloud(service.url, on_failure="cancel") as client:
        with pytest.raises(UploadError, match=r"the stream failed \(ValueError: the camera is off\)") as caught:
            await in_time(client.upload(broken(), NAME, file_type="mp4", size=SIZE))
    assert caught.value.__cause__ is problem
    assert caught.value.file_id == ("file0" if after else None)
    assert not caught.value.resumable
    assert service.count("request_upload") == service.count("cancel_upload") == min(after, 1)


class _Broken:
    """An object of the caller's, one part of which raises."""

    def __init__(self, part: str) -> None:
        self._part = part

    def _raise(self, part: str) -> None:
        if part == self._part:
            raise ValueError("not yet")

    def __fspath__(self) -> str:
        self._raise("path")
        return "film.mp4"


class _BrokenStream(_Broken):
    __fspath__ = None  # type: ignore[assignment]

    @property
    def size(self) -> int:
        self._raise("size")
        return SIZE

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._raise("iterator")
        return pieces(content(SIZE), 1000)


class _BrokenReader(_Broken):
    __fspath__ = None  # type: ignore[assignment]

    @property
    def read(self) -> object:
        self._raise("read")
        return None


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        (_Broken("path"), ConfigurationError, r"a _Broken, gives no path \(ValueError: not yet\)"),
        (_BrokenStream("size"), ConfigurationError, r"the size of source, a _BrokenStream, can't be read"),
        (_BrokenReader("read"), ConfigurationError, r"the read of source, a _BrokenReader, can't be read"),
        (_BrokenStream("iterator"), UploadError, r"the stream failed \(ValueError: not yet\)"),
    ],
)
async def test_source_that_raises_when_it_is_looked_at(
    service: Service, source: Any, kind: type[Exception], text: str
) -> None:
    async with cloud(service.url) as client:
        with pytest.raises(kind, match=text) as caught:
            await client.upload(source, NAME, file_type="mp4")
    assert isinstance(caught.value.__cause__, ValueError)
    assert not service.asked


@pytest.mark.parametrize("wrong", ["text", 5, [b"x"], object()])
async def test_stream_that_gives_no_bytes(service: Service, wrong: object) -> None:
    async def strange(before: int) -> AsyncIterator[object]:
        for _ in range(before):
            yield bytes(CHUNK)
        yield wrong

    async with cloud(service.url) as client:
        with pytest.raises(ConfigurationError, match=f"gave {type(wrong).__name__} instead of bytes"):
            await in_time(client.upload(strange(0), NAME, file_type="mp4", size=SIZE))  # type: ignore[arg-type]
        assert not service.asked
        with pytest.raises(SourceChangedError, match=f"gave {type(wrong).__name__} instead of bytes"):
            await in_time(client.upload(strange(2), NAME, file_type="mp4", size=SIZE))  # type: ignore[arg-type]
    assert not service.published


async def test_pieces_of_nothing_are_no_end(service: Service) -> None:
    async def hesitant() -> AsyncIterator[bytes]:
        for piece in (b"", b"", b"abc", b"", b"def", b""):
            yield piece

    async with cloud(service.url) as client:
        receipt = await client.upload(hesitant(), NAME, file_type="mp4", size=6)
    assert service.files[receipt.file_id] == b"abcdef"


async def test_stream_that_fills_one_buffer_again_and_again(service: Service) -> None:
    """Its memory is let go of before the next piece is asked for, so that it may even change its size."""

    async def reusing() -> AsyncIterator[bytearray]:
        buffer = bytearray()
        for number in range(6):
            buffer.clear()
            buffer += bytes([number]) * (1000 + number)
            yield buffer

    size = sum(1000 + number for number in range(6))
    async with cloud(service.url, chunk_size=700) as client:
        receipt = await client.upload(reusing(), NAME, file_type="mp4", size=size)  # type: ignore[arg-type]
    assert service.files[receipt.file_id] == b"".join(bytes([number]) * (1000 + number) for number in range(6))


async def test_views_of_wide_items_are_bytes_all_the_same(service: Service) -> None:
    from array import array

    numbers = array("I", range(5000))

    async def wide() -> AsyncIterator[memoryview]:
        yield memoryview(numbers)

    async with cloud(service.url) as client:
        first = await client.upload(wide(), NAME, file_type="mp4", size=20_000)  # type: ignore[arg-type]
        second = await client.upload(memoryview(numbers), NAME, file_type="mp4")
    assert service.files[first.file_id] == service.files[second.file_id] == numbers.tobytes()


async def test_stream_is_read_no_faster_than_it_is_sent(service: Service) -> None:
    """Two workers and two buffers: four chunks, and the piece at hand, whatever the size of the stream."""
    given = 0
    most = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(100):
            given += 1
            yield bytes(1000)

    async def look(asked: Asked) -> None:
        nonlocal most
        most = max(most, given - service.count("upload_chunk"))

    service.hooks["upload_chunk"] = look
    async with cloud(service.url, chunk_size=1000, max_workers=2) as client:
        await in_time(client.upload(counted(), NAME, file_type="mp4", size=100_000))
    assert most <= 5
