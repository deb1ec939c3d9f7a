"""The progress of an upload for browsers, as server-sent events: from any worker process, by looking at the store."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .. import AsyncVideoCloud, VideoCloudError
from ..stores import GatewayJournal, GatewayRecord, GatewayState
from ._client import check_usable

logger: logging.Logger = logging.getLogger(__name__)

#: How often the store is looked at, and how often at least something is said, in seconds.
LOOK, ALIVE = 0.5, 15.0

#: The last event: a browser that comes back with it is told that there is nothing more.
LAST = "end"

_NAMES = {
    GatewayState.OPEN: "receiving",
    GatewayState.FINISHED: "publishing",
    GatewayState.DONE: "publishing",
    GatewayState.REFUSED: "refused",
    GatewayState.CANCELLED: "cancelled",
    GatewayState.EXPIRED: "expired",
}


def events(
    cloud: AsyncVideoCloud, store: GatewayJournal, record: GatewayRecord, request: Request, closed: asyncio.Event
) -> Response:
    """The answer to ``GET .../events``: one event whenever something has changed.

    Each is a JSON object: ``state`` (receiving, publishing, published, failed, refused, cancelled, expired), ``size``,
    ``received`` (bytes from the browser), ``accepted`` (bytes at the service), ``file_id`` and ``problem``. All but
    receiving and publishing are the last. While the store can't be asked nothing is said. It ends without a last event
    when the gateway is `closed`, or its client: a browser then asks again, and another worker answers.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.headers.get("last-event-id") == LAST:
        # The only answer after which an EventSource does not come back.
        return Response(status_code=204, headers=headers)
    stream = _stream(cloud, store, record, closed)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(
    cloud: AsyncVideoCloud, store: GatewayJournal, record: GatewayRecord, closed: asyncio.Event
) -> AsyncGenerator[str, None]:
    clock = asyncio.get_running_loop().time
    said, at = "", clock()
    now: GatewayRecord | None = record
    while now is not None:
        text = _text(now, "publishing" if now.untold else _NAMES[now.state])
        if now.state not in (GatewayState.OPEN, GatewayState.DONE) and not now.untold:
            yield _event(text, last=True)
            return
        if text != said:
            said, at = text, clock()
            yield _event(text)
        elif clock() >= at + ALIVE:
            at = clock()
            yield ": alive\n\n"
        if now.state is GatewayState.DONE:
            async for each in _until_published(cloud, now, closed):
                yield each
            return
        with anyio.move_on_after(LOOK):
            await closed.wait()
        if _is_over(cloud, closed):
            return
        try:
            now = await store.load_upload(record.key)
        except Exception as problem:  # noqa: BLE001 - of any store; the next look comes
            logger.warning("the store of the gateway failed (%s: %s)", type(problem).__name__, problem)
    yield _event(_text(record, "cancelled"), last=True)


async def _until_published(
    cloud: AsyncVideoCloud, record: GatewayRecord, closed: asyncio.Event
) -> AsyncGenerator[str, None]:
    waiting = asyncio.create_task(cloud.wait_until_published(record.file_id))
    closing = asyncio.create_task(closed.wait())
    try:
        while not waiting.done():
            done, _ = await asyncio.wait([waiting, closing], timeout=ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if closing in done:
                return
            if not done:
                yield ": alive\n\n"
        try:
            await waiting
        except VideoCloudError as problem:
            if not _is_over(cloud, closed):
                yield _event(_text(record, "failed", str(problem)), last=True)
        else:
            yield _event(_text(record, "published"), last=True)
    finally:
        waiting.cancel()
        closing.cancel()


def _is_over(cloud: AsyncVideoCloud, closed: asyncio.Event) -> bool:
    """Whether this process ends: that says nothing about the upload."""
    try:
        check_usable(cloud)
    except VideoCloudError:
        return True
    return closed.is_set()


def _text(record: GatewayRecord, state: str, problem: str = "") -> str:
    return json.dumps(
        {
            "state": state,
            "size": record.size,
            "received": max(record.received, record.offset),
            "accepted": record.offset,
            "file_id": record.file_id,
            "problem": problem or record.problem,
        }
    )


def _event(data: str, *, last: bool = False) -> str:
    return (f"id: {LAST}\n" if last else "") + f"data: {data}\n\n"
