"""Whole uploads that go well: every kind of source, every size around a chunk's, many at once."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import aiofiles
import pytest
from starlette.datastructures import UploadFile

from iqiyi_async import Metadata, UploadOptions, UploadProgress, VideoState
from iqiyi_async.emulator import ThreadedEmulatorServer

from .servers import Asked, Service, answer
from .tools import NAME, Reader, cloud, content, in_time, pieces, until

CHUNK = 64 * 1024
SIZES = [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK - 1, 3 * CHUNK, 3 * CHUNK + 1, 11 * CHUNK + 7]

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("parameters", ["headers", "body"])
@pytest.mark.parametrize("size", SIZES)
async def test_path(emulator: ThreadedEmulatorServer, tmp_path: Path, size: int, parameters: str) -> None:
    path = tmp_path / "film.MP4"
    path.write_bytes(content(size))
    async with cloud(emulator.endpoint_url, parameters=parameters) as client:
        receipt = await client.upload(path, NAME)
        assert (await client.get_status(receipt.file_id)).state is VideoState.PUBLISHED
    assert (receipt.size, receipt.chunks, receipt.retries) == (size, -(-size // CHUNK), 0)
    assert receipt.resumed_bytes == 0
    assert receipt.elapsed > 0
    (video,) = emulator.published()
    assert (video.file_type, video.name, video.size) == ("mp4", "A film", size)
    assert await asyncio.to_thread(emulator.content, receipt.file_id) == content(size)
    sent = sorted((one.first, one.last) for one in emulator.history if one.operation == "upload_chunk")
    assert sent == [(first, min(first + CHUNK, size) - 1) for first in range(0, size, CHUNK)]


@pytest.mark.parametrize("size", [1, CHUNK, 3 * CHUNK + 1])
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "view", "stream", "drops", "reader", "framework", "aiofiles"])
async def test_kinds_of_sources(emulator: ThreadedEmulatorServer, tmp_path: Path, kind: str, size: int) -> None:
    data = content(size)
    (tmp_path / "f").write_bytes(data)
    options = {"file_type": ".Mp4", "size": size}
    source: object
    match kind:
        case "bytes":
            source = data
        case "bytearray":
            source = bytearray(data)
        case "view":
            source = memoryview(data)
        case "stream":
            source = pieces(data, 77_777)
        case "drops":
            source = pieces(data, 999)
        case "reader":
            source, options = Reader(data, most=10_001), {}
        case "framework":
            source, options = UploadFile(_Spooled(data), size=size, filename="a.b.mp4"), {}
        case _:
            source = await aiofiles.open(tmp_path / "f", "rb")
    async with cloud(emulator.endpoint_url) as client:
        receipt = await client.upload(source, NAME, **options)  # type: ignore[arg-type]
    if kind == "aiofiles":
        await source.close()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(emulator.content, receipt.file_id) == data
    assert [view.file_type for view in emulator.published()] == ["mp4"]


class _Spooled:
    """The file inside of a framework's upload, still in memory."""

    _rolled = False

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return piece


async def test_reader_that_can_also_be_iterated_is_read(emulator: ThreadedEmulatorServer) -> None:
    """Streams of asyncio iterate over lines, and fail at one that is longer than their limit: `read` is what counts."""
    data = b"x" * 300_000
    stream = asyncio.StreamReader(limit=1000)
    stream.feed_data(data)
    stream.feed_eof()
    async with cloud(emulator.endpoint_url) as client:
        receipt = await client.upload(stream, NAME, file_type="ts", size=len(data))
    assert await asyncio.to_thread(emulator.content, receipt.file_id) == data


async def test_metadata_comes_before_finish(emulator: ThreadedEmulatorServer) -> None:
    metadata = Metadata("海南 & more=?", description="über\n+%20", tags=("a b", "沙滩"), category=9)  # type: ignore[arg-type]
    async with cloud(emulator.endpoint_url) as client:
        await client.upload(b"x", metadata, file_type="flv")
    (video,) = emulator.published()
    assert (video.name, video.description, video.tags, video.category) == (
        metadata.name,
        metadata.description,
        metadata.tags,
        9,
    )
    operations = [one.operation for one in emulator.history]
    assert operations[:2] == ["authorize", "request_upload"]
    assert sorted(operations[2:4]) == ["set_metadata", "upload_chunk"]
    assert operations[4:] == ["finish_upload"]


async def test_workers_are_all_used_and_never_exceeded(service: Service) -> None:
    """Chunks are held until as many are there as may be; over two uploads, that share them."""
    full = asyncio.Event()

    async def hold(asked: Asked) -> None:
        if service.in_flight["upload_chunk"] == 3:
            full.set()
        await full.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_workers=3, chunk_size=1000) as client:
        await in_time(asyncio.gather(*(client.upload(content(20_000), NAME, file_type="mp4") for _ in range(2))))
    assert service.most["upload_chunk"] == 3
    assert len({asked.connection for asked in service.calls("upload_chunk")}) == 3, "a lane keeps its connection"


