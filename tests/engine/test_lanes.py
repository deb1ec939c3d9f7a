"""Lanes: as many as there are, first come first served, and none is lost to whoever gives up waiting."""

from __future__ import annotations

import asyncio
import random

import anyio
import pytest

from iqiyi_async._lanes import Lanes

from .tools import in_time

pytestmark = pytest.mark.anyio


class Thing:
    """What lanes are made of here."""

    made = 0

    def __init__(self) -> None:
        Thing.made += 1
        self.users = 0
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def count() -> None:
    Thing.made = 0


async def test_lanes_are_made_when_needed_and_the_warm_one_goes_first() -> None:
    lanes = Lanes(8, Thing)
    async with lanes.borrow() as first:
        pass
    async with lanes.borrow() as second:
        assert first is second
        async with lanes.borrow() as third:
            assert third is not first
    assert Thing.made == 2
    await lanes.aclose()
    assert first.closed
    assert third.closed


async def test_first_come_first_served() -> None:
    lanes = Lanes(1, Thing)
    order: list[int] = []

    async def use(number: int) -> None:
        async with lanes.borrow():
            order.append(number)
            await asyncio.sleep(0)

    held = await lanes.take()
    tasks = [asyncio.ensure_future(use(number)) for number in range(50)]
    await asyncio.sleep(0)
    lanes.give(held)
    # Whoever comes now comes last, even though a lane has just been given back.
    tasks.append(asyncio.ensure_future(use(50)))
    await in_time(asyncio.gather(*tasks))
    assert order == list(range(51))


@pytest.mark.parametrize("seed", range(20))
async def test_no_lane_is_lost_to_those_who_give_up(seed: int) -> None:
    """Waiters are cancelled at random: before their turn, in it, and at the very moment when it comes."""
    chance = random.Random(seed)
    lanes = Lanes(3, Thing)
    most = now = 0

    async def use() -> None:
        nonlocal most, now
        async with lanes.borrow() as thing:
            thing.users += 1
            now += 1
            most = max(most, now)
            assert thing.users == 1, "a lane is one borrower's"
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                thing.users -= 1
                now -= 1

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
    held = [await in_time(lanes.take()) for _ in range(3)]
    assert len(set(map(id, held))) == 3
    assert lanes.free == 0
    for thing in held:
        lanes.give(thing)
    assert lanes.free == 3
    assert Thing.made == 3
