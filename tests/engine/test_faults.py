"""Uploads over a service that fails: what is repeated, what is not, and how it ends."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import (
    AuthorizationError,
    IntegrityError,
    MemoryJournal,
    ResponseError,
    RetryPolicy,
    ServiceError,
    ServiceUnavailableError,
    TransportError,
    UnknownFileError,
    UploadError,
    VideoCloudError,
    VideoState,
)
from iqiyi_async.emulator import EmulatorConfig, EmulatorServer, Fault, FaultPlan, ThreadedEmulatorServer
from iqiyi_async.upload.finish import FinishInDoubtError

from .servers import Asked, Cut, Service, answer, ok
from .tools import NAME, ONCE, QUICK, cloud, content, in_time, open_paths, pieces

CHUNK = 64 * 1024
SIZE = 6 * CHUNK + 5

pytestmark = pytest.mark.anyio


def plan(*faults: Fault) -> FaultPlan:
    return FaultPlan(faults)


TRANSIENT = {
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503},
    "429": {"status": 429},
    "408": {"status": 408},
    "retry after": {"status": 503, "headers": {"Retry-After": "0"}},
    "retry after nonsense": {"status": 503, "headers": {"Retry-After": "soon"}},
    "busy page": {"status": 503, "body": "<html>busy</html>"},
    "dropped": {"drop": True},
    "dropped in the middle": {"drop": True, "after_bytes": 100},
    "lost": {"lost_answer": True},
    "truncated": {"truncate": 10},
    "no JSON": {"body": "<html>Welcome to the hotel</html>"},
    "wrong md5": {"wrong_md5": True},
    "short": {"short_accept": 7},
    "nothing accepted": {"short_accept": 10 * CHUNK},
}


@pytest.mark.parametrize("source", ["bytes", "stream"])
@pytest.mark.parametrize("call", [1, 4, 7])
@pytest.mark.parametrize("fault", TRANSIENT)
async def test_chunk_is_sent_again(emulator: ThreadedEmulatorServer, fault: str, call: int, source: str) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", call=call, **TRANSIENT[fault]))  # type: ignore[arg-type]
    data = content(SIZE)
    given: Any = data if source == "bytes" else pieces(data, 50_000)
    async with cloud(emulator.endpoint_url) as client:
        receipt = await in_time(client.upload(given, NAME, file_type="mp4", size=SIZE))
    assert emulator.faults.unfired() == ()
    assert (receipt.retries, receipt.chunks) == (1, 7)
    assert await asyncio.to_thread(emulator.content, receipt.file_id) == data
    assert len(emulator.published()) == 1


async def test_stalled_chunk_is_sent_again(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", call=2, stall=30, after_bytes=10_000))
    async with cloud(emulator.endpoint_url, stall_timeout=0.1) as client:
        began = time.perf_counter()
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
        assert time.perf_counter() - began < 3
    assert receipt.retries >= 1
    assert await asyncio.to_thread(emulator.content, receipt.file_id) == content(SIZE)


async def test_reset_in_the_middle_of_a_chunk(service: Service) -> None:
    resets = 0

    async def reset(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal resets
        await reader.readexactly(asked.length // 2)
        resets += 1
        if resets == 3:
            del service.early["upload_chunk"]
        raise Cut(reset=True)

    service.early["upload_chunk"] = reset
    async with cloud(service.url, chunk_size=1 << 20, max_workers=1) as client:
        receipt = await in_time(client.upload(content(5 << 20), NAME, file_type="mp4"))
    assert service.files[receipt.file_id] == content(5 << 20)
    assert receipt.retries == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured(emulator: ThreadedEmulatorServer, form: str) -> None:
    # A date has whole seconds: one that is two of them away leaves more than one to wait.
    value = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    emulator.faults = plan(Fault(operation="upload_chunk", call=1, status=503, headers={"Retry-After": value}))
    async with cloud(emulator.endpoint_url) as client:
        began = time.perf_counter()
        await client.upload(content(10), NAME, file_type="mp4")
        assert 0.9 < time.perf_counter() - began < 3


@pytest.mark.parametrize("value", ["99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_absurd_retry_after_is_capped(emulator: ThreadedEmulatorServer, value: str) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", call=1, status=503, headers={"Retry-After": value}))
    async with cloud(emulator.endpoint_url, retry=RetryPolicy(retry_after_cap=0.05)) as client:
        await in_time(client.upload(content(10), NAME, file_type="mp4"), 2)


PERMANENT = [
    ({"code": "A00010"}, "InvalidParameterError", "A00010"),
    ({"code": "Q00001"}, "ServiceError", "Q00001"),
    ({"code": "Z99999"}, "ServiceError", "Z99999"),
    ({"status": 404}, "ServiceError", "HTTP 404"),
    ({"status": 413, "body": "too large"}, "ServiceError", "HTTP 413"),
    ({"status": 302, "headers": {"Location": "http://example.com/"}}, "ResponseError", None),
    ({"oversize": 3_000_000}, "ResponseError", None),
]


@pytest.mark.parametrize(("fault", "kind", "code"), PERMANENT)
async def test_permanent_refusal_of_a_chunk(
    emulator: ThreadedEmulatorServer, fault: dict[str, Any], kind: str, code: str | None
) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", call=3, **fault))
    async with cloud(emulator.endpoint_url, journal=MemoryJournal()) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    error = caught.value
    assert type(error) is UploadError
    assert type(error.__cause__).__name__ == kind
    assert getattr(error.__cause__, "code", None) == code
    (left,) = emulator.open_uploads()
    assert error.file_id == left.file_id
    assert error.resumable == (code != "HTTP 413"), "the same call would be refused again"
    assert error.accepted <= left.accepted
    chunks = [one for one in emulator.history if one.operation == "upload_chunk"]
    assert len([one for one in chunks if one.faults]) == 1
    assert len({one.first for one in chunks}) == len(chunks), "nothing was sent twice"


async def test_outage_ends_in_one_typed_error(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", status=503))
    policy = RetryPolicy(max_attempts=1000, initial_backoff=0, max_backoff=0, budget=12)
    async with cloud(emulator.endpoint_url, retry=policy) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert isinstance(caught.value.__cause__, ServiceUnavailableError)
    assert caught.value.retryable
    assert caught.value.accepted == 0
    chunks = [one for one in emulator.history if one.operation == "upload_chunk"]
    assert len(chunks) <= 4 + 12, "as many as were asked for, and the budget"


async def test_progress_keeps_an_upload_alive_through_many_failures(service: Service) -> None:
    """Every second send fails: more failures than attempts, but never without progress between them."""
    sends = 0

    async def flaky(asked: Asked) -> bytes | None:
        nonlocal sends
        sends += 1
        return answer(status="503 Busy", body=b"") if sends % 2 else None

    service.hooks["upload_chunk"] = flaky
    policy = RetryPolicy(max_attempts=3, initial_backoff=0, max_backoff=0)
    async with cloud(service.url, chunk_size=100, retry=policy) as client:
        receipt = await in_time(client.upload(content(4000), NAME, file_type="mp4"))
    assert service.files[receipt.file_id] == content(4000)
    assert receipt.retries >= 20


async def test_bytes_that_never_arrive_whole(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", wrong_md5=True))
    async with cloud(emulator.endpoint_url, max_workers=1) as client:
        with pytest.raises(IntegrityError) as caught:
            await in_time(client.upload(content(100), NAME, file_type="mp4"))
    assert caught.value.file_id
    assert not emulator.published()
    assert len([one for one in emulator.history if one.operation == "upload_chunk"]) == 8


@pytest.mark.parametrize(
    "lie",
    [
        {"range_md5": "0" * 32},
        {"file_range_accepted": 11},
        {"file_range_accepted": 0},
        {"file_id": "another"},
    ],
)
async def test_answer_that_differs_is_not_believed(service: Service, lie: dict[str, Any]) -> None:
    import hashlib

    lies = 0

    async def differ(asked: Asked) -> bytes | None:
        nonlocal lies
        lies += 1
        truth = {"range_md5": hashlib.md5(asked.data).hexdigest(), "file_range_accepted": 10, "file_id": "file0"}
        return ok(**{**truth, **lie}) if lies == 1 else ok(**{**truth, "range_md5": truth["range_md5"].upper()})

    service.hooks["upload_chunk"] = differ
    async with cloud(service.url) as client:
        receipt = await client.upload(content(10), NAME, file_type="mp4")
    assert receipt.retries == 1


@pytest.mark.parametrize("missing", ["range_md5", "file_range_accepted"])
async def test_answer_that_says_too_little_is_no_success(service: Service, missing: str) -> None:
    async def mute(asked: Asked) -> bytes | None:
        import hashlib

        truth = {"range_md5": hashlib.md5(asked.data).hexdigest(), "file_range_accepted": 10, "file_id": "file0"}
        del truth[missing]
        return ok(**truth)

    service.hooks["upload_chunk"] = mute
    async with cloud(service.url) as client:
        with pytest.raises(UploadError, match=missing):
            await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert not service.published


# Lost answers


@pytest.mark.parametrize("operation", ["authorize", "set_metadata", "get_status", "list_videos", "get_urls"])
async def test_lost_answer_of_what_may_be_repeated(emulator: ThreadedEmulatorServer, operation: str) -> None:
    emulator.faults = plan(Fault(operation=operation, call=1, lost_answer=True))
    async with cloud(emulator.endpoint_url) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
        await client.get_status(receipt.file_id)
        await client.list_videos()
        await client.get_urls(receipt.file_id)
    assert emulator.faults.unfired() == ()
    assert len(emulator.published()) == 1


async def test_lost_answer_of_delete(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        receipt = await client.upload(b"x", NAME, file_type="mp4")
        other = await client.upload(b"y", NAME, file_type="mp4")
        emulator.faults = plan(Fault(operation="delete_videos", call=1, lost_answer=True))
        await client.delete_videos([receipt.file_id])
    assert [view.file_id for view in emulator.published()] == [other.file_id]


async def test_lost_answer_of_openupload_is_repeated(emulator: ThreadedEmulatorServer) -> None:
    """What a lost answer leaves behind is an upload without a byte, never a video."""
    emulator.faults = plan(Fault(operation="request_upload", call=1, lost_answer=True))
    async with cloud(emulator.endpoint_url) as client:
        receipt = await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert len(emulator.files) == 2
    assert [view.file_id for view in emulator.published()] == [receipt.file_id]


async def test_busy_openupload_is_repeated(emulator: ThreadedEmulatorServer) -> None:
    """503 and 429 say that nothing was done."""
    emulator.faults = plan(Fault(operation="request_upload", call=(1, 2), status=503))
    async with cloud(emulator.endpoint_url) as client:
        await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert len(emulator.files) == 1


FINISH = {
    "lost": {"lost_answer": True},
    "dropped": {"drop": True},
    "garbage": {"body": "<html>"},
    "500": {"status": 500},
    "503": {"status": 503},
    "truncated": {"truncate": 5},
}


@pytest.mark.parametrize("lag", [0, 60])
@pytest.mark.parametrize("fault", FINISH)
async def test_finish_that_is_lost(emulator: ThreadedEmulatorServer, fault: str, lag: float) -> None:
    """One video in the end, whatever became of the first finish, even while the status lags behind."""
    effects: dict[str, Any] = dict(FINISH[fault])
    if lag and fault in ("lost", "truncated"):
        effects["lag"] = lag
    emulator.faults = plan(Fault(operation="finish_upload", call=1, **effects))
    async with cloud(emulator.endpoint_url) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert emulator.faults.unfired() == ()
    assert len(emulator.files) == 1
    emulator.clock.advance(100)
    assert [view.file_id for view in emulator.published()] == [receipt.file_id]
    if fault != "503":
        after = [one.operation for one in emulator.history][-3:]
        assert after.index("finish_upload") < after.index("get_status"), "the status is asked before anything else"
        if not lag and fault in ("lost", "truncated"):
            assert after[-1] == "get_status", "it was finished, so it is not said again"


UNREADABLE = {
    "too long": answer({"code": "A00000", "data": "a" * 3_000_000}),
    "redirect": answer(status="302 Found", headers="Location: /elsewhere\r\n", body=b""),
    "compressed": answer({"code": "A00000"}, headers="Content-Encoding: gzip\r\n"),
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("what", UNREADABLE)
async def test_finish_whose_answer_can_not_be_read(service: Service, what: str, finished: bool) -> None:
    """Repeating it would give the same answer; the status is asked all the same."""

    async def finish(asked: Asked) -> bytes:
        if finished:
            service.usual(asked)
        return UNREADABLE[what]

    service.hooks["finish_upload"] = finish
    async with cloud(service.url) as client:
        if finished:
            await in_time(client.upload(content(10), NAME, file_type="mp4"))
        else:
            with pytest.raises(UploadError) as caught:
                await in_time(client.upload(content(10), NAME, file_type="mp4"))
            assert isinstance(caught.value.__cause__, ResponseError)
            assert caught.value.resumable
    assert (service.count("finish_upload"), service.count("get_status")) == (1, 1)


async def test_finish_that_is_lost_on_the_last_attempt(emulator: ThreadedEmulatorServer) -> None:
    """No attempt is left, but the status still tells that the video is there: that is success."""
    emulator.faults = plan(Fault(operation="finish_upload", call=1, lost_answer=True))
    async with cloud(emulator.endpoint_url, retry=ONCE) as client:
        receipt = await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert [view.file_id for view in emulator.published()] == [receipt.file_id]


async def test_finish_that_nobody_can_tell(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(
        Fault(operation="finish_upload", call=1, lost_answer=True), Fault(operation="get_status", status=503)
    )
    async with cloud(emulator.endpoint_url, on_failure="cancel") as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert caught.value.resumable
    assert caught.value.file_id
    assert "cancel_upload" not in [one.operation for one in emulator.history], "it may be a video by now"
    assert len(emulator.published()) == 1


async def test_finish_by_hand_that_nobody_can_tell(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        ticket = await client.request_upload("mp4", 1)
        await client.upload_chunk(ticket, 0, b"x")
        await client.set_metadata(ticket.file_id, NAME)
        emulator.faults = plan(
            Fault(operation="finish_upload", lost_answer=True), Fault(operation="get_status", status=503)
        )
        with pytest.raises(VideoCloudError) as caught:
            await in_time(client.finish_upload(ticket.file_id))
    assert isinstance(caught.value, TransportError | ServiceUnavailableError)


async def test_finish_that_is_refused(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(Fault(operation="finish_upload", call=1, code="A00010"))
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(UploadError, match="A00010"):
            await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert len([one for one in emulator.history if one.operation == "finish_upload"]) == 1


async def test_second_finish_that_is_refused_because_the_first_arrived(service: Service) -> None:
    """The status lags, so finish is said again; the service refuses; by then the status tells."""
    looks = 0

    async def finish(asked: Asked) -> bytes:
        if service.count("finish_upload") == 1:
            raise Cut
        return answer({"code": "A00010", "msg": "finished already"})

    async def status(asked: Asked) -> bytes:
        nonlocal looks
        looks += 1
        return answer({"code": "A00004" if looks == 1 else "A00001"})

    service.hooks |= {"finish_upload": finish, "get_status": status}
    async with cloud(service.url) as client:
        await in_time(client.upload(content(10), NAME, file_type="mp4"))
    assert service.count("finish_upload") == 2


# An upload that the service has dropped


async def test_dropped_upload_starts_over_once(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", call=4, drop_file=True))
    async with cloud(emulator.endpoint_url) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert await asyncio.to_thread(emulator.content, receipt.file_id) == content(SIZE)
    assert len([one for one in emulator.history if one.operation == "request_upload"]) == 2
    assert [view.file_id for view in emulator.published()] == [receipt.file_id]


async def test_doubt_about_a_finish_does_not_chain_the_error_that_it_holds(service: Service) -> None:
    """Who raises that error in its place would put it into its own chain."""

    async def lost(asked: Asked) -> None:
        raise Cut

    service.hooks["finish_upload"] = service.hooks["get_status"] = lost
    async with cloud(service.url) as client:
        with pytest.raises(FinishInDoubtError) as doubt:
            await in_time(client._runtime.finisher.finish("f"))
        assert (doubt.value.__cause__, doubt.value.__context__) == (None, None)
        with pytest.raises(TransportError) as caught:
            await in_time(client.finish_upload("f"))
    chain: list[BaseException] = [caught.value]
    while (each := chain[-1].__cause__ or chain[-1].__context__) is not None:
        assert each not in chain
        chain.append(each)


async def test_absent_after_a_lost_finish_is_in_doubt(service: Service, tmp_path: Path) -> None:
    """The finish gets no answer, and the status says that there is no such video, again and again: it may lag. Nothing
    new is begun; the next run looks again, and finds the video."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content(SIZE))
    lagging = True

    async def finish(asked: Asked) -> bytes:
        service.usual(asked)
        raise Cut

    async def status(asked: Asked) -> bytes | None:
        return answer({"code": "A00003"}) if lagging else None

    service.hooks |= {"finish_upload": finish, "get_status": status}
    async with cloud(service.url, journal=MemoryJournal(), doubt_patience=0.5) as client:
        with pytest.raises(UploadError, match=r"has not turned up within 0\.5 s") as caught:
            await in_time(client.upload(path, NAME))
        assert caught.value.resumable
        assert str(path) not in open_paths()
        assert service.count("get_status") > 2, "it was asked for more than once"
        lagging = False
        receipt = await in_time(client.upload(path, NAME))
    assert receipt.file_id == "file0"
    assert service.count("request_upload") == 1
    assert service.count("finish_upload") == 1
    assert service.published == ["file0"]


