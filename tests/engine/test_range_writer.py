"""The writer of a gateway's uploads, beside the gateway: what each of its steps does when something is in the way."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    ChunkReceipt,
    Endpoints,
    MemoryJournal,
    ServiceError,
    UploadError,
    UploadOptions,
)
from iqiyi_async.models import JournalEntry
from iqiyi_async.upload.range_writer import RangeWriter

from .servers import Asked, Cut, Service, answer, ok
from .test_journal_session import Broken
from .tools import KEY as KEY_OF_APP
from .tools import NAME, QUICK, SECRET, cloud, content, in_time, until

pytestmark = pytest.mark.anyio

KEY = "0" * 32
PART = 64 * 1024
SIZE = 4 * PART


def writer_of(client: AsyncVideoCloud, journal: MemoryJournal, told: list[UploadError] | None = None) -> RangeWriter:
    return client._runtime.uploads.writer(
        KEY,
        NAME,
        size=SIZE,
        file_type="mp4",
        name="film.mp4",
        group=None,
        journal=journal,
        on_stop=(told if told is not None else []).append,
    )


async def hand_in(writer: RangeWriter, data: bytes, piece: int = 10_000) -> None:
    writer.start(len(data))
    for first in range(0, len(data), piece):
        await writer.room()
        await writer.write(data[first : first + piece])
    await writer.settle()


async def test_a_whole_upload(service: Service) -> None:
    journal, data = MemoryJournal(), content(SIZE)
    async with cloud(service.url) as client, writer_of(client, journal).lease() as writer:
        # Without a run of bytes there is nothing to wait for.
        await writer.room()
        await writer.write(b"ignored")
        await writer.settle()
        await writer.begin()
        await hand_in(writer, data)
        assert writer.offset == SIZE
        await writer.finish()
        assert not await writer.cancel(), "it is a video"
        assert writer.receipt().size == SIZE
    assert service.files["file0"] == data
    assert service.published == ["file0"]
    assert service.count("cancel_upload") == 0


async def test_ranges_behind_a_gap_are_dropped(service: Service) -> None:
    journal, data = MemoryJournal(), content(SIZE)
    async with cloud(service.url) as client:
        async with writer_of(client, journal).lease() as writer:
            await writer.begin()
            await hand_in(writer, data[: 2 * PART])
            journal._ranges[KEY].append(ChunkReceipt(3 * PART, SIZE - 1, "md5"))
        async with writer_of(client, journal).lease() as writer:
            assert writer.offset == 2 * PART
            await writer.begin()
            await hand_in(writer, data[2 * PART :])
            await writer.finish()
    assert service.files["file0"] == data
    assert service.count("request_upload") == 1


async def test_an_address_that_is_dead_is_left_for_good(service: Service) -> None:
    """As it is by an upload of a file: a browser's next request would begin at the dead address again."""
    dead = closed_port()

    async def ticket(asked: Asked) -> bytes:
        service.files["f"] = bytearray(SIZE)
        return ok(data={"upload_url": f"{dead}/upload", "file_id": "f"})

    service.hooks["request_upload"] = ticket
    endpoints = Endpoints(api=service.url, upload=service.url, forms=service.url, backups={}, fallbacks=(service.url,))
    options = UploadOptions(chunk_size=PART)
    journal, data = MemoryJournal(), content(SIZE)
    async with AsyncVideoCloud(KEY_OF_APP, SECRET, endpoints=endpoints, retry=QUICK, options=options) as client:
        async with writer_of(client, journal).lease() as writer:
            await writer.begin()
            await hand_in(writer, data[:PART])
        kept = await journal.load(KEY)
        assert kept is not None
        assert kept.upload_url == f"{service.url}/upload"
        async with writer_of(client, journal).lease() as writer:
            await writer.begin()
            await hand_in(writer, data[PART:])
            await writer.finish()
    assert bytes(service.files["f"]) == data


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class Deaf(MemoryJournal):
    """A journal that breaks when ranges are recorded."""

    async def record(self, key: str, fence: int, chunk: ChunkReceipt) -> bool:
        raise OSError("disk full")


async def test_a_range_that_the_journal_does_not_know_does_not_count(service: Service) -> None:
    async with cloud(service.url) as client, writer_of(client, Deaf()).lease() as writer:
        await writer.begin()
        with pytest.raises(UploadError, match=r"the upload journal can't be written \(OSError: disk full\)") as caught:
            await hand_in(writer, content(PART))
        assert caught.value.resumable
        assert writer.offset == 0


