"""Memory is that of the workers' chunks and as many waiting ones, whatever the size or number of files and streams."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import AsyncVideoCloud, ConfigurationError, SourceChangedError, UploadError, UploadOptions
from iqiyi_async._fair_queue import Turn
from iqiyi_async.models import ChunkReceipt
from iqiyi_async.upload.ranges import Range
from iqiyi_async.upload.reading.memory import StreamMemory
from iqiyi_async.upload.reading.resources import SourceResources, digest
from iqiyi_async.upload.reading.sources import UploadSource, make_source

from .servers import Asked, Service
from .tools import NAME, cloud, content, in_time, pieces, until

MIB = 1024 * 1024
CHUNK = 64 * 1024
SCRIPT = Path(__file__).parents[1] / "figures" / "memory_2gib.py"
TURN = Turn(None, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["path", "stream"])
def test_growth_is_bounded(kind: str) -> None:
    command = [sys.executable, str(SCRIPT), "--size", str(256 * MIB + 7), "--kind", kind, "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=50).stdout)
    assert found["growth"] < (64 if kind == "path" else 96) * MIB
    # Each worker has been at work; that all are at once when the service is slow enough is shown in `test_uploads`.
    assert found["connections"] == 8
    assert 2 <= found["chunks_at_once"] <= 8


def _memory_of(client: AsyncVideoCloud) -> StreamMemory:
    return client._runtime.pool.resources.memory


async def _slow(data: bytes, piece: int, every: float) -> AsyncIterator[bytes]:
    for start in range(0, len(data), piece):
        await asyncio.sleep(every)
        yield data[start : start + piece]


# Many streams, little room


@pytest.mark.anyio
@pytest.mark.parametrize("piece", [100, 3_000, 70_000, 300_000])
async def test_a_hundred_streams_and_one_buffer(service: Service, piece: int) -> None:
    """Each of them has bytes all the time; whole chunks of all of them would be 25 times the room."""
    most = 0

    async def look(asked: Asked) -> None:
        nonlocal most
        most = max(most, _memory_of(client).used)

    service.hooks["upload_chunk"] = look
    data = content(CHUNK + 1001)
    async with cloud(service.url, max_workers=2, max_waiting_buffers=1) as client:
        streams = [pieces(data, piece) for _ in range(100)]
        receipts = await in_time(
            asyncio.gather(*(client.upload(each, NAME, file_type="mp4", size=len(data)) for each in streams)), 30
        )
        assert _memory_of(client).used == 0
    assert all(service.files[receipt.file_id] == data for receipt in receipts)
    assert 0 < most <= 3 * CHUNK


@pytest.mark.anyio
async def test_silent_streams_hold_nobody_up(service: Service) -> None:
    """A hundred streams gave some bytes, and then nothing: what comes beside them is as quick as alone."""
    go_on = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield bytes(CHUNK // 2)
        await go_on.wait()
        yield bytes(CHUNK // 2)

    async with cloud(service.url, max_workers=2, max_waiting_buffers=1) as client:
        waiting = [asyncio.create_task(client.upload(silent(), NAME, file_type="mp4", size=CHUNK)) for _ in range(100)]
        await until(lambda: service.count("request_upload") == 100)
        began = time.perf_counter()
        for _ in range(5):
            quick = await in_time(client.upload(pieces(content(1000), 100), NAME, file_type="mp4", size=1000), 2)
            assert service.files[quick.file_id] == content(1000)
        assert time.perf_counter() - began < 1.0
        go_on.set()
        await in_time(asyncio.gather(*waiting), 20)
        assert _memory_of(client).used == 0
    assert len(service.published) == 105


@pytest.mark.anyio
async def test_streams_that_waited_for_room_give_it_back() -> None:
    """Two silent streams were given the last room at the same moment, while a third waits for some."""
    resources = SourceResources(UploadOptions(chunk_size=CHUNK, max_workers=1, max_waiting_buffers=1))
    silent = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield bytes(CHUNK // 2)
        await silent.wait()
        yield b"x"

    size = CHUNK // 2 + 1
    sources = [await make_source(stream(), size=size, file_type="mp4", resources=resources) for _ in range(3)]
    await resources.memory.reserve(TURN, CHUNK)
    for source in sources:
        await source.begin()
    gathering = [asyncio.create_task(source.gather(CHUNK)) for source in sources]
    done, _ = await asyncio.wait(gathering, timeout=0.05)
    assert not done
    resources.memory.release(CHUNK)
    done, _ = await asyncio.wait(gathering, timeout=1, return_when=asyncio.FIRST_COMPLETED)
    assert done, "one sends what it has, so that the third gets room"
    for task in gathering:
        task.cancel()
    await asyncio.wait(gathering)
    for task in done:
        task.result().release()
    for source in sources:
        await source.aclose()
    assert resources.memory.used == 0
    await resources.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("before", [1, CHUNK - 1, CHUNK, 3 * CHUNK])
async def test_upload_inside_of_a_generator(service: Service, before: int, depth: int) -> None:
    """The stream of an upload waits for another upload, of the same client with a single worker."""
    data = content(4 * CHUNK)

    async with cloud(service.url, max_workers=1, max_waiting_buffers=1) as client:

        async def outer(level: int) -> AsyncIterator[bytes]:
            yield data[:before]
            if level:
                inner = await client.upload(outer(level - 1), NAME, file_type="mp4", size=len(data))
                assert service.files[inner.file_id] == data
            yield data[before:]

        receipt = await in_time(client.upload(outer(depth), NAME, file_type="mp4", size=len(data)), 8)
        assert _memory_of(client).used == 0
    assert service.files[receipt.file_id] == data
    assert len(service.published) == depth + 1


@pytest.mark.anyio
async def test_upload_of_a_path_inside_of_a_generator(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(3 * CHUNK))

    async with cloud(service.url, max_workers=1, max_waiting_buffers=1) as client:

        async def outer() -> AsyncIterator[bytes]:
            yield bytes(CHUNK - 1)
            await client.upload(path, NAME)
            yield b"x"

        await in_time(client.upload(outer(), NAME, file_type="mp4", size=CHUNK))


@pytest.mark.anyio
async def test_streams_leave_the_room_of_workers_to_workers(service: Service, tmp_path: Path) -> None:
    """Buffers of the workers count: where files are sent too, streams share what is left."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content(4 * CHUNK))
    async with cloud(service.url, max_workers=2, max_waiting_buffers=1) as client:
        assert _memory_of(client).most == 3 * CHUNK
        await client.upload(path, NAME)
        assert _memory_of(client).most in (CHUNK, 2 * CHUNK)
        await in_time(client.upload(pieces(content(5 * CHUNK), 999), NAME, file_type="mp4", size=5 * CHUNK))