async def test_video_that_turns_up_late_after_a_lost_finish(service: Service) -> None:
    async def finish(asked: Asked) -> bytes:
        service.usual(asked)
        raise Cut

    async def status(asked: Asked) -> bytes | None:
        return answer({"code": "A00003"}) if service.count("get_status") < 3 else None

    service.hooks |= {"finish_upload": finish, "get_status": status}
    async with cloud(service.url, doubt_patience=5.0) as client:
        receipt = await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert receipt.file_id == "file0"
    assert service.count("request_upload") == 1
    assert service.published == ["file0"]


async def test_upload_that_is_dropped_again_and_again(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", code="A00005"))
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(content(SIZE), NAME, file_type="mp4"))
    assert isinstance(caught.value.__cause__, UnknownFileError)
    assert not caught.value.resumable
    assert len([one for one in emulator.history if one.operation == "request_upload"]) == 2


async def test_dropped_stream_can_not_start_over(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = plan(Fault(operation="upload_chunk", call=4, drop_file=True))
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(pieces(content(SIZE), 1000), NAME, file_type="mp4", size=SIZE))
    assert isinstance(caught.value.__cause__, UnknownFileError)
    assert not caught.value.resumable
    assert not emulator.published()


# What openupload refuses

REFUSED: list[tuple[str, type[VideoCloudError]]] = [
    ("A00005", AuthorizationError),
    ("A00007", AuthorizationError),
    ("A00008", AuthorizationError),
    ("A00009", AuthorizationError),
    ("A00010", ServiceError),
    ("A00018", ServiceError),
]


