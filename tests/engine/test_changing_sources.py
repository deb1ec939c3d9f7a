"""Sources that are not what they were: whatever changes under way, nothing of it is published."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from iqiyi_async import ConfigurationError, MemoryJournal, SourceChangedError, UploadError

from .servers import Asked, Service
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


def _overwrite_and_put_the_time_back(path: Path) -> None:
    """What ``exiftool -P -overwrite_original_in_place``, ``rsync --inplace`` and ``cp -p`` do."""
    _overwrite(path)
    os.utime(path, ns=(10**18, 10**18))


def _chmod(path: Path) -> None:
    path.chmod(0o640)


def _copy_in_place(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


CHANGES = [
    *(_truncate, _truncate_quietly, _empty, _grow, _rewrite, _replace),
]


@pytest.mark.parametrize("call", [1, 6, 12])
@pytest.mark.parametrize("change", [_overwrite, _overwrite_and_put_the_time_back])
async def test_file_that_is_written_in_place(
    service: Service, tmp_path: Path, change: Callable[[Path], None], call: int
) -> None:
    """Some of its bytes were sent before, some after: what is published is what is in the file, or nothing."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    os.utime(path, ns=(10**18, 10**18))

    async def hold(asked: Asked) -> None:
        if service.count("upload_chunk") == call:
            await asyncio.to_thread(change, path)

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_workers=1) as client:
        if call == 12:
            with pytest.raises(SourceChangedError):
                await in_time(client.upload(path, NAME))
            assert not service.published
        else:
            receipt = await in_time(client.upload(path, NAME))
            assert service.files[receipt.file_id] == path.read_bytes()


#: The looks change, the bytes do not: never refused for nothing.
NO_CHANGES = [_touch, _grow_and_shrink, _chmod, _copy_in_place]


@pytest.mark.parametrize("call", [1, 6, 12])
@pytest.mark.parametrize("change", NO_CHANGES, ids=lambda change: change.__name__.strip("_"))
async def test_file_that_only_looks_changed(
    service: Service, tmp_path: Path, change: Callable[[Path], None], call: int
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    os.utime(path, ns=(10**18, 10**18))

    async def hold(asked: Asked) -> None:
        if service.count("upload_chunk") == call:
            await asyncio.to_thread(change, path)

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_workers=1) as client:
        receipt = await in_time(client.upload(path, NAME))
    assert service.files[receipt.file_id] == content(SIZE)
    assert service.published == [receipt.file_id]


@pytest.mark.parametrize("call", [1, 6, 12])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
async def test_file_that_changes(service: Service, tmp_path: Path, change: Callable[[Path], None], call: int) -> None:
    """The service holds a chunk back; the file changes; then it goes on. The last call is the last chunk: only a look
    at the end can tell."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    os.utime(path, ns=(10**18, 10**18))

    async def hold(asked: Asked) -> None:
        if service.count("upload_chunk") == call:
            await asyncio.to_thread(change, path)

    service.hooks["upload_chunk"] = hold
    journal = MemoryJournal()
    async with cloud(service.url, max_workers=1, journal=journal) as client:
        with pytest.raises(SourceChangedError) as caught:
            await in_time(client.upload(path, NAME))
    assert not service.published
    assert service.count("finish_upload") == 0
    assert caught.value.file_id == "file0"
    assert not caught.value.resumable, "half of one film is never put together with half of another"
    assert "film.mp4 changed while it was uploaded" in str(caught.value)
    assert str(path) not in open_paths()


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
        if reads > 6:
            raise OSError(5, "Input/output error")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", failing)
    async with cloud(service.url, max_workers=1, journal=MemoryJournal()) as client:
        with pytest.raises(UploadError, match=r"film\.mp4 can't be read any more: Input/output error") as caught:
            await in_time(client.upload(path, NAME))
    assert caught.value.resumable
    assert not service.published


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
    """One typed error, with the caller's own as its cause."""
    problem = ValueError("the camera is off")

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(after):
            yield bytes(1000)
        raise problem

    async with cloud(service.url, on_failure="cancel") as client:
        with pytest.raises(UploadError, match="the camera is off") as caught:
            await in_time(client.upload(broken(), NAME, file_type="mp4", size=SIZE))
    assert caught.value.__cause__ is problem
    assert caught.value.file_id == ("file0" if after else None)
    assert service.count("request_upload") == service.count("cancel_upload") == min(after, 1)


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
    """Two lanes: two chunks, and the piece that is asked for beforehand, whatever the size of the stream."""
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
    assert most <= 3
