"""Threads whose jobs outlast a caller that is cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from iqiyi_async._concurrency import Threads

from .tools import in_time

pytestmark = pytest.mark.anyio


async def test_a_cancelled_caller_waits_for_a_job_that_has_begun_and_drops_one_that_has_not() -> None:
    threads, begun, go = Threads(1, "test"), asyncio.Event(), threading.Event()
    loop, done = asyncio.get_running_loop(), list[str]()

    def job() -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(5)
        done.append("first")

    first = asyncio.create_task(threads.run(job))
    second = asyncio.create_task(threads.run(lambda: done.append("second")))
    await in_time(begun.wait())
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await in_time(second)
    for _ in range(2):
        first.cancel()
        await asyncio.sleep(0)
        assert not first.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await in_time(first)
    assert done == ["first"]
    threads.shutdown()
