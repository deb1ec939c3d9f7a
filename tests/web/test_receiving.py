"""A body on its way, without a server: who gives nothing, who gives too much, who is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from iqiyi_async.stores import GatewayRecord
from iqiyi_async.web.leases import Hold
from iqiyi_async.web.receiving import Body, Turns
from iqiyi_async.web.tus import TusError

pytestmark = pytest.mark.anyio


class Kept:
    """Where bytes go."""

    def __init__(self) -> None:
        self.data = b""

    async def room(self) -> None: ...

    async def write(self, data: bytes) -> None:
        self.data += data


def hold() -> Hold:
    made: Any = None
    return Hold(lambda stop: made, GatewayRecord("0" * 32, "", "{}", 10, 0.0))


def receiving(*messages: Any) -> Callable[[], Any]:
    """Messages of ASGI, and then nothing more."""

    async def all_of_them() -> AsyncIterator[Any]:
        for message in messages:
            yield message
        await asyncio.Event().wait()

    return all_of_them().__anext__


def piece(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_a_body_that_gives_nothing_ends() -> None:
    body, kept = Body(receiving(piece(b"abc")), idle=0.05), Kept()
    with pytest.raises(TusError, match="no byte") as caught:
        await body.pipe(hold(), kept, 10)
    assert (caught.value.status, kept.data, body.complete) == (408, b"abc", False)


async def test_a_body_that_is_too_long_is_not_taken() -> None:
    body, kept = Body(receiving(piece(b"abc"), piece(b"de", more=False))), Kept()
    with pytest.raises(TusError) as caught:
        await body.pipe(hold(), kept, 4)
    assert (caught.value.status, kept.data) == (413, b"abc")


async def test_a_client_that_is_gone_is_noticed() -> None:
    body, kept = Body(receiving(piece(b"abc"), {"type": "http.disconnect"})), Kept()
    await body.pipe(hold(), kept, 10)
    assert (kept.data, body.complete, body.disconnected) == (b"abc", False, True)


async def test_an_interrupted_body_ends_at_once() -> None:
    held, body, kept = hold(), Body(receiving(piece(b"abc"))), Kept()
    asyncio.get_running_loop().call_later(0.05, held.interrupted.set)
    async with asyncio.timeout(1):
        await body.pipe(held, kept, 10)
    assert (kept.data, body.complete, held.received) == (b"abc", False, 3)


async def test_few_bodies_take_a_piece_in_one_turn_of_the_loop() -> None:
    turns, taken, most = Turns(3), [0] * 20, 0
    now: list[int] = []

    async def take(who: int) -> None:
        for _ in range(5):
            await turns.next()
            now.append(who)
            taken[who] += 1

    tasks = [asyncio.create_task(take(who)) for who in range(len(taken))]
    # One that is cancelled while it waits takes no place away.
    await asyncio.sleep(0)
    tasks[-1].cancel()
    while not all(task.done() for task in tasks):
        now.clear()
        await asyncio.sleep(0)
        most = max(most, len(now))
    assert taken[:-1] == [5] * 19
    assert most == 3