@pytest.mark.anyio
@pytest.mark.parametrize("on_failure", ["keep", "cancel"])
async def test_room_comes_back_from_what_fails(service: Service, on_failure: Any) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(CHUNK + 100)
        raise OSError("gone")

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(CHUNK + 100)
        await asyncio.Event().wait()

    async with cloud(service.url, max_workers=2, max_waiting_buffers=1, on_failure=on_failure) as client:
        for _ in range(10):
            with pytest.raises(UploadError, match="gone"):
                await client.upload(broken(), NAME, file_type="mp4", size=10 * CHUNK)
        tasks = [
            asyncio.create_task(client.upload(endless(), NAME, file_type="mp4", size=9 * CHUNK)) for _ in range(20)
        ]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert _memory_of(client).used == 0
        await in_time(client.upload(pieces(content(CHUNK), 9), NAME, file_type="mp4", size=CHUNK))


# What a stream gives slowly, or not at all


@pytest.mark.anyio
async def test_slow_stream_is_sent_in_short_ranges(service: Service) -> None:
    """Nothing came for a while: what there is, is sent; the stream itself is not disturbed."""
    data = content(600)
    async with cloud(service.url, flush_after=0.05) as client:
        receipt = await in_time(client.upload(_slow(data, 200, 0.2), NAME, file_type="mp4", size=600))
    assert service.files[receipt.file_id] == data
    assert receipt.chunks >= 3


@pytest.mark.anyio
@pytest.mark.parametrize("given", [0, 1, 1000, CHUNK])
async def test_stream_that_gives_nothing(service: Service, given: int) -> None:
    closed = []

    async def silent() -> AsyncIterator[bytes]:
        try:
            if given:
                yield bytes(given)
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async with cloud(service.url, source_timeout=0.2, flush_after=0.05) as client:
        with pytest.raises(UploadError, match=r"the stream has given no bytes for 0\.2 s \(source_timeout\)") as caught:
            await in_time(client.upload(silent(), NAME, file_type="mp4", size=2 * CHUNK))
    assert not caught.value.retryable
    assert closed == [True]
    assert service.count("request_upload") == (1 if given else 0)


@pytest.mark.anyio
async def test_stream_that_does_not_end(service: Service) -> None:
    """All its bytes are there, but nobody knows whether that was all."""

    async def endless() -> AsyncIterator[bytes]:
        yield content(10)
        await asyncio.Event().wait()

    async with cloud(service.url, source_timeout=0.2) as client:
        with pytest.raises(UploadError, match="source_timeout"):
            await in_time(client.upload(endless(), NAME, file_type="mp4", size=10))
    assert not service.published


