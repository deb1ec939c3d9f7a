"""Sources that fail or change at the places where it is seen least: each ends in one error, and nothing stays open."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import attrs
import httpx
import pytest

from iqiyi_async import ChunkReceipt, MemoryJournal, SourceChangedError, UploadError, UploadItem, UploadOptions
from iqiyi_async.models import Phase
from iqiyi_async.upload.ranges import Range
from iqiyi_async.upload.reading.file_source import WORTH_WAITING, _Visitor
from iqiyi_async.upload.reading.resources import SourceResources, digest
from iqiyi_async.upload.reading.sources import UploadSource, make_source

from .servers import Service
from .tools import NAME, cloud, content, in_time, open_paths, pieces, until

pytestmark = pytest.mark.anyio

SIZE = 300_000
CHUNK = 100_000
LONG_AGO = 10**18


class Files:
    """One file, its sources, and a clock that says that nothing is young; `on_look` is called after each look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.later_ns = 10**12
        self.on_look: Callable[[], None] = lambda: None
        self.on_sleep: Callable[[], None] = lambda: None
        self.resources = SourceResources(UploadOptions(), wall_clock=self._now, sleep=self._sleep)
        path.write_bytes(content(SIZE))
        os.utime(path, ns=(LONG_AGO, LONG_AGO))

    def _now(self) -> int:
        self.on_look()
        return time.time_ns() + self.later_ns

    async def _sleep(self, seconds: float) -> None:
        await asyncio.to_thread(self.on_sleep)

    async def source(self) -> UploadSource:
        return await make_source(self.path, size=None, file_type=None, resources=self.resources)

    async def sent(self, source: UploadSource) -> list[ChunkReceipt]:
        """Read all ranges of it, as an upload does."""
        found = [await source.read(Range(first, CHUNK), buffer) for first in range(0, SIZE, CHUNK)]
        return [ChunkReceipt(each.first, each.first + each.size - 1, each.md5) for each in found]


def buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))


@pytest.fixture
async def files(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Files]:
    made = Files(tmp_path / "film.mp4")
    yield made
    await made.resources.aclose()
    assert str(made.path) not in open_paths()


# Files that are young


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


async def test_a_large_file_that_was_just_written_is_looked_at_twice(files: Files) -> None:
    """Its times prove nothing yet. A moment later they do, and nothing has to be read a second time."""
    _sparse(files.path, WORTH_WAITING)
    files.later_ns = -(10**9)
    source = await files.source()
    files.later_ns = 10**12
    await source.begin()
    assert (await source.fingerprint()).mtime_ns
    await source.aclose()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: _sparse(path, WORTH_WAITING + 1), "it had 33554432 bytes, and now 33554433"),
        (Path.unlink, "nothing was published"),
    ],
)
async def test_a_large_file_that_is_still_being_written(
    files: Files, change: Callable[[Path], None], words: str
) -> None:
    _sparse(files.path, WORTH_WAITING)
    files.later_ns = -(10**9)
    source = await files.source()
    files.on_sleep = lambda: change(files.path)
    with pytest.raises(SourceChangedError, match=words):
        await source.begin()
    await source.aclose()


# Files that change or vanish


async def test_an_upload_that_starts_over_compares_what_it_has_sent(files: Files) -> None:
    """The first attempt may have become a video: a second one must have the same bytes."""
    source = await files.source()
    await source.begin()
    await files.sent(source)
    await source.begin()
    files.path.write_bytes(content(SIZE)[::-1])
    with pytest.raises(SourceChangedError, match="not those that were sent"):
        await source.begin()
    await source.aclose()


async def test_a_file_that_is_gone_when_its_turn_comes(files: Files) -> None:
    source = await files.source()
    files.path.unlink()
    with pytest.raises(UploadError, match="can't be read any more: No such file"):
        await source.pin()
    with pytest.raises(UploadError, match="can't be read any more: No such file"):
        await source.conclude([])
    with pytest.raises(UploadError, match="can't be read any more: No such file"):
        await source.compare([])
    await source.aclose()