async def test_a_writer_that_has_lost_its_lease(service: Service) -> None:
    journal: MemoryJournal = MemoryJournal()
    told: list[UploadError] = []
    async with cloud(service.url) as client, writer_of(client, journal, told).lease() as writer:
        await writer.begin()
        await journal.release(KEY, writer.fence)
        assert await journal.acquire(KEY, "another", 60)
        with pytest.raises(UploadError, match="taken it over"):
            await hand_in(writer, content(PART))
    assert len(told) == 1


async def test_leaving_while_ranges_are_under_way(service: Service) -> None:
    """Nothing goes on behind the back of the caller, and the memory is there again."""
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks |= {"upload_chunk": hold, "set_metadata": hold}
    async with cloud(service.url) as client:
        with pytest.raises(RuntimeError, match="the browser is gone"):
            async with writer_of(client, MemoryJournal()).lease() as writer:
                await writer.begin()
                writer.start(SIZE)
                await writer.write(content(PART + 10))
                await in_time(reached.wait())
                raise RuntimeError("the browser is gone")
        assert client._runtime.pool.resources.memory.used == 0
        never.set()


async def test_closing_the_client_ends_the_ranges_under_way(service: Service) -> None:
    reached, never = asyncio.Event(), asyncio.Event()
    told: list[UploadError] = []

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks["upload_chunk"] = hold
    client = cloud(service.url)

    async def write() -> None:
        async with writer_of(client, MemoryJournal(), told).lease() as writer:
            await writer.begin()
            await hand_in(writer, content(PART))

    writing = asyncio.create_task(write())
    await in_time(reached.wait())
    await in_time(client.aclose())
    with pytest.raises(UploadError, match="the client was closed") as caught:
        await in_time(writing)
    assert caught.value.resumable
    assert [str(each) for each in told] == ["the upload was stopped because the client was closed"]
    never.set()


# Cancelling after a finish whose outcome is not known


async def in_doubt(service: Service, client: AsyncVideoCloud, writer: RangeWriter) -> None:
    """Every byte is there; the answer to finish is lost, and the status knows nothing."""

    async def finish(asked: Asked) -> bytes:
        raise Cut

    async def absent(asked: Asked) -> bytes:
        return answer({"code": "A00003"})

    await writer.begin()
    await hand_in(writer, content(SIZE))
    service.hooks |= {"finish_upload": finish, "get_status": absent}
    with pytest.raises(UploadError, match="has not turned up"):
        await in_time(writer.finish())


@pytest.mark.parametrize(("code", "is_video"), [("A00001", True), ("A00006", False)])
async def test_a_cancel_asks_the_status_first(service: Service, code: str, is_video: bool) -> None:
    journal = MemoryJournal()
    async with cloud(service.url) as client, writer_of(client, journal).lease() as writer:
        await in_doubt(service, client, writer)

        async def status(asked: Asked) -> bytes:
            return answer({"code": code})

        service.hooks["get_status"] = status
        assert await in_time(writer.cancel()) is not is_video
    assert service.count("cancel_upload") == 0
    entry: JournalEntry | None = await journal.load(KEY)
    assert (entry is not None) is is_video


async def test_a_cancel_while_nobody_knows_what_became_of_it(service: Service) -> None:
    async with cloud(service.url) as client, writer_of(client, MemoryJournal()).lease() as writer:
        await in_doubt(service, client, writer)
        with pytest.raises(ServiceError, match="may be finished or dropped") as caught:
            await in_time(writer.cancel())
        assert caught.value.retryable
    assert service.count("cancel_upload") == 0


async def test_a_journal_that_can_not_be_asked(service: Service) -> None:
    journal: Any = Broken("load")
    async with cloud(service.url) as client:
        writer = writer_of(client, journal)
        with pytest.raises(UploadError, match="can't be used"):
            async with writer.lease():
                raise AssertionError
    await until(lambda: not service.asked)


class CancelledInside(MemoryJournal):
    """A journal whose own connection is cancelled once, at a call."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self._call: str | None = call

    def _cancelled(self, call: str) -> None:
        if call == self._call:
            self._call = None
            raise asyncio.CancelledError

    async def record(self, *given: Any, **named: Any) -> bool:
        self._cancelled("record")
        return await super().record(*given, **named)


async def test_a_range_whose_journal_is_cancelled_from_within_is_none(service: Service) -> None:
    journal, data = CancelledInside("record"), content(SIZE)
    async with cloud(service.url) as client:
        async with writer_of(client, journal).lease() as writer:
            await writer.begin()
            with pytest.raises(UploadError, match="was cancelled"):
                await hand_in(writer, data)
            assert writer.offset < SIZE
        async with writer_of(client, journal).lease() as writer:
            await writer.begin()
            await hand_in(writer, data[writer.offset :])
            await writer.finish()
    assert service.files["file0"] == data