async def test_sixty_four_uploads_share_fairly(service: Service) -> None:
    """One chunk at a time, so that the order is the pool's: nobody is served twice while others wait."""
    order: list[str] = []

    async def note(asked: Asked) -> None:
        order.append(asked.headers["file_id"])

    service.hooks["upload_chunk"] = note
    async with cloud(service.url, max_workers=2, chunk_size=500) as client:
        receipts = await in_time(
            asyncio.gather(*(client.upload(content(2000 + number), NAME, file_type="mp4") for number in range(64))), 20
        )
    for number, receipt in enumerate(receipts):
        assert service.files[receipt.file_id] == content(2000 + number)
    assert len(service.published) == 64
    # Once all are under way, among any 64 + 2 chunks in a row nobody has three: two lanes, one round.
    begun = next(at for at in range(len(order)) if len(set(order[:at])) == 64)
    for start in range(begun, len(order) - 66):
        window = order[start : start + 66]
        assert max(window.count(file_id) for file_id in set(window)) <= 3
    assert not service.in_flight["upload_chunk"]


async def test_control_calls_do_not_wait_behind_chunks(service: Service) -> None:
    gate = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await gate.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_workers=1) as client:
        upload = asyncio.create_task(client.upload(content(10), NAME, file_type="mp4"))
        await until(lambda: service.in_flight["upload_chunk"] == 1)
        await in_time(client.get_status("file0"), 2)
        gate.set()
        await upload


async def test_progress_never_goes_back(emulator: ThreadedEmulatorServer, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(40 * CHUNK))
    seen: list[UploadProgress] = []
    async with cloud(emulator.endpoint_url) as client:
        receipt = await client.upload(path, NAME, on_progress=seen.append)
    for before, after in pairwise(seen):
        assert before.sent <= after.sent
        assert before.accepted <= after.accepted
        assert before.chunks_done <= after.chunks_done
        assert before.elapsed <= after.elapsed
    assert all(one.accepted <= one.sent <= one.total == 40 * CHUNK for one in seen)
    last = seen[-1]
    assert (last.accepted, last.sent, last.chunks_done, last.chunks_in_flight) == (40 * CHUNK, 40 * CHUNK, 40, 0)
    assert last.file_id == receipt.file_id


async def test_listener_that_fails_is_not_taken_for_the_network(service: Service) -> None:
    """A broken pipe of a progress bar is an OSError, as those of sockets are."""
    fails = iter([True])

    def closed_terminal(progress: UploadProgress) -> None:
        if progress.sent and next(fails, False):
            raise BrokenPipeError("the terminal is gone")

    async with cloud(service.url, timing={"event_seconds": 0.0}) as client:
        with pytest.raises(BrokenPipeError, match="the terminal is gone"):
            await in_time(client.upload(content(CHUNK * 40), NAME, file_type="mp4", on_progress=closed_terminal))
    assert not service.published
    sent = [asked.headers["range"] for asked in service.calls("upload_chunk")]
    assert len(sent) == len(set(sent)), "no range was sent again because of the listener"


async def test_by_hand(emulator: ThreadedEmulatorServer) -> None:
    data = content(1000)
    async with cloud(emulator.endpoint_url) as client:
        ticket = await client.request_upload("mp4", len(data))
        second = await client.upload_chunk(ticket, 500, memoryview(data)[500:])
        first = await client.upload_chunk(ticket, 0, bytearray(data[:500]))
        assert (first.first, first.last, first.attempts, first.size) == (0, 499, 1, 500)
        assert (second.first, second.last) == (500, 999)
        await client.set_metadata(ticket.file_id, NAME)
        await client.finish_upload(ticket.file_id)
        assert (await client.get_status(ticket.file_id)).state is VideoState.PUBLISHED
        other = await client.request_upload("mp4", 10)
        await client.cancel_upload(other.file_id)
        assert (await client.get_status(other.file_id)).state is VideoState.CANCELLED
    assert await asyncio.to_thread(emulator.content, ticket.file_id) == data


async def test_defaults_are_those_of_the_design() -> None:
    options = UploadOptions()
    assert (options.max_workers, options.chunk_size) == (8, 4 * 1024 * 1024)
    assert (options.parameters, options.on_failure) == ("headers", "keep")


async def test_lane_waits_for_nobody_who_is_backing_off(service: Service) -> None:
    """One lane: while one upload waits as long as the service asked, the other one gets through with it."""
    order: list[str] = []

    async def busy(asked: Asked) -> bytes | None:
        order.append(asked.headers["file_id"])
        return answer(status="503 Busy", headers="Retry-After: 1\r\n", body=b"") if len(order) == 1 else None

    service.hooks["upload_chunk"] = busy
    async with cloud(service.url, max_workers=1) as client:
        first = asyncio.ensure_future(client.upload(content(10), NAME, file_type="mp4"))
        await until(lambda: len(order) == 1)
        second = await in_time(client.upload(content(20), NAME, file_type="mp4"))
        receipt = await in_time(first)
    assert order == [receipt.file_id, second.file_id, receipt.file_id]


async def test_an_unknown_file_type_is_sent_with_one_warning(
    emulator: ThreadedEmulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with cloud(emulator.endpoint_url) as client:
        await client.upload(content(200_000), NAME, file_type="webm")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "'webm'" in warnings[0]
