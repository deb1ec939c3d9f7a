"""Many uploads: items are read only as fast as they are sent, outcomes come as they complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import cast

from .._concurrency import run_to_completion
from ..errors import ConfigurationError, VideoCloudError
from ..models import UploadItem, UploadOutcome, UploadReceipt, VideoStatus

Items = Iterable[UploadItem] | AsyncIterable[UploadItem]


async def upload_many(
    items: Items,
    *,
    upload: Callable[[UploadItem], Awaitable[UploadReceipt]],
    wait: Callable[[str], Awaitable[VideoStatus]] | None,
    concurrency: int,
) -> AsyncGenerator[UploadOutcome, None]:
    """Upload items, so many at a time.

    Args:
        items: from a plain or an async iterable.
        upload: uploads one.
        wait: waits until a video is published, while its place is taken by the next item; None if nobody wants to know.
        concurrency: how many are uploaded at the same time; as many outcomes wait for the caller at the most.
    """
    outcomes: asyncio.Queue[UploadOutcome | None] = asyncio.Queue(concurrency)
    places = asyncio.Semaphore(concurrency)
    running: set[asyncio.Task[None]] = set()

    async def one(item: UploadItem) -> None:
        try:
            outcome = await _outcome(item, upload)
            if wait is None or outcome.receipt is None:
                await outcomes.put(outcome)
                return
        finally:
            places.release()
        await outcomes.put(await _published(outcome, outcome.receipt, wait))

    async def read() -> None:
        try:
            async for item in _each(items):
                await places.acquire()
                task = asyncio.get_running_loop().create_task(one(item), name="iqiyi-async upload of many")
                running.add(task)
                task.add_done_callback(running.discard)
        finally:
            # What was begun has its outcome, although the items may have ended in an error.
            while running and not stopping:
                await asyncio.wait(running)
            # Behind the last outcome; who has left early does not take it any more, nor does a loop that ends.
            if not stopping and not reader.cancelling():
                await outcomes.put(None)

    stopping = False
    reader = asyncio.get_running_loop().create_task(read(), name="iqiyi-async items")
    try:
        while (outcome := await outcomes.get()) is not None:
            yield outcome
        await reader
    finally:
        stopping = True
        ending = [task for task in (reader, *running) if not task.done()]
        for task in ending:
            task.cancel()
        if ending:
            await run_to_completion(asyncio.wait(ending))


async def _each(items: Items) -> AsyncIterator[UploadItem]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
            # An iterable that gives much at once does not keep the event loop.
            await asyncio.sleep(0)


async def _outcome(item: UploadItem, upload: Callable[[UploadItem], Awaitable[UploadReceipt]]) -> UploadOutcome:
    if not isinstance(cast("object", item), UploadItem):
        wrong = ConfigurationError(f"an item must be an UploadItem, not {type(item).__name__}")
        return UploadOutcome(item, error=wrong)
    try:
        return UploadOutcome(item, await upload(item))
    except Exception as error:  # noqa: BLE001 - a failure is an outcome, whatever a source of the caller's raises
        return UploadOutcome(item, error=error)


async def _published(
    outcome: UploadOutcome, receipt: UploadReceipt, wait: Callable[[str], Awaitable[VideoStatus]]
) -> UploadOutcome:
    try:
        return UploadOutcome(outcome.item, receipt, await wait(receipt.file_id))
    except VideoCloudError as error:
        return UploadOutcome(outcome.item, receipt, error=error)
