"""After the end, whatever it was: no task, lane, connection or open file; and the service told what was chosen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest

from iqiyi_async import AsyncVideoCloud, ConfigurationError, MemoryJournal, RetryPolicy, UploadError, VideoCloudError

from .servers import Asked, Cut, Service, answer
from .tools import NAME, cloud, content, idle_workers, in_time, open_paths, pieces, until

CHUNK = 64 * 1024
SIZE = 20 * CHUNK

pytestmark = pytest.mark.anyio

Way = Literal["task", "timeout", "scope", "wait_for"]
WHENEVER: list[Way] = ["task", "timeout", "scope"]


async def cancelled(way: Way, work: Callable[[], Awaitable[Any]], when: Awaitable[Any]) -> None:
    """Begin work, and cancel it in one of four ways when something has happened. It must end as cancelled."""
    if way == "task":
        task = asyncio.ensure_future(work())
        await in_time(when)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await in_time(task)
    elif way == "scope":
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                group.start_soon(_after, when, scope.cancel)
                await work()
                pytest.fail("it was not cancelled")
            assert scope.cancelled_caught
    elif way == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                now = asyncio.get_running_loop().time()
                expiring = asyncio.ensure_future(_after(when, lambda: limit.reschedule(now)))
                await work()
        await expiring
    else:
        # Its time can't be chosen later: long enough for what has to happen before.
        waiting = asyncio.ensure_future(asyncio.wait_for(work(), 0.8))
        await in_time(when)
        with pytest.raises(TimeoutError):
            await in_time(waiting)


async def _after(when: Awaitable[Any], then: Callable[[], None]) -> None:
    await in_time(when)
    then()


WAYS = [(way, kind, failure) for way in WHENEVER for kind in ("path", "stream") for failure in ("keep", "cancel")]


@pytest.mark.parametrize(("way", "kind", "on_failure"), [*WAYS, ("wait_for", "path", "cancel")])
async def test_cancelled_in_the_middle(
    service: Service, tmp_path: Path, way: Way, kind: str, on_failure: Literal["keep", "cancel"]
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    full, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        if service.in_flight["upload_chunk"] == 4:
            full.set()
        await never.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, on_failure=on_failure, journal=MemoryJournal()) as client:
        before = asyncio.all_tasks()
        held = service.alive

        def work() -> Awaitable[Any]:
            source: Any = path if kind == "path" else pieces(content(SIZE), 10_000)
            return client.upload(source, NAME, file_type="mp4", size=SIZE)

        await cancelled(way, work, full.wait())
        left = {task for task in asyncio.all_tasks() - before if "Service" not in repr(task.get_coro())}
        assert not left
        assert idle_workers(client)
        assert str(path) not in open_paths()
        assert len(client._runtime.uploads) == 0
        assert held == 0
        # Connections on which something was under way are closed; the control calls' ones stay for the next call.
        await until(lambda: service.alive <= 1, "the chunk lanes have hung up")
        assert service.count("cancel_upload") == (1 if on_failure == "cancel" else 0)
        assert service.states["file0"] == ("cancelled" if on_failure == "cancel" else "uploading")
        never.set()
        del service.hooks["upload_chunk"]
        await in_time(client.upload(path, NAME))
    await until(lambda: not service.alive, "every connection is closed")
    assert len(service.published) == 1


@pytest.mark.parametrize("operation", ["authorize", "request_upload", "set_metadata", "finish_upload"])
@pytest.mark.parametrize("way", ["task", "scope"])
async def test_cancelled_in_each_control_call(service: Service, way: Way, operation: str) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks[operation] = hold
    client = cloud(service.url)
    await cancelled(way, lambda: client.upload(content(SIZE), NAME, file_type="mp4"), reached.wait())
    # A renewal of the token belongs to the client, not to the first who needed it: it may go on.
    assert idle_workers(client) or operation == "authorize"
    await client.aclose()
    await until(lambda: not service.alive)
    assert not service.published
    never.set()


async def test_cancelled_when_it_has_become_a_video(service: Service, tmp_path: Path) -> None:
    """The finish has arrived, its answer has not: there is nothing left to cancel at the service."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        service.usual(asked)
        reached.set()
        await never.wait()

    service.hooks["finish_upload"] = hold
    async with cloud(service.url, on_failure="cancel", journal=MemoryJournal()) as client:
        await cancelled("task", lambda: client.upload(path, NAME), reached.wait())
        assert (await in_time(client.upload(path, NAME))).file_id == "file0"
    never.set()
    assert service.count("cancel_upload") == 0
    assert service.count("request_upload") == service.count("finish_upload") == 1