@pytest.mark.parametrize(("code", "kind"), REFUSED)
async def test_openupload_refused(
    emulator: ThreadedEmulatorServer, code: str, kind: type[VideoCloudError], tmp_path: Path
) -> None:
    emulator.faults = plan(Fault(operation="request_upload", code=code))
    (tmp_path / "film.mp4").write_bytes(b"x")
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(kind, match=code) as caught:
            await client.upload(tmp_path / "film.mp4", NAME)
    assert caught.value.operation == "request_upload"
    assert not isinstance(caught.value, UploadError), "it never began"
    assert len([one for one in emulator.history if one.operation == "request_upload"]) == 1


async def test_answers_in_the_loose_style(tmp_path: Path) -> None:
    async with EmulatorServer(EmulatorConfig(publish_after=0, answer_style="loose")) as emulator:
        async with cloud(emulator.endpoint_url, retry=QUICK) as client:
            receipt = await client.upload(content(SIZE), NAME, file_type="mp4")
            assert receipt.retries == 0
            assert (await client.get_status(receipt.file_id)).state is VideoState.PUBLISHED
            assert (await client.list_videos()).total == 1
            assert (await client.get_urls(receipt.file_id)).mp4


async def test_errors_of_several_chunks_leave_as_one(service: Service) -> None:
    """All four lanes fail at the same moment; the caller gets one error, no group."""
    barrier = asyncio.Barrier(4)

    async def fail(asked: Asked) -> bytes:
        await barrier.wait()
        return answer({"code": "A00010", "msg": asked.headers["range"]})

    service.hooks["upload_chunk"] = fail
    async with cloud(service.url, chunk_size=10) as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(content(40), NAME, file_type="mp4"))
    assert isinstance(caught.value.__cause__, ServiceError)
    assert not isinstance(caught.value.__cause__, ResponseError)
