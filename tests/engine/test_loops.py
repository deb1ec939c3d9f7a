"""Every event loop that people use: the same journey, cancelled and not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, UploadOptions
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Fault, FaultPlan, ThreadedEmulatorServer

VIDEO = bytes(range(256)) * 2048


def loops() -> list[object]:
    uvloop = pytest.importorskip("uvloop") if _has_uvloop() else None
    return [asyncio.new_event_loop, *([uvloop.new_event_loop] if uvloop else [])]


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture(params=loops(), ids=lambda make: make.__module__.partition(".")[0])
def make_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return request.param


def cloud(server: ThreadedEmulatorServer) -> AsyncVideoCloud:
    return AsyncVideoCloud(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(server.endpoint_url),
        options=UploadOptions(chunk_size=64 * 1024),
    )


def test_a_whole_journey(
    make_loop: Callable[[], asyncio.AbstractEventLoop], iqiyi_emulator: ThreadedEmulatorServer
) -> None:
    async def journey() -> None:
        async with cloud(iqiyi_emulator) as client:
            receipt = await client.upload(VIDEO, Metadata("Holiday"), file_type="mp4")
            assert iqiyi_emulator.content(receipt.file_id) == VIDEO
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(journey())


@pytest.mark.iqiyi_end_check(False)
def test_cancelled_in_the_middle(
    make_loop: Callable[[], asyncio.AbstractEventLoop], iqiyi_emulator: ThreadedEmulatorServer
) -> None:
    iqiyi_emulator.faults = FaultPlan(faults=(Fault(operation="upload_chunk", call=3, stall=30),))

    async def journey() -> None:
        async with cloud(iqiyi_emulator) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.upload(VIDEO, Metadata("Holiday"), file_type="mp4")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(journey())