@pytest.mark.anyio
async def test_slow_service_is_not_the_streams_fault(service: Service) -> None:
    """The stream is not asked for more than there is room for: while it is not asked, its time stands still."""

    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.15)

    service.hooks["upload_chunk"] = slow
    data = content(6 * CHUNK)
    async with cloud(service.url, max_workers=1, max_waiting_buffers=1, source_timeout=0.1) as client:
        receipt = await in_time(client.upload(pieces(data, CHUNK), NAME, file_type="mp4", size=len(data)))
    assert service.files[receipt.file_id] == data


@pytest.mark.anyio
async def test_stream_that_can_not_be_closed(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The video is published: its receipt is not lost for what comes after."""

    class Stream:
        def __init__(self) -> None:
            self.left = [b"abc"]

        def __aiter__(self) -> Stream:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

        async def aclose(self) -> None:
            raise RuntimeError("the camera does not stop")

    with caplog.at_level(logging.WARNING, "iqiyi_async"):
        async with cloud(service.url) as client:
            receipt = await client.upload(Stream(), NAME, file_type="mp4", size=3)
    assert service.files[receipt.file_id] == b"abc"
    assert "could not be closed (RuntimeError: the camera does not stop)" in caplog.text


# A stream by itself


async def _stream_of(resources: SourceResources, data: bytes, piece: int) -> UploadSource:
    source = await make_source(pieces(data, piece), size=len(data), file_type="mp4", resources=resources)
    await source.begin()
    return source


@pytest.mark.anyio
async def test_stream_is_compared_without_being_kept() -> None:
    """A stream that is given again: what was accepted is read and hashed, and takes no room."""
    data = content(10_000)
    resources = SourceResources(UploadOptions(chunk_size=1000, max_workers=1, max_waiting_buffers=1))
    known = [ChunkReceipt(at, at + 999, digest(data[at : at + 1000], "md5")) for at in (0, 1000, 5000)]
    for piece in (7, 1000, 20_000):
        source = await _stream_of(resources, data, piece)
        chunk = await source.gather(5000, exact=True)
        assert (chunk.first, chunk.size, chunk.md5, bytes(chunk.view)) == (0, 5000, digest(data[:5000], "md5"), b"")
        assert resources.memory.used == 0
        await source.aclose()
        source = await _stream_of(resources, data, piece)
        await source.compare(known)
        await source.aclose()
        source = await _stream_of(resources, data[:5100] + b"?" + data[5101:], piece)
        with pytest.raises(SourceChangedError, match="bytes 5000 to 5999 differ"):
            await source.compare(known)
        await source.aclose()
    await resources.aclose()


@pytest.mark.anyio
async def test_paused_stream_sends_what_it_has() -> None:
    more = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield content(100)
        await more.wait()
        yield content(200)[100:]

    options = UploadOptions(chunk_size=1000, max_workers=1, source_timeout=0.1)
    resources = SourceResources(options)
    source = await make_source(stream(), size=200, file_type="mp4", resources=resources)
    await source.begin()
    gathering = asyncio.create_task(source.gather(1000))
    await asyncio.sleep(0.02)
    source.pause()
    first = await in_time(gathering, 1)
    assert bytes(first.view) == content(100)
    first.release()
    # As long as it is paused nothing is gathered, and no time counts.
    gathering = asyncio.create_task(source.gather(1000))
    done, _ = await asyncio.wait([gathering], timeout=0.3)
    assert not done
    more.set()
    done, _ = await asyncio.wait([gathering], timeout=0.05)
    assert not done
    source.resume()
    second = await in_time(gathering, 1)
    assert (second.first, bytes(second.view)) == (100, content(200)[100:])
    second.release()
    assert resources.memory.used == 0
    await source.aclose()
    await resources.aclose()


# Objects that are read by ranges


def _no_buffer(size: int) -> memoryview:
    raise AssertionError("a source that reads ahead has memory of its own")


class Remote:
    """A file of another service."""

    def __init__(self, data: bytes, *, name: str = "https://a/film.mp4") -> None:
        self.data = data
        self.name = name
        self.size = len(data)
        self.version = "v1"
        self.short = 0

    async def read_range(self, first: int, size: int) -> bytes:
        await asyncio.sleep(0)
        return self.data[first : first + size - self.short]

    async def identity(self) -> str:
        return self.version


@pytest.mark.anyio
async def test_range_source(service: Service) -> None:
    remote = Remote(content(5 * CHUNK + 3))
    async with cloud(service.url) as client:
        receipt = await client.upload(remote, NAME)
        assert service.files[receipt.file_id] == remote.data
        remote.short = 1
        with pytest.raises(SourceChangedError, match=r"65535 bytes were given of the 65536 from"):
            await client.upload(remote, NAME)
        remote.short = 0

        async def change(asked: Asked) -> None:
            remote.version = "v2"

        service.hooks["upload_chunk"] = change
        with pytest.raises(SourceChangedError, match="its identity is another one"):
            await client.upload(remote, NAME)
        for wrong in ({"name": ""}, {"name": 5}, {"size": None}, {"size": 0}, {"size": "3"}, {"version": 5}):
            bad = Remote(b"abc")
            bad.__dict__.update(wrong)
            before = len(service.asked)
            with pytest.raises(ConfigurationError):
                await client.upload(bad, NAME)
            assert len(service.asked) == before


@pytest.mark.anyio
async def test_range_source_by_itself() -> None:
    remote = Remote(content(1000))
    resources = SourceResources(UploadOptions(chunk_size=400, max_workers=1, max_waiting_buffers=1, source_timeout=0.1))
    source = await make_source(remote, size=None, file_type=None, resources=resources)
    await source.begin()
    assert await source.identify() == "range:https://a/film.mp4"
    fingerprint = await source.fingerprint()
    chunks = [await source.read(Range(0, 400), _no_buffer)]
    waiting = asyncio.create_task(source.read(Range(400, 400), _no_buffer))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done, "there is room for one beside the worker's"
    accepted = [ChunkReceipt(chunk.first, chunk.first + chunk.size - 1, chunk.md5) for chunk in chunks]
    chunks[0].release()
    (await waiting).release()
    assert resources.memory.used == 0
    assert await source.matches(fingerprint, accepted)
    remote.version = "v2"
    again = await make_source(remote, size=None, file_type=None, resources=resources)
    assert not await again.matches(fingerprint, accepted)
    assert await again.matches(fingerprint, accepted, all_ranges=True)
    remote.version = ""
    weak = await make_source(remote, size=None, file_type=None, resources=resources)
    assert await weak.identify() is None
    assert not await weak.matches(await weak.fingerprint(), accepted)

    async def silent(first: int, size: int) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    remote.read_range = silent  # type: ignore[method-assign]
    with pytest.raises(UploadError, match=r"film\.mp4 has given no bytes for 0\.12\d* s"):
        await in_time(source.read(Range(0, 400), _no_buffer))
    assert resources.memory.used == 0
    await resources.aclose()


# The memory itself


class _Stream:
    """Gathers until it is told to send what it has."""

    def __init__(self, memory: StreamMemory) -> None:
        self.memory = memory
        self.held = 0
        self.sent: list[int] = []

    def flush(self) -> None:
        self.memory.hand_over(self, self.held)
        self.sent.append(self.held)
        self.held = 0
        self.memory.withdraw(self)


@given(
    limit=st.integers(1, 200_000),
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 100_000)), max_size=40),
)
def test_room_always_comes_back(limit: int, steps: list[tuple[int, int]]) -> None:
    """Whatever streams ask for and in whatever order: nobody waits for ever, and the bound holds."""

    async def play() -> None:
        memory = StreamMemory(limit, lambda: 0)
        streams = [_Stream(memory) for _ in range(5)]
        waiting: dict[int, asyncio.Task[int]] = {}
        for who, size in steps:
            stream = streams[who]
            if who in waiting:
                continue
            got = memory.take_now(stream, size)
            stream.held += got
            if not got:
                waiting[who] = asyncio.create_task(memory.take(stream, TURN, size))
            await asyncio.sleep(0)
            assert memory.used <= limit
        while waiting:
            for stream in streams:
                for size in stream.sent:
                    memory.release(size)
                stream.sent.clear()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            done = {who: task for who, task in waiting.items() if task.done()}
            assert done or any(stream.sent for stream in streams), "somebody waits, and nothing is under way"
            for who, task in done.items():
                streams[who].held += task.result()
                del waiting[who]
            assert memory.used <= limit
        for stream in streams:
            memory.drop(stream)
            for size in stream.sent:
                memory.release(size)
        assert memory.used == 0

    asyncio.run(play())


@pytest.mark.anyio
@pytest.mark.parametrize("meanwhile", ["release", "withdraw"])
async def test_room_comes_back_while_a_task_that_waits_for_it_is_being_cancelled(meanwhile: str) -> None:
    memory = StreamMemory(CHUNK, lambda: 0)
    holder, waiter, other = _Stream(memory), _Stream(memory), _Stream(memory)
    assert memory.take_now(holder, CHUNK) == CHUNK
    memory.hand_over(holder, CHUNK)
    waiting = [asyncio.create_task(memory.take(each, TURN, CHUNK)) for each in (waiter, other)]
    await asyncio.sleep(0)
    # Its future is cancelled at once, and its task runs only later.
    waiting[0].cancel()
    if meanwhile == "withdraw":
        memory.withdraw(waiter)
    memory.release(CHUNK)
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert await in_time(waiting[1]) == CHUNK
    memory.drop(other)
    assert memory.used == 0
    assert memory.take_now(waiter, CHUNK) == CHUNK