async def test_a_file_that_has_grown_when_its_turn_comes(files: Files) -> None:
    source = await files.source()
    with files.path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChangedError, match="it had 300000 bytes, and now 300004"):
        await source.read(Range(0, CHUNK), buffer)
    await source.aclose()


@pytest.mark.parametrize("number", [1, 2])
async def test_a_file_that_is_cut_while_it_is_read_again(files: Files, number: int) -> None:
    """After it was looked at, or after it was opened: the end is met too early."""
    source = await files.source()
    accepted = await files.sent(source)
    looks = 0

    def cut() -> None:
        nonlocal looks
        looks += 1
        if looks == number:
            os.truncate(files.path, SIZE // 2)

    files.on_look = cut
    with pytest.raises(SourceChangedError):
        await source.conclude(accepted, read_all=True)
    await source.aclose()


async def test_a_file_that_changes_once_while_it_is_read_again(files: Files) -> None:
    """Its attributes differ between two looks, and then no more: it is read once more, and agrees."""
    source = await files.source()
    accepted = await files.sent(source)
    looks = 0

    def touch_once() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            files.path.chmod(0o600)
            os.utime(files.path, ns=(LONG_AGO + 1, LONG_AGO + 1))

    files.on_look = touch_once
    await source.conclude(accepted, read_all=True)
    assert looks >= 3
    await source.aclose()


@pytest.mark.parametrize("kind", ["file", "bytes"])
async def test_ranges_that_the_source_does_not_have_are_not_its_own(files: Files, kind: str) -> None:
    """A journal may hold anything."""
    given: Any = files.path if kind == "file" else files.path.read_bytes()
    source = await make_source(given, size=None, file_type="mp4", resources=files.resources)
    fingerprint = await source.fingerprint()
    assert not await source.matches(fingerprint, [ChunkReceipt(0, SIZE, "md5")], all_ranges=True)
    assert not await source.matches(attrs.evolve(fingerprint, size=1), [])
    await source.aclose()


def test_a_file_that_is_being_checked_is_not_given_up_for_another() -> None:
    visitor = _Visitor()
    assert visitor.in_use
    assert visitor.give_up() is None


async def test_a_failure_between_opening_and_looking_leaves_nothing_open(files: Files) -> None:
    source = await files.source()

    def fail() -> None:
        raise OSError(5, "Input/output error")

    files.on_look = fail
    with pytest.raises(UploadError, match="Input/output error"):
        await source.pin()
    assert str(files.path) not in open_paths()
    await source.aclose()


async def test_a_file_that_another_part_of_the_program_has_closed(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    source = await files.source()
    await source.pin()
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink() and os.path.realpath(entry) == str(files.path):
            os.close(int(entry.name))
    await source.aclose()
    assert "could not be closed: Bad file descriptor" in caplog.text


# Bytes and ranges


async def test_bytes_are_known_by_their_content(files: Files) -> None:
    data = content(SIZE)
    source = await make_source(data, size=None, file_type="mp4", resources=files.resources)
    fingerprint = await source.fingerprint()
    assert await source.identify() == await source.identify()
    assert not await source.matches(attrs.evolve(fingerprint, digest="another"), [])
    # Earlier releases wrote down a digest of the whole.
    whole = (await source.identify()).removeprefix("bytes:")
    assert await source.matches(attrs.evolve(fingerprint, digest=whole), [])
    with pytest.raises(NotImplementedError, match="read range by range"):
        await source.gather(1)
    await source.aclose()


class Ranges:
    """A range source whose answers a test decides."""

    name = "film.mp4"

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.failure: Exception | None = None

    async def identity(self) -> str:
        return "1"

    async def read_range(self, first: int, size: int) -> bytes:
        if self.failure is not None:
            raise self.failure
        return self.data[first : first + size]


@pytest.mark.parametrize(
    ("failure", "words"), [(KeyError(), r"film\.mp4 failed \(KeyError\)"), (OSError("no tape"), "OSError: no tape")]
)
async def test_a_range_source_that_fails(service: Service, failure: Exception, words: str) -> None:
    source = Ranges(content(SIZE))
    source.failure = failure
    async with cloud(service.url) as client:
        with pytest.raises(UploadError, match=words) as caught:
            await in_time(client.upload(source, NAME))
    assert not caught.value.retryable
    assert not service.published


async def test_a_range_source_whose_own_task_is_cancelled_fails_the_upload(service: Service) -> None:
    """A group of tasks takes a cancelled one for ended: the range was left out, and finish was said without it."""

    class Prefetching(Ranges):
        async def read_range(self, first: int, size: int) -> bytes:
            if first == 64 * 1024:
                work = asyncio.ensure_future(asyncio.sleep(60))
                asyncio.get_running_loop().call_soon(work.cancel)
                await work
            return await super().read_range(first, size)

    async with cloud(service.url) as client:
        with pytest.raises(UploadError, match=r"film\.mp4 failed \(CancelledError\)"):
            await in_time(client.upload(Prefetching(content(SIZE)), NAME))
    assert service.count("finish_upload") == 0


async def test_an_identity_whose_own_task_is_cancelled_fails_the_upload(service: Service) -> None:
    source = Ranges(content(SIZE))
    source.identity = cancelled  # type: ignore[method-assign, assignment]
    async with cloud(service.url) as client:
        handle = client.start_upload(source, NAME)
        with pytest.raises(UploadError, match=r"film\.mp4 failed \(CancelledError\)"):
            await in_time(handle)


async def cancelled(*_: object) -> bool:
    raise asyncio.CancelledError


async def test_a_journal_whose_own_task_is_cancelled_fails_the_upload(service: Service) -> None:
    journal = MemoryJournal()
    journal.record = cancelled  # type: ignore[method-assign]
    async with cloud(service.url, journal=journal) as client:
        with pytest.raises(UploadError, match="was cancelled"):
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert service.count("finish_upload") == 0


@pytest.mark.parametrize("method", ["advance", "release"])
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_journal_whose_own_task_is_cancelled_after_finish_costs_no_receipt(
    service: Service, method: str, ordered: bool
) -> None:
    journal = MemoryJournal()
    journal.ordered = ordered
    real = getattr(journal, method)

    async def fails_at_the_end(*args: object) -> bool:
        if method == "release" or args[2] is Phase.FINISHED:
            raise asyncio.CancelledError
        return bool(await real(*args))

    setattr(journal, method, fails_at_the_end)
    async with cloud(service.url, journal=journal) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert service.published == [receipt.file_id]


async def test_an_item_whose_journal_is_cancelled_has_an_outcome(service: Service) -> None:
    journal = MemoryJournal()
    journal.acquire = cancelled  # type: ignore[method-assign, assignment]
    items = [UploadItem(content(SIZE), NAME, file_type="mp4")]
    async with cloud(service.url, journal=journal) as client:
        outcomes = [each async for each in client.upload_many(items)]
    assert [type(each.error) for each in outcomes] == [UploadError]


@pytest.mark.parametrize("changed", [False, True])
async def test_a_range_source_is_read_again_where_that_is_wanted(service: Service, changed: bool) -> None:
    source = Ranges(content(SIZE))

    async def change(asked: object) -> None:
        if changed and service.count("upload_chunk") == 4:
            source.data = source.data[::-1]

    service.hooks["upload_chunk"] = change
    async with cloud(service.url, verify="end", chunk_size=64 * 1024, max_workers=1) as client:
        uploading = client.start_upload(source, NAME)
        if changed:
            with pytest.raises(SourceChangedError, match="not those that were sent"):
                await in_time(uploading)
        else:
            await in_time(uploading)
    assert bool(service.published) is not changed


async def test_a_range_source_of_another_size_is_another_one(files: Files) -> None:
    source = await make_source(Ranges(b"a film"), size=None, file_type=None, resources=files.resources)
    assert not await source.matches(attrs.evolve(await source.fingerprint(), size=1), [])
    await source.aclose()


# Streams


@contextmanager
def no_hashing(resources: SourceResources) -> Iterator[ThreadPoolExecutor]:
    """All threads that hash are busy until the end of the block."""
    release, executor = threading.Event(), resources.reading._executor
    for _ in range(executor._max_workers):
        executor.submit(release.wait)
    try:
        yield executor
    finally:
        release.set()


async def slow_end(data: bytes) -> AsyncIterator[bytes]:
    """A stream that gives some bytes, and then nothing."""
    yield data
    await asyncio.Event().wait()


async def stream_of(given: object, size: int, **options: Any) -> tuple[UploadSource, SourceResources]:
    resources = SourceResources(UploadOptions(chunk_size=256 * 1024, **options))
    return await make_source(given, size=size, file_type="mp4", resources=resources), resources


async def test_a_stream_is_read_in_order_only() -> None:
    source, resources = await stream_of(pieces(b"a film", 2), 6)
    assert not await source.matches(await source.fingerprint(), [])
    with pytest.raises(NotImplementedError, match="read in order"):
        await source.read(Range(0, 1), buffer)
    await source.aclose()
    await source.aclose()
    await resources.aclose()


class Bare:
    """An async iterator without `aclose`."""

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


async def test_a_stream_that_can_not_be_closed(service: Service) -> None:
    async with cloud(service.url) as client:
        receipt = await in_time(client.upload(Bare(content(1000)), NAME, file_type="mp4", size=1000))
    assert service.files[receipt.file_id] == content(1000)


async def test_a_stream_that_cancels_itself_is_a_stream_that_fails(service: Service) -> None:
    """A library below the stream may raise CancelledError: nobody has cancelled the upload."""

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(1000)
        raise asyncio.CancelledError

    async with cloud(service.url) as client:
        with pytest.raises(UploadError, match="CancelledError"):
            await in_time(client.upload(broken(), NAME, file_type="mp4", size=SIZE))


class Cancelled:
    """A range source whose own connection is cancelled, by itself, when it is asked for its `at`."""

    size = SIZE

    def __init__(self, at: str) -> None:
        self._at = at

    async def identity(self) -> str:
        await self._asked("identity")
        return "one"

    async def read_range(self, first: int, size: int) -> bytes:
        await self._asked("read_range")
        return bytes(size)

    async def _asked(self, what: str) -> None:
        if what == self._at:
            connection = asyncio.create_task(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(connection.cancel)
            await connection


@pytest.mark.parametrize("at", ["identity", "read_range"])
async def test_a_range_source_that_cancels_itself_is_one_that_fails(service: Service, at: str) -> None:
    """A task group takes a task that was cancelled for one that has done its work: finish was said without a byte."""
    async with cloud(service.url) as client:
        with pytest.raises(UploadError, match=r"failed \(CancelledError"):
            await in_time(client.upload(Cancelled(at), NAME, file_type="mp4"))
        items = [UploadItem(Cancelled(at), NAME, "mp4"), UploadItem(content(SIZE), NAME, "mp4")]
        outcomes = [each async for each in client.upload_many(items)]
    assert sorted(each.ok for each in outcomes) == [False, True]
    assert [service.files[each] for each, state in service.states.items() if state == "finished"] == [content(SIZE)]


class CancellingTransport(httpx.AsyncBaseTransport):
    """Raises CancelledError for some requests, and sends the others."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == self._path:
            raise asyncio.CancelledError
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("path", ["/upload", "/api/file/info"])
async def test_a_transport_that_cancels_itself_is_one_that_fails(service: Service, path: str) -> None:
    """For a range, and for the metadata: in tasks of the group."""
    transport = CancellingTransport(path)
    async with cloud(service.url, transport=transport) as client:
        with pytest.raises(UploadError, match=r"the transport failed \(CancelledError\)") as caught:
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    await transport.aclose()
    assert caught.value.resumable is False
    assert "finished" not in service.states.values()


async def test_a_stream_in_large_pieces_is_compared_in_threads(service: Service) -> None:
    """Under its key again, after it was finished: it is read to its end, and nothing is sent."""
    data = content(5 * CHUNK)
    async with cloud(service.url, journal=MemoryJournal(), chunk_size=4 * CHUNK) as client:
        given = {"file_type": "mp4", "size": len(data), "key": "film"}
        first = await in_time(client.upload(pieces(data, 3 * CHUNK), NAME, **given))
        sent = service.count("upload_chunk")
        again = await in_time(client.upload(pieces(data, 2 * CHUNK), NAME, **given))
        assert again.file_id == first.file_id
        assert service.count("upload_chunk") == sent
        shorter = {**given, "size": len(data) - 1}
        other = await in_time(client.upload(pieces(data[:-1], CHUNK), NAME, **shorter))
    assert other.file_id != first.file_id
    assert service.files[other.file_id] == data[:-1]


async def test_a_stream_that_is_cancelled_while_a_range_of_it_is_hashed() -> None:
    """Its memory is there again."""
    source, resources = await stream_of(pieces(content(SIZE), SIZE), SIZE)
    with no_hashing(resources):
        await source.begin()
        gathering = asyncio.create_task(source.gather(200_000))
        await until(lambda: resources.memory.used == 200_000)
        for _ in range(5):
            await asyncio.sleep(0)
        gathering.cancel()
        await in_time(asyncio.wait([gathering]))
        assert gathering.cancelled()
        assert resources.memory.used == 0
    await source.aclose()
    await resources.aclose()


async def test_a_stream_whose_comparing_is_cancelled_while_it_hashes() -> None:
    """The task of the stream finds nobody who wants what it has hashed."""
    source, resources = await stream_of(pieces(content(SIZE), SIZE), SIZE)
    with no_hashing(resources) as executor:
        await source.begin()
        comparing = asyncio.create_task(source.compare([ChunkReceipt(0, 199_999, "md5")]))
        await until(lambda: executor._work_queue.qsize() == 1)
        comparing.cancel()
        await in_time(asyncio.wait([comparing]))
        assert comparing.cancelled()
    await resources.reading.run(lambda: None)
    for _ in range(5):
        await asyncio.sleep(0)
    await source.aclose()
    await resources.aclose()


async def test_a_stream_that_is_flushed_as_its_range_is_cancelled() -> None:
    source, resources = await stream_of(slow_end(content(1000)), 2000)
    await source.begin()
    gathering = asyncio.create_task(source.gather(1500))
    await until(lambda: resources.memory.used > 0)
    source.pause()
    gathering.cancel()
    await in_time(asyncio.wait([gathering]))
    assert gathering.cancelled()
    assert resources.memory.used == 0
    await source.aclose()
    await resources.aclose()


async def test_overlapping_ranges_of_a_stream_are_compared_once() -> None:
    data = content(1000)
    source, resources = await stream_of(pieces(data, 300), len(data))
    await source.begin()
    known = [ChunkReceipt(0, 499, digest(data[:500], "md5")), ChunkReceipt(100, 299, "of no interest")]
    await in_time(source.compare(known))
    rest = await in_time(source.gather(1000))
    assert rest.size == 500
    rest.release()
    await source.aclose()
    await resources.aclose()


async def test_a_stream_that_is_paused_before_its_first_piece() -> None:
    go = asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await go.wait()
        yield bytes(10)

    source, resources = await stream_of(late(), 10, source_timeout=0.1)
    source.pause()
    beginning = asyncio.create_task(source.begin())
    await asyncio.sleep(0.25)
    assert not beginning.done(), "its silence does not count"
    source.resume()
    go.set()
    await in_time(beginning)
    await source.aclose()
    await resources.aclose()


async def test_a_stream_that_is_paused_while_it_is_silent() -> None:
    """The time of the pause does not count against it."""
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(10)
        await go.wait()
        yield bytes(10)

    source, resources = await stream_of(slow(), 20, source_timeout=0.2)
    await source.begin()
    first = await source.gather(5)
    gathering = asyncio.create_task(source.gather(15))
    await asyncio.sleep(0.05)
    source.pause()
    chunk = await in_time(gathering)
    gathering = asyncio.create_task(source.gather(20 - first.size - chunk.size))
    await asyncio.sleep(0.3)
    source.resume()
    await asyncio.sleep(0.1)
    go.set()
    last = await in_time(gathering)
    assert first.size + chunk.size + last.size == 20
    for each in (first, chunk, last):
        each.release()
    await source.aclose()
    await resources.aclose()
