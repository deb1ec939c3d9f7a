"""Each method of the client against the emulator, and the client's own manners."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    Category,
    ConfigurationError,
    Endpoints,
    Metadata,
    QuotaExceededError,
    ResponseError,
    RetryPolicy,
    ServiceError,
    ServiceUnavailableError,
    Token,
    UnknownFileError,
    VideoState,
)
from iqiyi_async.emulator import EmulatorConfig, EmulatorServer, Fault, FaultPlan, ThreadedEmulatorServer

from .servers import Asked, Service, answer
from .tools import KEY, NAME, SECRET, cloud, content, in_time, until

pytestmark = pytest.mark.anyio


async def publish(client: AsyncVideoCloud, name: str = "A film", data: bytes = b"x") -> str:
    return (await client.upload(data, Metadata(name), file_type="mp4")).file_id


async def test_an_error_names_its_operation_once(emulator: ThreadedEmulatorServer) -> None:
    emulator.use_faults(FaultPlan((Fault(operation="request_upload", code="A00006"),)))
    async with cloud(emulator.endpoint_url) as client:
        with pytest.raises(ServiceError) as caught:
            await publish(client)
    assert str(caught.value).count("request_upload") == 1
    assert str(caught.value).startswith("request_upload: ")


async def test_the_whole_way(emulator: ThreadedEmulatorServer) -> None:
    metadata = Metadata("Holiday", description="Hainan", tags=["sea"], category=Category.TRAVEL)  # type: ignore[arg-type]
    async with cloud(emulator.endpoint_url) as client:
        token = await client.authorize()
        assert isinstance(token, Token)
        receipt = await client.upload(content(70_000), metadata, file_type="mp4")
        status = await client.wait_until_published(receipt.file_id)
        assert status.state is VideoState.PUBLISHED
        assert status.urls.mp4
        assert status.image
        assert status.image.startswith("http")
        (video,) = (await client.list_videos()).videos
        assert (video.file_id, video.name, video.description, video.size) == (
            receipt.file_id,
            "Holiday",
            "Hainan",
            70_000,
        )
        assert video.state is VideoState.PUBLISHED
        assert video.created_at is not None
        urls = await client.get_urls(receipt.file_id)
        real = await client.resolve_url(next(iter(urls.mp4.values())))
    with await asyncio.to_thread(urlopen, real) as answer_:
        assert answer_.read() == content(70_000)
    assert emulator.history[-2].operation == "resolve_url"


async def test_resolve_url_that_has_expired(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        urls = await client.get_urls(await publish(client))
        emulator.clock.advance(1000)
        with pytest.raises((ServiceError, ResponseError)):
            await client.resolve_url(next(iter(urls.mp4.values())))


async def test_iter_videos_over_several_pages(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        ids = [await publish(client, f"film {number}") for number in range(7)]
        before = len(emulator.history)
        # Where the first page holds as many as are counted, the count may mean the page: one more look tells.
        for size, pages in [(3, 3), (7, 2), (100, 2), (1, 7), (6, 2)]:
            assert [video.file_id async for video in client.iter_videos(page_size=size)] == ids
            asked, before = len(emulator.history) - before, len(emulator.history)
            assert asked == pages, size
        assert [video.file_id async for video in client.iter_videos(ids[2:4])] == ids[2:4]
        assert [video.file_id async for video in client.iter_videos([*ids[5:], "unknown"])] == ids[5:]
        page = await client.list_videos(page=2, page_size=3)
        assert ([video.file_id for video in page.videos], page.total, page.page, page.page_size) == (ids[3:6], 7, 2, 3)
        assert (await client.list_videos(page=9)).videos == ()


async def test_iter_videos_of_nobody(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        assert [video async for video in client.iter_videos()] == []


async def test_an_empty_collection_of_ids_is_none_and_never_all(service: Service) -> None:
    async with cloud(service.url) as client:
        for nothing in ((), [], set(), iter(())):
            page = await client.list_videos(nothing, page=2, page_size=7)
            assert (page.videos, page.total, page.page, page.page_size) == ((), 0, 2, 7)
        assert [video async for video in client.iter_videos([])] == []
        with pytest.raises(ConfigurationError, match="page_size"):
            await client.list_videos([], page_size=0)
    assert service.asked == []


async def test_deleting_in_the_loop_loses_none(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        ids = [await publish(client, f"film {number}") for number in range(12)]
        met: list[str] = []
        async for video in client.iter_videos(page_size=4):
            met.append(video.file_id)
            await client.delete_videos([video.file_id])
        assert sorted(met) == sorted(ids)
        assert (await client.list_videos()).videos == ()


async def test_a_page_that_fails_is_asked_for_again(service: Service) -> None:
    failures = 2

    async def listing(asked: Asked) -> bytes:
        nonlocal failures
        if asked.query["page"] == "2" and failures:
            failures -= 1
            return answer(status="500 Broken", body=b"")
        rows = [{"fileId": f"f{asked.query['page']}"}]
        return answer({"code": "A00000", "count": 3, "data": rows})

    service.hooks["list_videos"] = listing
    async with cloud(service.url, call_retry=RetryPolicy(max_attempts=1)) as client:
        assert [video.file_id async for video in client.iter_videos(page_size=1)] == ["f1", "f2", "f3"]


async def test_iter_videos_of_many_ids(service: Service) -> None:
    """More ids than one request takes are asked for in parts."""

    async def listing(asked: Asked) -> bytes:
        ids = asked.query["file_ids"].split(",")
        return answer({"code": "A00000", "count": 250, "data": [{"fileId": one} for one in ids]})

    service.hooks["list_videos"] = listing
    ids = [f"f{number}" for number in range(250)]
    async with cloud(service.url) as client:
        assert [video.file_id async for video in client.iter_videos(iter(ids))] == ids
    assert [len(asked.query["file_ids"].split(",")) for asked in service.calls("list_videos")] == [100, 100, 50]


async def test_iter_videos_that_is_left_early(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        for number in range(3):
            await publish(client, str(number))
        async for video in client.iter_videos(page_size=1):
            assert video.name == "0"
            break
        assert (await client.list_videos()).total == 3


async def test_list_that_never_ends_is_left(service: Service) -> None:
    """A service that counts wrongly, and repeats an empty page, keeps nobody for ever."""

    async def listing(asked: Asked) -> bytes:
        rows = [{"fileId": "f1"}] if asked.query["page"] == "1" else []
        return answer({"code": "A00000", "count": 10**9, "data": rows})

    service.hooks["list_videos"] = listing
    async with cloud(service.url) as client:
        assert len([video async for video in client.iter_videos(page_size=1)]) == 1
    assert service.count("list_videos") == 2


async def test_a_count_without_its_list_is_an_error_at_once(service: Service) -> None:
    """Not an empty page: what such a page leaves out would be taken for deleted."""

    async def listing(asked: Asked) -> bytes:
        return answer({"code": "A00000", "count": 3})

    service.hooks["list_videos"] = listing
    async with cloud(service.url) as client:
        with pytest.raises(ResponseError, match="counts 3 videos and holds no list"):
            await in_time(anext(client.iter_videos()))
    assert service.count("list_videos") == 1


# Waiting for a video


async def test_wait_until_published() -> None:
    async with EmulatorServer(EmulatorConfig(publish_after=1000)) as server:
        async with cloud(server.endpoint_url) as client:
            file_id = await publish(client)
            waiting = asyncio.ensure_future(client.wait_until_published(file_id, timeout=60))
            await until(lambda: sum(one.operation == "get_status" for one in server.emulator.history) >= 3)
            server.emulator.clock.advance(2000)
            status = await in_time(waiting)
    assert (status.state, status.file_id) == (VideoState.PUBLISHED, file_id)


async def test_wait_that_takes_too_long() -> None:
    async with EmulatorServer(EmulatorConfig(publish_after=1000)) as server:
        async with cloud(server.endpoint_url) as client:
            file_id = await publish(client)
            with pytest.raises(TimeoutError, match=f"video {file_id} is not published after 0.05 s .publishing."):
                await in_time(client.wait_until_published(file_id, timeout=0.05))
            # The client is as good as before.
            assert (await client.get_status(file_id)).state is VideoState.PUBLISHING


async def test_wait_of_no_time_looks_once(service: Service) -> None:
    service.states["f"] = "finished"
    async with cloud(service.url) as client:
        with pytest.raises(TimeoutError, match=r"^video f is not published after 0 s .publishing.$"):
            await in_time(client.wait_until_published("f", timeout=0))
        assert service.count("get_status") == 1
        service.hooks["get_status"] = published
        status = await in_time(client.wait_until_published("f", timeout=0))
        assert (status.state, service.count("get_status")) == (VideoState.PUBLISHED, 2)


async def published(asked: Asked) -> bytes:
    return answer({"code": "A00000"})


async def test_a_wait_outlives_failed_looks(service: Service) -> None:
    async def broken(asked: Asked) -> bytes:
        if service.count("get_status") > 2:
            service.hooks["get_status"] = published
        return answer({}, status="500 Broken")

    service.hooks["get_status"] = broken
    once = RetryPolicy(max_attempts=1)
    async with cloud(service.url, call_retry=once) as client:
        assert (await in_time(client.wait_until_published("f"))).state is VideoState.PUBLISHED
        service.hooks["get_status"] = broken
    async with cloud(service.url, call_retry=once, retry=RetryPolicy(max_attempts=1, outage_patience=0)) as client:
        service.asked.clear()
        with pytest.raises(ServiceUnavailableError):
            await in_time(client.wait_until_published("f"))


async def test_waiting_for_many(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        ids = [await publish(client, f"film {number}") for number in range(15)]
        await asyncio.to_thread(emulator.set_outcome, ids[3], "review_failed")
        before = len(emulator.history)
        ended = {status.file_id: status async for status in client.wait_all_published([*ids, "unknown"], timeout=60)}
        asked = [one.operation for one in emulator.history[before:]]
    assert set(ended) == {*ids, "unknown"}
    assert ended.pop("unknown").state is VideoState.ABSENT
    assert ended.pop(ids[3]).state is VideoState.REVIEW_FAILED
    assert all(status.state is VideoState.PUBLISHED and status.urls.mp4 for status in ended.values())
    assert (asked.count("list_videos"), asked.count("get_status")) == (1, 16)


async def test_waiting_for_none(service: Service) -> None:
    async with cloud(service.url) as client:
        assert [status async for status in client.wait_all_published([])] == []
    assert service.asked == []


async def test_wait_within_the_callers_own_timeout(service: Service) -> None:
    async with cloud(service.url) as client:
        await client.request_upload("mp4", 1)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await client.wait_until_published("file0", timeout=60)
        assert "published" not in str(caught.value), "it was the caller's patience that ended"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("A00002", ServiceError, "review failed"),
        ("A00006", ServiceError, "cancelled"),
        ("A00007", ServiceError, "publish failed"),
        ("A00003", UnknownFileError, "absent"),
    ],
)
async def test_wait_for_what_will_never_be(service: Service, code: str, kind: type[ServiceError], words: str) -> None:
    async def status(asked: Asked) -> bytes:
        return answer({"code": code, "msg": "sorry"})

    service.hooks["get_status"] = status
    async with cloud(service.url) as client:
        with pytest.raises(kind, match=words) as caught:
            await in_time(client.wait_until_published("f"))
    assert (caught.value.code, caught.value.message, caught.value.file_id) == (code, "sorry", "f")
    assert service.count("get_status") == 1


async def test_wait_for_a_duplicate() -> None:
    async with EmulatorServer(EmulatorConfig(publish_after=0, detect_duplicates=True)) as server:
        async with cloud(server.endpoint_url) as client:
            first = await publish(client, data=b"same")
            second = await publish(client, data=b"same")
            assert (await client.get_status(second)).duplicate_of == first
            with pytest.raises(ServiceError, match=f"it repeats video {first}"):
                await client.wait_until_published(second)


async def test_wait_for_a_video_whose_review_failed(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        file_id = await publish(client)
        await asyncio.to_thread(emulator.set_outcome, file_id, "review_failed")
        with pytest.raises(ServiceError, match="review failed"):
            await client.wait_until_published(file_id)


async def test_wait_through_a_state_that_nobody_knows(service: Service) -> None:
    codes = iter(["A99999", "A00001", "A00000"])

    async def status(asked: Asked) -> bytes:
        return answer({"code": next(codes), "data": {}})

    service.hooks["get_status"] = status
    async with cloud(service.url) as client:
        assert (await in_time(client.wait_until_published("f"))).state is VideoState.PUBLISHED


# Deleting


async def test_delete_takes_these_and_no_others(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        ids = [await publish(client, str(number)) for number in range(4)]
        await client.delete_videos([ids[1]])
        assert [view.file_id for view in emulator.published()] == [ids[0], ids[2], ids[3]]
        await client.delete_videos(iter(ids[2:]))
        assert [view.file_id for view in emulator.published()] == [ids[0]]
        assert (await client.get_status(ids[1])).state is VideoState.ABSENT


async def test_delete_never_says_everything(service: Service) -> None:
    async with cloud(service.url) as client:
        await client.delete_videos(["a"])
        await client.delete_videos([f"f{number}" for number in range(250)])
        with pytest.raises(ConfigurationError):
            await client.delete_videos([])
    asked = service.calls("delete_videos")
    assert [one.query["delete_type"] for one in asked] == ["1"] * 4
    assert [len(one.query["file_ids"].split(",")) for one in asked] == [1, 100, 100, 50]


async def test_delete_all(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        for number in range(3):
            await publish(client, str(number))
        await client.delete_all_videos()
        assert (await client.list_videos()).videos == ()
    assert not emulator.published()


# What the service refuses


async def test_quota() -> None:
    async with EmulatorServer(EmulatorConfig(quota_bytes=10)) as server:
        async with cloud(server.endpoint_url) as client:
            with pytest.raises(QuotaExceededError):
                await client.upload(content(11), NAME, file_type="mp4")


async def test_finish_before_everything_is_there() -> None:
    async with EmulatorServer(EmulatorConfig(early_finish="refused")) as server:
        async with cloud(server.endpoint_url) as client:
            ticket = await client.request_upload("mp4", 10)
            await client.upload_chunk(ticket, 0, b"12345")
            with pytest.raises(ServiceError):
                await client.finish_upload(ticket.file_id)


async def test_chunk_of_an_unknown_upload(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as client:
        ticket = await client.request_upload("mp4", 10)
        await client.cancel_upload(ticket.file_id)
        with pytest.raises(UnknownFileError) as caught:
            await client.upload_chunk(ticket, 0, b"12345")
    assert (caught.value.operation, caught.value.file_id) == ("upload_chunk", ticket.file_id)


async def test_chunk_by_hand_is_sent_again_too(emulator: ThreadedEmulatorServer) -> None:
    emulator.faults = FaultPlan(
        [Fault(operation="upload_chunk", call=1, wrong_md5=True), Fault(operation="upload_chunk", call=2, status=503)]
    )
    async with cloud(emulator.endpoint_url) as client:
        ticket = await client.request_upload("mp4", 5)
        receipt = await client.upload_chunk(ticket, 0, b"12345")
    assert receipt.attempts == 3
    assert receipt.md5 == "827ccb0eea8a706c4c34a16891f84e7b"


# The client's manners


async def test_from_env(emulator: ThreadedEmulatorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQIYI_APP_KEY", KEY)
    monkeypatch.setenv("IQIYI_APP_SECRET", SECRET)
    monkeypatch.setenv("IQIYI_ENDPOINT_URL", emulator.endpoint_url + "/")
    async with AsyncVideoCloud.from_env() as client:
        assert (await client.list_videos()).total == 0
    monkeypatch.setenv("IQIYI_ENDPOINT_URL", "http://127.0.0.1:9")
    async with AsyncVideoCloud.from_env(endpoints=Endpoints.single(emulator.endpoint_url)) as client:
        assert (await client.list_videos()).total == 0
    monkeypatch.delenv("IQIYI_ENDPOINT_URL")
    assert "https://openapi.iqiyi.com" in repr(AsyncVideoCloud.from_env())


@pytest.mark.parametrize("missing", ["IQIYI_APP_KEY", "IQIYI_APP_SECRET"])
def test_from_env_without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in ("IQIYI_APP_KEY", "IQIYI_APP_SECRET"):
        monkeypatch.setenv(name, "value")
    monkeypatch.setenv(missing, "")
    with pytest.raises(ConfigurationError, match=missing):
        AsyncVideoCloud.from_env()


async def test_from_env_of_a_class_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(AsyncVideoCloud):
        pass

    monkeypatch.setenv("IQIYI_APP_KEY", KEY)
    monkeypatch.setenv("IQIYI_APP_SECRET", SECRET)
    assert type(Mine.from_env()) is Mine


METHODS: dict[str, Callable[[AsyncVideoCloud], Awaitable[object]]] = {
    "upload": lambda client: client.upload(b"x", NAME, file_type="mp4"),
    "request_upload": lambda client: client.request_upload("mp4", 1),
    "set_metadata": lambda client: client.set_metadata("f", NAME),
    "finish_upload": lambda client: client.finish_upload("f"),
    "cancel_upload": lambda client: client.cancel_upload("f"),
    "authorize": lambda client: client.authorize(),
    "refresh_token": lambda client: client.refresh_token(),
    "get_status": lambda client: client.get_status("f"),
    "wait_until_published": lambda client: client.wait_until_published("f"),
    "list_videos": lambda client: client.list_videos(),
    "iter_videos": lambda client: anext(aiter(client.iter_videos())),
    "get_urls": lambda client: client.get_urls("f"),
    "resolve_url": lambda client: client.resolve_url("http://127.0.0.1/x"),
    "delete_videos": lambda client: client.delete_videos(["f"]),
    "delete_all_videos": lambda client: client.delete_all_videos(),
    "drain": lambda client: client.drain(1),
    "enter": lambda client: client.__aenter__(),
}


@pytest.mark.parametrize("method", METHODS)
async def test_use_after_close(service: Service, method: str) -> None:
    client = cloud(service.url)
    await client.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await in_time(METHODS[method](client))
    assert not service.asked


@pytest.mark.parametrize("method", [name for name in METHODS if name != "drain"])
def test_use_in_another_loop(method: str) -> None:
    client = cloud("http://127.0.0.1:9")

    async def first() -> None:
        async with asyncio.timeout(0.05):
            await client.wait_until_published("f")

    async def second() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await METHODS[method](client)

    with pytest.raises(Exception):  # noqa: B017 - nobody listens there; it only had to be tried
        asyncio.run(first())
    thread = threading.Thread(target=lambda: asyncio.run(second()))
    thread.start()
    thread.join()
    asyncio.run(second())


async def test_repr_says_what_helps(service: Service) -> None:
    client = cloud(service.url)
    assert repr(client) == f"<AsyncVideoCloud {service.url} open, 0 uploads>"
    await client.aclose()
    assert "closed" in repr(client)


async def test_upload_of_a_relative_path(
    emulator: ThreadedEmulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    async with cloud(emulator.endpoint_url) as client:
        receipt = await client.upload("film.mp4", NAME)
    assert emulator.files[receipt.file_id].size == 3


async def test_two_clients_at_once(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url) as one, cloud(emulator.endpoint_url) as two:
        results: list[Any] = await asyncio.gather(*(publish(client, data=content(99)) for client in (one, two) * 5))
    assert len(set(results)) == 10