async def test_cancel_at_the_moment_of_an_error_is_a_cancel(service: Service) -> None:
    """One range is refused for good; while the others are being called off, the caller cancels by a scope. It must be
    able to swallow what comes, or the cancellation would go on to tasks that nobody cancelled."""
    gate, calling_off = asyncio.Event(), asyncio.Event()

    class Slow(httpx.AsyncBaseTransport):
        """Has the second range stand still; it is not cancelled, but given some time to end."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            named = request.headers.get("range", "")
            headers = {name.lower(): value for name, value in request.headers.items()}
            if named.startswith("0-"):
                await both.wait()
                asyncio.get_running_loop().call_later(0.05, calling_off.set)
                return httpx.Response(200, json={"code": "A00010"})
            if named:
                both.set()
                await gate.wait()
                raise httpx.WriteError("given up")
            operation = {"/openupload": "request_upload", "/api/iqiyi/authorize": "authorize"}[request.url.path]
            raw = service.usual(Asked(operation, "GET", str(request.url), headers, b"", connection=0))
            return httpx.Response(200, content=raw.split(b"\r\n\r\n")[1])

    both = asyncio.Event()
    async with cloud(service.url, transport=Slow(), chunk_size=10) as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel_then_open() -> None:
                    await calling_off.wait()
                    scope.cancel()
                    with anyio.CancelScope(shield=True):
                        await asyncio.sleep(0)
                        gate.set()

                group.start_soon(cancel_then_open)
                await client.upload(content(20), NAME, file_type="mp4")
        assert scope.cancelled_caught


@pytest.mark.parametrize("on_failure", ["keep", "cancel"])
async def test_failure_leaves_nothing(service: Service, tmp_path: Path, on_failure: Literal["keep", "cancel"]) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))

    async def refuse(asked: Asked) -> bytes | None:
        return answer({"code": "A00010"}) if service.count("upload_chunk") > 5 else None

    service.hooks["upload_chunk"] = refuse
    async with cloud(service.url, on_failure=on_failure, journal=MemoryJournal()) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(path, NAME))
        assert caught.value.resumable == (on_failure == "keep")
        assert idle_workers(client)
        assert str(path) not in open_paths()
        assert service.states["file0"] == ("cancelled" if on_failure == "cancel" else "uploading")
    await until(lambda: not service.alive)


async def test_cancel_at_the_service_is_bounded_in_time(service: Service) -> None:
    never = asyncio.Event()

    async def silent(asked: Asked) -> None:
        await never.wait()

    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "A00010"})

    service.hooks |= {"cancel_upload": silent, "upload_chunk": refuse}
    async with cloud(service.url, on_failure="cancel", timing={"cancel_seconds": 0.1}) as client:
        with pytest.raises(UploadError, match="A00010"):
            await in_time(client.upload(content(10), NAME, file_type="mp4"), 2)
    never.set()


async def test_stream_is_closed_in_its_own_task(service: Service) -> None:
    closed: list[bool] = []

    async def stream() -> AsyncIterator[bytes]:
        mine = asyncio.current_task()
        try:
            while True:
                yield bytes(1000)
        finally:
            closed.append(asyncio.current_task() is mine)

    async def refuse(asked: Asked) -> bytes:
        return answer({"code": "A00010"})

    service.hooks["upload_chunk"] = refuse
    async with cloud(service.url) as client:
        with pytest.raises(UploadError):
            await in_time(client.upload(stream(), NAME, file_type="mp4", size=SIZE))
    assert closed == [True]


# The end of a client


@pytest.mark.parametrize("on_failure", ["keep", "cancel"])
async def test_aclose_while_uploading(service: Service, on_failure: Literal["keep", "cancel"]) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks["upload_chunk"] = hold
    client = cloud(service.url, on_failure=on_failure, journal=MemoryJournal())
    uploads = [asyncio.ensure_future(client.upload(content(SIZE + n), NAME, file_type="mp4")) for n in range(3)]
    await in_time(reached.wait())
    await until(lambda: all(handle.file_id for handle in client._runtime.uploads._handles), "each has its file_id")
    await in_time(client.aclose())
    for upload in uploads:
        with pytest.raises(UploadError, match="closed") as caught:
            await in_time(upload)
        assert caught.value.file_id in service.files
        assert caught.value.resumable == (on_failure == "keep")
        assert caught.value.retryable
    never.set()
    await until(lambda: not service.alive, "every connection is closed")
    with pytest.raises(ConfigurationError, match="closed"):
        await client.get_status("file0")
    await client.aclose()


async def test_aclose_ends_uploads_together(service: Service) -> None:
    """Each may need a while for its cancel at a silent service; all of them need that while at once."""
    never = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await never.wait()

    service.hooks |= {"upload_chunk": hold, "cancel_upload": hold}
    client = cloud(service.url, on_failure="cancel", timing={"cancel_seconds": 0.2})
    uploads = [asyncio.ensure_future(client.upload(content(10), NAME, file_type="mp4")) for _ in range(20)]
    await until(lambda: len(service.files) == 20)
    await in_time(client.aclose(), 2)
    await asyncio.gather(*uploads, return_exceptions=True)
    never.set()


async def test_aclose_while_something_is_asked(service: Service) -> None:
    """A call under way fails soon, is not repeated, and opens no connection behind the back of a closed client."""
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks["get_status"] = hold
    client = cloud(service.url)
    asking = asyncio.ensure_future(client.get_status("f"))
    waiting = asyncio.ensure_future(client.wait_until_published("f"))
    await in_time(reached.wait())
    await in_time(client.aclose())
    for task in (asking, waiting):
        with pytest.raises(VideoCloudError):
            await in_time(task)
    never.set()
    await until(lambda: not service.alive)
    connections = service.connections
    await asyncio.sleep(0.02)  # longer than any wait of the quick policy
    assert service.connections == connections


async def test_aclose_while_the_token_is_asked_for(service: Service) -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await never.wait()

    service.hooks["authorize"] = hold
    client = cloud(service.url)
    asking = [asyncio.ensure_future(client.get_status("f")) for _ in range(5)]
    await in_time(reached.wait())
    await in_time(client.aclose())
    for task in asking:
        with pytest.raises(VideoCloudError):
            await in_time(task)
    never.set()
    await until(lambda: not service.alive)


async def test_what_was_given_stays_open(service: Service) -> None:
    class Mine(httpx.AsyncHTTPTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True
            await super().aclose()

    mine = Mine()
    journal = MemoryJournal()
    async with cloud(service.url, transport=mine, journal=journal) as client:
        await client.upload(content(SIZE), NAME, file_type="mp4")
    assert not mine.closed
    await mine.aclose()


async def test_leaving_the_block_by_an_error(service: Service) -> None:
    with pytest.raises(RuntimeError, match="mine"):
        async with cloud(service.url) as client:
            await client.get_status("f")
            raise RuntimeError("mine")
    await until(lambda: not service.alive)


# Draining


async def test_drain_finishes_the_ranges_under_way(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    full, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        if service.in_flight["upload_chunk"] == 4:
            full.set()
        await go.wait()

    service.hooks["upload_chunk"] = hold
    journal = MemoryJournal()
    async with cloud(service.url, journal=journal) as client:
        upload = asyncio.ensure_future(client.upload(path, NAME))
        await in_time(full.wait())
        draining = asyncio.ensure_future(client.drain(5))
        await asyncio.sleep(0)
        with pytest.raises(VideoCloudError, match="shutting down") as refused:
            await client.upload(path, NAME)
        assert refused.value.retryable
        go.set()
        await in_time(draining)
        with pytest.raises(UploadError, match="shutting down") as caught:
            await upload
    assert caught.value.resumable
    assert caught.value.accepted == 4 * CHUNK
    assert service.count("upload_chunk") == 4
    async with cloud(service.url, journal=journal) as client:
        receipt = await in_time(client.upload(path, NAME))
    assert receipt.resumed_bytes == 4 * CHUNK
    assert service.count("upload_chunk") == 20
    assert service.files[receipt.file_id] == content(SIZE)


async def test_drain_waits_for_what_is_nearly_done(service: Service) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked) -> None:
        reached.set()
        await go.wait()

    service.hooks["finish_upload"] = hold
    async with cloud(service.url) as client:
        upload = asyncio.ensure_future(client.upload(content(SIZE), NAME, file_type="mp4"))
        await in_time(reached.wait())
        draining = asyncio.ensure_future(client.drain(5))
        await asyncio.sleep(0)
        go.set()
        await in_time(draining)
        await upload
    assert len(service.published) == 1


async def test_drain_cuts_off_what_takes_too_long(service: Service) -> None:
    never = asyncio.Event()

    async def hold(asked: Asked) -> None:
        await never.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url, journal=MemoryJournal()) as client:
        upload = asyncio.ensure_future(client.upload(content(SIZE), NAME, file_type="mp4"))
        await until(lambda: service.in_flight["upload_chunk"] == 4)
        await in_time(client.drain(0.1), 2)
        with pytest.raises(UploadError) as caught:
            await upload
        assert caught.value.resumable
        assert idle_workers(client)
        assert (await client.get_status("file0")).file_id == "file0", "everything but uploads goes on"
    never.set()


async def test_drain_of_a_closed_client_does_not_open_it_again(service: Service) -> None:
    client = cloud(service.url)
    await client.get_status("f")
    await client.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await client.drain(1)
    with pytest.raises(ConfigurationError, match="closed"):
        await client.get_status("f")


async def test_drain_without_uploads_is_at_once(service: Service) -> None:
    async with cloud(service.url) as client:
        await in_time(client.drain(60), 1)


# Late ranges


async def test_late_range_is_sent_once_more(service: Service) -> None:
    """The last range hangs; an idle lane brings it. Numbers of progress stay within their bounds all the while."""
    never = asyncio.Event()
    hung = 0

    async def hang(asked: Asked) -> None:
        nonlocal hung
        if asked.headers["range"].endswith(f"-{SIZE - 1}") and not hung:
            hung += 1
            await never.wait()

    service.hooks["upload_chunk"] = hang
    seen = []
    async with cloud(service.url, timing={"late_seconds": 0.05, "event_seconds": 0.0}) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4", on_progress=seen.append))
        assert idle_workers(client)
    assert service.files[receipt.file_id] == content(SIZE)
    assert service.count("upload_chunk") == 21
    assert receipt.retries == 1
    assert all(one.accepted <= one.sent <= one.total for one in seen)
    never.set()


async def test_late_range_in_the_middle_is_not_left_for_the_end(service: Service) -> None:
    """Its second sending goes before the next range, so that its lane is not lost for as long as it hangs."""
    never, middle = asyncio.Event(), f"{8 * CHUNK}-{9 * CHUNK - 1}"

    async def hang(asked: Asked) -> None:
        if asked.headers["range"] == middle and asked is next(
            each for each in service.calls("upload_chunk") if each.headers["range"] == middle
        ):
            await never.wait()
        await asyncio.sleep(0.03)  # A slow service, which takes longer for the rest than a range may be late.

    service.hooks["upload_chunk"] = hang
    async with cloud(service.url, timing={"late_seconds": 0.05}, max_workers=2) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
        assert idle_workers(client)
    assert service.files[receipt.file_id] == content(SIZE)
    sent = [asked.headers["range"] for asked in service.calls("upload_chunk")]
    assert sent.count(middle) == 2
    assert len(sent) == 21
    assert len(sent) - 1 - sent[::-1].index(middle) < 15, "long before the last range"
    assert receipt.retries == 1
    never.set()


async def test_service_that_has_become_slow_is_not_asked_twice(service: Service) -> None:
    """Every range is late by what the first ones took, and none of them hangs: none overtakes another."""

    async def slow_down(asked: Asked) -> None:
        number = service.count("upload_chunk")
        if number > 28:
            await asyncio.sleep(0.1 + 0.02 * (number % 4))

    service.hooks["upload_chunk"] = slow_down
    async with cloud(service.url, timing={"late_seconds": 0.05}, max_workers=4) as client:
        receipt = await in_time(client.upload(content(2 * SIZE), NAME, file_type="mp4"))
    assert service.files[receipt.file_id] == content(2 * SIZE)
    # At the end lanes have nothing else to do.
    middle = [asked.headers["range"] for asked in service.calls("upload_chunk")][:36]
    assert len(set(middle)) == len(middle)


async def test_late_range_that_arrives_after_all(service: Service) -> None:
    """The first sending wins while the second is under way, which must not be counted any more."""
    second, never = asyncio.Event(), asyncio.Event()
    last = f"-{SIZE - 1}"

    async def hang(asked: Asked) -> None:
        if asked.headers["range"].endswith(last):
            if sum(one.headers["range"].endswith(last) for one in service.calls("upload_chunk")) == 2:
                second.set()
                await never.wait()
            await second.wait()

    service.hooks["upload_chunk"] = hang
    seen = []
    async with cloud(service.url, timing={"late_seconds": 0.05, "event_seconds": 0.0}) as client:
        await in_time(client.upload(content(SIZE), NAME, file_type="mp4", on_progress=seen.append))
        assert idle_workers(client)
    assert all(one.accepted <= one.sent <= one.total for one in seen)
    assert seen[-1].chunks_in_flight == 0
    never.set()


async def test_late_range_whose_second_sending_is_refused(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The first sending goes on, and is all that counts."""
    caplog.set_level(logging.INFO, "iqiyi_async")
    last = f"-{SIZE - 1}"

    async def hang(asked: Asked) -> bytes | None:
        if not asked.headers["range"].endswith(last):
            return None
        if sum(one.headers["range"].endswith(last) for one in service.calls("upload_chunk")) == 2:
            return answer({"code": "A00010"})
        await until(lambda: "the first sending" in caplog.text)
        return None

    service.hooks["upload_chunk"] = hang
    async with cloud(service.url, timing={"late_seconds": 0.05}) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
        assert idle_workers(client)
    assert service.files[receipt.file_id] == content(SIZE)
    assert receipt.retries == 1


async def test_client_that_is_never_used() -> None:
    async with AsyncVideoCloud("key", "secret"):
        pass


async def test_server_that_goes_away_under_everybody(service: Service) -> None:
    """64 uploads, and the service resets every connection from some moment on: 64 typed errors, nothing left."""

    async def cut(asked: Asked) -> bytes | None:
        if service.count("upload_chunk") > 30:
            raise Cut(reset=True)
        return None

    service.hooks["upload_chunk"] = cut
    patient = RetryPolicy(initial_backoff=0.001, max_backoff=0.1, outage_patience=1)
    async with cloud(service.url, retry=patient) as client:
        results = await in_time(
            asyncio.gather(
                *(client.upload(content(3 * CHUNK), NAME, file_type="mp4") for _ in range(64)),
                return_exceptions=True,
            ),
            20,
        )
        failed = [result for result in results if isinstance(result, BaseException)]
        assert len(failed) >= 34
        assert all(type(error) is UploadError for error in failed)
        assert idle_workers(client)
    await until(lambda: not service.alive)
