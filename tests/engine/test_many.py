"""Many uploads at once: read only as fast as they are sent, outcomes as they complete; and limits of what is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import pytest

from iqiyi_async import ConfigurationError, ServiceError, UploadItem, UploadOutcome

from .servers import Asked, Service, answer
from .tools import NAME, cloud, content, idle_workers, in_time, until

pytestmark = pytest.mark.anyio


def item(number: int) -> UploadItem:
    return UploadItem(content(1000 + number), NAME, file_type="mp4", key=f"film {number}")


async def test_outcomes_of_a_plain_iterable(service: Service) -> None:
    async with cloud(service.url) as client:
        outcomes = [each async for each in client.upload_many([item(n) for n in range(20)], concurrency=4)]
    assert all(outcome.ok for outcome in outcomes)
    assert {outcome.item.key for outcome in outcomes} == {f"film {n}" for n in range(20)}
    assert len(service.published) == 20


async def test_one_failure_is_its_own_outcome(service: Service, tmp_path: Path) -> None:
    async def items() -> AsyncIterator[UploadItem]:
        yield item(1)
        yield UploadItem(tmp_path / "missing.mp4", NAME)
        yield "no item"  # type: ignore[misc]
        yield item(2)

    async with cloud(service.url) as client:
        outcomes = [each async for each in client.upload_many(items())]
    assert sorted(outcome.ok for outcome in outcomes) == [False, False, True, True]
    assert all(isinstance(outcome.error, ConfigurationError) for outcome in outcomes if not outcome.ok)


async def test_items_are_read_only_as_fast_as_they_are_sent(service: Service) -> None:
    read = 0
    go = asyncio.Event()

    def items() -> Iterator[UploadItem]:
        nonlocal read
        for number in range(100):
            read += 1
            yield item(number)

    async def hold(asked: Asked) -> None:
        await go.wait()

    service.hooks["upload_chunk"] = hold
    async with cloud(service.url) as client:
        async with aclosing(client.upload_many(items(), concurrency=3)) as outcomes:
            first = asyncio.ensure_future(anext(outcomes))
            await until(lambda: service.in_flight["upload_chunk"] == 3)
            assert read <= 4
            go.set()
            assert (await first).ok


async def test_leaving_early_cancels_what_is_under_way(service: Service) -> None:
    async with cloud(service.url) as client:
        many = client.upload_many((item(n) for n in range(1000)), concurrency=4)
        async with aclosing(many) as outcomes:
            async for outcome in outcomes:
                assert isinstance(outcome, UploadOutcome)
                break
        assert len(client._runtime.uploads) == 0
        assert idle_workers(client)
    assert len(service.published) < 1000


async def test_an_iterable_that_fails_is_told_behind_what_was_begun(service: Service) -> None:
    """Its uploads may become videos, and nobody else knows their file_ids."""

    def items() -> Iterator[UploadItem]:
        yield item(1)
        yield item(2)
        raise ValueError("the spreadsheet is torn")

    outcomes: list[UploadOutcome] = []
    async with cloud(service.url) as client:
        with pytest.raises(ValueError, match="torn"):
            async for outcome in client.upload_many(items()):
                outcomes.append(outcome)  # noqa: PERF401 - those before the error count
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert sorted(service.published) == sorted(each.receipt.file_id for each in outcomes if each.receipt)


async def test_wrong_arguments(service: Service) -> None:
    async with cloud(service.url) as client:
        with pytest.raises(ConfigurationError):
            client.upload_many([], concurrency=0)
        with pytest.raises(ConfigurationError):
            client.upload_many("film.mp4")  # type: ignore[arg-type]


async def test_bandwidth_is_limited(service: Service) -> None:
    size = 600_000
    async with cloud(service.url, max_bandwidth=300_000) as client:
        began = time.monotonic()
        receipt = await in_time(client.upload(content(size), NAME, file_type="mp4"), 10)
        seconds = time.monotonic() - began
        assert 1.5 < seconds < 4
        assert receipt.time_by_cause.get("bandwidth_limit", 0) > 0.5  # type: ignore[call-overload]
        client.set_bandwidth(None)
        began = time.monotonic()
        await in_time(client.upload(content(size + 1), NAME, file_type="mp4"))
        assert time.monotonic() - began < 1.5


async def test_requests_are_limited(service: Service) -> None:
    async with cloud(service.url, max_requests_per_second=10) as client:
        began = time.monotonic()
        for _ in range(15):
            await client.get_status("file0")
        assert time.monotonic() - began > 1.0


async def test_a_video_that_is_not_published_is_an_outcome_with_its_receipt(service: Service) -> None:
    service.hooks["get_status"] = refuse
    async with cloud(service.url) as client:
        outcomes = [each async for each in client.upload_many([item(1)], wait_until_published=True)]
    (outcome,) = outcomes
    assert not outcome.ok
    assert outcome.receipt is not None
    assert isinstance(outcome.error, ServiceError)


async def refuse(asked: Asked) -> bytes:
    return answer({"code": "Q00001"})


def test_an_event_loop_that_ends_while_outcomes_wait_is_not_held_up(tmp_path: Path) -> None:
    """One who leaves with an error, and without closing the iterator, leaves that to the end of the event loop."""
    items = [UploadItem(tmp_path / f"missing {number}.mp4", NAME) for number in range(5)]

    async def leave() -> None:
        async with cloud("http://127.0.0.1:9") as client:
            async for outcome in client.upload_many(items, concurrency=1):
                raise RuntimeError(str(outcome.ok))

    with ThreadPoolExecutor(1) as thread:
        left = thread.submit(asyncio.run, leave())
        with pytest.raises(RuntimeError, match="False"):
            left.result(20)
