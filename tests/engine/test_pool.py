"""The pool of connections: kept by origin, a bounded number, first come first served, and none lost to those who give
up waiting."""

from __future__ import annotations

import asyncio
import random

import anyio
import httpx
import pytest

from iqiyi_async.transport import ConnectionPool

from .tools import in_time

pytestmark = pytest.mark.anyio


class Thing:
    """What a pool is made of here."""

    def __init__(self) -> None:
        self.users = 0
        self.reusable = True
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


async def test_the_connection_that_was_used_last_goes_first() -> None:
    pool = ConnectionPool(8)
    first, second = await pool.acquire("a", Thing), await pool.acquire("a", Thing)
    pool.release(first)
    pool.release(second)
    assert await pool.acquire("a", Thing) is second
    assert await pool.acquire("a", Thing, fresh=True) not in (first, second)
    assert await pool.acquire("a", Thing) is first


async def test_connections_are_for_their_origin_and_their_maker() -> None:
    class Other(Thing):
        """Of another client."""

    pool = ConnectionPool(8)
    lane = await pool.acquire("a", Thing)
    pool.release(lane)
    assert await pool.acquire("b", Thing) is not lane
    assert await pool.acquire("a", Other) is not lane
    assert await pool.acquire("a", Thing) is lane


async def test_a_warm_one_is_closed_only_for_want_of_room() -> None:
    pool = ConnectionPool(3)
    lanes = []
    for origin in "abc":
        lane = await pool.acquire(origin, Thing)
        pool.release(lane)
        lanes.append(lane)
    again = await pool.acquire("a", Thing)
    pool.release(again)
    assert again is lanes[0]
    pool.release(await pool.acquire("d", Thing))
    assert [lane.closed for lane in lanes] == [False, True, False], "the one that was idle for longest"


async def test_what_can_not_be_used_again_is_closed() -> None:
    pool = ConnectionPool(3)
    lane = await pool.acquire("a", Thing)
    lane.reusable = False
    pool.release(lane)
    assert lane.closed
    kept = await pool.acquire("a", Thing)
    pool.release(kept)
    kept.reusable = False
    assert await pool.acquire("a", Thing) not in (lane, kept)
    assert kept.closed


async def test_first_come_first_served() -> None:
    pool = ConnectionPool(1)
    order: list[int] = []

    async def use(number: int) -> None:
        lane = await pool.acquire("a", Thing)
        order.append(number)
        await asyncio.sleep(0)
        pool.release(lane)

    held = await pool.acquire("b", Thing)
    tasks = [asyncio.ensure_future(use(number)) for number in range(50)]
    await asyncio.sleep(0)
    pool.release(held)
    tasks.append(asyncio.ensure_future(use(50)))
    await in_time(asyncio.gather(*tasks))
    assert order == list(range(51))


@pytest.mark.parametrize("seed", range(20))
async def test_no_connection_is_lost_to_those_who_give_up(seed: int) -> None:
    """Waiters are cancelled at random: before their turn, in it, and at the very moment when it comes."""
    chance = random.Random(seed)
    pool = ConnectionPool(3)
    most = now = 0

    async def use() -> None:
        nonlocal most, now
        lane = await pool.acquire(chance.choice("ab"), Thing)
        try:
            lane.users += 1
            now += 1
            most = max(most, now)
            assert lane.users == 1, "a connection is one request's"
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            lane.users -= 1
            now -= 1
            pool.release(lane)

    async def give_up() -> None:
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await use()

    tasks = [asyncio.ensure_future(chance.choice([use, use, give_up])()) for _ in range(200)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 3
    assert pool.busy == 0
    held = [await in_time(pool.acquire("a", Thing)) for _ in range(3)]
    assert len(set(map(id, held))) == 3
    waiting = asyncio.ensure_future(pool.acquire("a", Thing))
    await asyncio.sleep(0)
    assert not waiting.done()
    pool.release(held[0])
    assert await in_time(waiting) is held[0]
