"""An upload in hand: awaited, watched, paused, resumed, cancelled, forgotten."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from iqiyi_async import (
    Bottleneck,
    ConfigurationError,
    MemoryJournal,
    Metadata,
    ServiceUnavailableError,
    UploadError,
    UploadEvent,
    UploadProgress,
    UploadState,
)

from .servers import Asked, Service, answer
from .tools import NAME, cloud, content, idle_workers, in_time, until

pytestmark = pytest.mark.anyio

SIZE = 10 * 64 * 1024


async def test_its_receipt_and_events(service: Service) -> None:
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        assert handle.state is UploadState.WAITING
        assert handle.file_id is None
        events = [event async for event in handle.events()]
        receipt = await handle
    assert receipt.file_id == handle.file_id == "file0"
    assert events[-1].state is UploadState.FINISHED is handle.state
    assert events[-1].receipt == receipt
    assert events[-1].progress.accepted == SIZE
    accepted = [event.progress.accepted for event in events]
    assert accepted == sorted(accepted)
    assert sum(receipt.time_by_cause.values()) == pytest.approx(1)
    assert all(isinstance(cause, Bottleneck) for cause in receipt.time_by_cause)


async def test_events_begin_with_the_latest_and_may_be_asked_for_afterwards(service: Service) -> None:
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        receipt = await handle
        (event,) = [event async for event in handle.events()]
    assert event.receipt == receipt


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("kind", ["path", "bytes", "stream"])
async def test_it_leaves_nothing_to_the_garbage_collector(
    service: Service, tmp_path: Path, kind: str, kept: bool
) -> None:
    """Many small uploads would otherwise be held, with their files and buffers, until it happens to run."""
    data = content(SIZE)
    film = tmp_path / "film.mp4"
    film.write_bytes(data)
    given = {"path": film, "bytes": data, "stream": pieces(data)}[kind]
    async with cloud(service.url, journal=MemoryJournal() if kept else None) as client:
        gc.disable()
        try:
            handle = client.start_upload(given, NAME, file_type="mp4", size=SIZE, key="film")
            await handle
            elapsed = handle.progress.elapsed
            await asyncio.sleep(0.01)
            assert handle.progress.elapsed == elapsed, "the time of an upload goes on after its end"
            seen = weakref.ref(handle)
            del handle
            assert seen() is None
        finally:
            gc.enable()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def test_arguments_are_checked_at_once(service: Service) -> None:
    async with cloud(service.url) as client:
        with pytest.raises(ConfigurationError):
            client.start_upload("film.mp4", "no metadata")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            client.start_upload("film.mp4", NAME, key="")
        with pytest.raises(ConfigurationError):
            client.start_upload(7, NAME)  # type: ignore[arg-type]
    assert not service.asked


def test_it_needs_a_running_loop() -> None:
    client = cloud("http://127.0.0.1:1")
    with pytest.raises(RuntimeError):
        client.start_upload(b"x", NAME, file_type="mp4")


async def test_who_waits_may_be_cancelled_and_the_upload_goes_on(service: Service) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await go.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")

        async def wait() -> None:
            await handle

        waiting = asyncio.ensure_future(wait())
        await in_time(reached.wait())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert (await in_time(handle)).file_id == "file0"


async def test_pause_gives_the_workers_back_and_resume_goes_on(service: Service) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        if service.count("upload_chunk") <= 2:
            if service.count("upload_chunk") == 2:
                reached.set()
            await go.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_workers=2) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await in_time(reached.wait())
        handle.pause()
        handle.pause()
        assert handle.state is UploadState.SENDING, "two ranges are under way"
        go.set()
        await until(lambda: handle.state is UploadState.PAUSED)
        assert idle_workers(client)
        assert handle.progress.accepted == 2 * 64 * 1024
        other = await in_time(client.upload(b"other", NAME, file_type="mp4"))
        assert other.file_id == "file1"
        assert handle.progress.accepted == 2 * 64 * 1024
        handle.resume()
        receipt = await in_time(handle)
    assert receipt.file_id == "file0"
    assert service.files["file0"] == content(SIZE)


async def test_pause_before_it_begins(service: Service) -> None:
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        handle.pause()
        await until(lambda: handle.state is UploadState.PAUSED)
        assert service.count("upload_chunk") == 0
        handle.resume()
        await in_time(handle)


@pytest.mark.parametrize("at_service", [False, True])
async def test_cancel(service: Service, at_service: bool) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await in_time(reached.wait())
        await in_time(handle.cancel(at_service=at_service))
        assert handle.state is UploadState.CANCELLED
        with pytest.raises(UploadError, match="cancelled"):
            await handle
        (event,) = [event async for event in handle.events()]
        assert isinstance(event.error, UploadError)
        assert idle_workers(client)
        await handle.cancel()
        never.set()
    assert service.states["file0"] == ("cancelled" if at_service else "uploading")


async def test_cancel_before_its_first_step(service: Service) -> None:
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await handle.cancel()
        with pytest.raises(UploadError):
            await handle
    assert not service.asked


async def test_a_block_cancels_what_has_not_ended(service: Service) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url) as client:
        async with client.start_upload(content(SIZE), NAME, file_type="mp4") as handle:
            await in_time(reached.wait())
        assert handle.state is UploadState.CANCELLED
        assert len(client._runtime.uploads) == 0
        never.set()


async def test_one_that_is_forgotten_runs_to_its_end(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "A00010"})

    async with cloud(service.url) as client:
        client.start_upload(content(SIZE), NAME, file_type="mp4")
        await until(lambda: len(client._runtime.uploads) == 0)
        assert service.published == ["file0"]
        service.hooks["upload_chunk"] = refuse
        with caplog.at_level(logging.ERROR):
            client.start_upload(content(SIZE), NAME, file_type="mp4")
            await until(lambda: len(client._runtime.uploads) == 0)
            await asyncio.sleep(0)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "file1 failed" in record.getMessage()


async def test_closing_the_client_ends_it(service: Service) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await in_time(reached.wait())
    with pytest.raises(UploadError, match="closed"):
        await handle
    never.set()


async def test_too_many_are_refused_at_once(service: Service) -> None:
    never = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await never.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, max_pending_uploads=2) as client:
        first = client.start_upload(content(SIZE), NAME, file_type="mp4")
        client.start_upload(content(SIZE), NAME, file_type="mp4")
        with pytest.raises(ServiceUnavailableError, match="max_pending_uploads") as caught:
            client.start_upload(content(SIZE), NAME, file_type="mp4")
        assert caught.value.retryable
        with pytest.raises(ServiceUnavailableError):
            await client.upload(content(SIZE), NAME, file_type="mp4")
        assert client.stats().active == 2
        await first.cancel()
        client.start_upload(content(SIZE), NAME, file_type="mp4")
        never.set()


async def test_metadata_is_sent_before_the_ranges_are_over(service: Service) -> None:
    described = asyncio.Event()

    async def metadata(asked: Asked) -> None:
        described.set()

    async def chunk(asked: Asked) -> None:
        if service.count("upload_chunk") == 3:
            await described.wait()

    service.hooks |= {"set_metadata": metadata, "upload_chunk": chunk}
    async with cloud(service.url, max_workers=1) as client:
        await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))


async def test_refused_metadata_does_not_cost_the_file(service: Service) -> None:
    refused = asyncio.Event()

    async def metadata(asked: Asked) -> bytes:
        refused.set()
        return answer({"code": "Q00001", "msg": "not this title"})

    async def chunk(asked: Asked) -> None:
        await refused.wait()

    service.hooks |= {"set_metadata": metadata, "upload_chunk": chunk}
    async with cloud(service.url, max_workers=1, on_failure="cancel") as client:
        with pytest.raises(UploadError, match="not this title"):
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert service.count("upload_chunk") <= 2
    assert service.states["file0"] == "cancelled"


async def test_a_plain_function_around_a_coroutine_function_is_no_listener(service: Service) -> None:
    """It can be seen only when it is called; nobody would await what it gives."""

    async def wait(progress: UploadProgress) -> None:
        await asyncio.sleep(0)

    async with cloud(service.url) as client:
        with pytest.raises(UploadError, match="not a coroutine function") as caught:
            await client.upload(b"film", NAME, file_type="mp4", on_progress=lambda progress: wait(progress))
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert not service.published


async def test_a_listener_that_fails_after_finish_costs_no_receipt(service: Service) -> None:
    async with cloud(service.url) as client:

        def listen(progress: object) -> None:
            if service.count("finish_upload"):
                raise ValueError("broken pipe")

        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4", on_progress=listen))
    assert receipt.file_id == "file0"


async def test_a_stream_under_its_key_goes_on(service: Service) -> None:
    data = content(SIZE)
    failed = False

    async def chunk(asked: Asked) -> bytes | None:
        nonlocal failed
        if service.count("upload_chunk") == 6 and not failed:
            failed = True
            return answer({"code": "A00010"})
        return None

    async def stream() -> object:
        for start in range(0, len(data), 10_000):
            yield data[start : start + 10_000]

    service.hooks["upload_chunk"] = chunk
    journal = MemoryJournal()
    async with cloud(service.url, max_workers=1, journal=journal) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(stream(), NAME, file_type="mp4", size=SIZE, key="film-7"))
        assert caught.value.resumable
        receipt = await in_time(client.upload(stream(), NAME, file_type="mp4", size=SIZE, key="film-7"))
    assert receipt.file_id == "file0"
    assert receipt.resumed_bytes > 0
    assert service.files["file0"] == data


async def test_what_was_left_behind_is_listed(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))

    async def refuse(asked: Asked) -> bytes | None:
        return answer({"code": "A00010"}) if service.count("upload_chunk") > 5 else None

    service.hooks["upload_chunk"] = refuse
    async with cloud(service.url, max_workers=1, journal=MemoryJournal()) as client:
        with pytest.raises(UploadError):
            await in_time(client.upload(path, Metadata("Film")))
        (left,) = [each async for each in client.iter_unfinished()]
    assert left.file_id == "file0"
    assert left.name == str(path)
    assert left.size == SIZE
    assert 0 < left.accepted < SIZE


def test_events_are_values() -> None:
    event = UploadEvent(UploadState.WAITING, None)  # type: ignore[arg-type]
    assert event == UploadEvent(UploadState.WAITING, None)  # type: ignore[arg-type]


async def test_what_comes_after_its_end_is_without_effect(service: Service) -> None:
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        receipt = await in_time(handle)
        handle.pause()
        handle.resume()
        await in_time(handle.cancel(at_service=True))
        assert handle.state is UploadState.FINISHED
        assert await handle == receipt
    assert not service.count("cancel_upload")


async def test_resumed_before_its_first_step(service: Service) -> None:
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        handle.pause()
        handle.resume()
        assert (await in_time(handle)).file_id == "file0"


async def test_a_timeout_of_the_caller_s_own_is_no_end_of_ours(service: Service) -> None:
    """A source raises it; nobody has stopped the upload."""

    async def stream() -> AsyncIterator[bytes]:
        yield content(100)
        raise TimeoutError("no tape in the drive")

    def listen(progress: UploadProgress) -> None:
        raise TimeoutError("the display is gone")

    async with cloud(service.url) as client:
        with pytest.raises(TimeoutError, match="the display is gone"):
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4", on_progress=listen))
        with pytest.raises(UploadError, match="no tape in the drive"):
            await in_time(client.upload(stream(), NAME, file_type="mp4", size=SIZE))


async def test_draining_before_its_first_step_leaves_it_resumable(service: Service) -> None:
    async with cloud(service.url) as client:
        handle = client.start_upload(content(SIZE), NAME, file_type="mp4")
        await in_time(client.drain(0.0))
        with pytest.raises(UploadError):
            await in_time(handle)
    assert not service.published


def test_a_loop_that_ends_takes_it_along_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def stream() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def forget() -> str:
        handle = cloud("http://127.0.0.1:9").start_upload(stream(), NAME, file_type="mp4", size=1)
        await asyncio.sleep(0)
        return repr(handle)

    assert asyncio.run(forget()) == "<UploadHandle - waiting>"
    assert not [record for record in caplog.records if "failed" in record.message]


async def test_closing_the_client_ends_a_stream_between_two_ranges(service: Service) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield content(64 * 1024)
        reached.set()
        await go.wait()
        while True:
            yield content(64 * 1024)

    async with cloud(service.url, max_workers=1) as client:
        handle = client.start_upload(stream(), NAME, file_type="mp4", size=1 << 28)
        await in_time(reached.wait())
        draining = asyncio.create_task(client.drain(1.0))
        await asyncio.sleep(0.05)
        go.set()
        await in_time(draining)
        with pytest.raises(UploadError) as caught:
            await in_time(handle)
    assert 0 < caught.value.accepted <= 3 * 64 * 1024, "what was gathered is sent, and nothing more"
    assert not service.published
