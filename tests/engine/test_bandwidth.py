"""The limits of bytes and requests a second, under a clock that jumps from timer to timer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async import ConfigurationError
from iqiyi_async._fair_queue import Turn
from iqiyi_async.upload.sharing.bandwidth import (
    BURST_SECONDS,
    LEAST_PIECE,
    BandwidthLimiter,
    RequestLimiter,
    TokenBucket,
)

from ..simulation.clock import HangError, VirtualLoop

Writes = list[tuple[float, int]]


def simulate(test: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine where time passes only while everybody waits."""
    loop = VirtualLoop()
    main = loop.create_task(test())  # type: ignore[arg-type]
    try:
        loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def limiter(rate: int | None) -> BandwidthLimiter:
    return BandwidthLimiter(rate, asyncio.get_running_loop().time)


async def write(limit: BandwidthLimiter, writes: Writes, turn: Turn = Turn(), *, size: int = 256 * 1024) -> None:  # noqa: B008
    """Write without end."""
    loop = asyncio.get_running_loop()
    while True:
        given = await limit.take(size, turn)
        assert 1 <= given <= size
        writes.append((loop.time(), given))
        if limit.rate is None:
            await asyncio.sleep(0.001)


async def write_for(seconds: float, limit: BandwidthLimiter, *turns: Turn) -> list[Writes]:
    """Let several write for some seconds; what each wrote."""
    written: list[Writes] = [[] for _ in turns]
    writers = [asyncio.create_task(write(limit, each, turn)) for each, turn in zip(written, turns, strict=True)]
    await asyncio.sleep(seconds)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    return written


def most_in_any_second(writes: Writes) -> int:
    most, total, first = 0, 0, 0
    for at, size in writes:
        total += size
        while writes[first][0] <= at - 1.0:
            total -= writes[first][1]
            first += 1
        most = max(most, total)
    return most


@pytest.mark.parametrize("rate", [5_000, 65_536, 1_000_000, 20_000_000, 1_000_000_000])
@pytest.mark.parametrize("writers", [1, 8])
def test_the_rate_is_held(rate: int, writers: int) -> None:
    async def test() -> None:
        written = await write_for(11.0, limiter(rate), *[Turn()] * writers)
        writes = sorted(chain.from_iterable(written))
        assert most_in_any_second(writes) <= rate + max(rate * BURST_SECONDS, LEAST_PIECE)
        late = sum(size for at, size in writes if 1.0 < at <= 11.0)
        assert late == pytest.approx(rate * 10, rel=0.03, abs=LEAST_PIECE)

    simulate(test)


def test_after_a_silence_no_more_than_the_burst_is_caught_up_with() -> None:
    async def test() -> None:
        limit = limiter(1_000_000)
        await asyncio.sleep(60)
        (writes,) = await write_for(10.0, limit, Turn())
        assert most_in_any_second(writes) <= 1_000_000 * (1 + BURST_SECONDS)
        assert sum(size for _, size in writes) <= 10_000_000 * 1.03

    simulate(test)


def test_pieces_are_short_enough_for_many_to_take_turns() -> None:
    async def test() -> None:
        assert limiter(None).piece(4 << 20) == 4 << 20
        assert limiter(20_000_000).piece(4 << 20) == 1_000_000
        assert limiter(20_000_000).piece(10) == 10
        assert limiter(1).piece(4 << 20) == LEAST_PIECE
        assert limiter(0).piece(4 << 20) == LEAST_PIECE

    simulate(test)


def test_as_many_workers_as_have_use_for_it() -> None:
    async def test() -> None:
        assert [limiter(rate).workers(8) for rate in (None, 0, 1, 65_536, 200_000, 10**9)] == [8, 1, 1, 1, 3, 8]

    simulate(test)


def test_no_limit_waits_for_nothing() -> None:
    async def test() -> None:
        limit = limiter(None)
        for _ in range(1000):
            assert await limit.take(1 << 20) == 1 << 20
        assert asyncio.get_running_loop().time() == 0.0

    simulate(test)


def test_writers_take_turns() -> None:
    async def test() -> None:
        written = await write_for(10.0, limiter(1_000_000), *[Turn()] * 5)
        totals = [sum(size for _, size in writes) for writes in written]
        assert max(totals) - min(totals) <= limiter(1_000_000).piece(1 << 20)

    simulate(test)


def test_groups_have_equal_shares_however_many_write() -> None:
    async def test() -> None:
        turns = [*[Turn("many")] * 7, Turn("one")]
        written = await write_for(10.0, limiter(1_000_000), *turns)
        totals: Counter[str | None] = Counter()
        for turn, writes in zip(turns, written, strict=True):
            totals[turn.group] += sum(size for _, size in writes)
        assert totals["one"] == pytest.approx(totals["many"], rel=0.05)

    simulate(test)


def test_the_rate_changes_under_way() -> None:
    async def test() -> None:
        limit = limiter(1_000_000)
        writes: Writes = []
        writer = asyncio.create_task(write(limit, writes))
        for rate in (1_000_000, 100_000, 5_000_000):
            limit.set_rate(rate)
            await asyncio.sleep(0.5)
            writes.clear()
            await asyncio.sleep(10)
            assert sum(size for _, size in writes) == pytest.approx(rate * 10, rel=0.03)
        writer.cancel()

    simulate(test)


def test_a_pause_ends_when_the_rate_changes() -> None:
    async def test() -> None:
        limit = limiter(0)
        takers = [asyncio.create_task(limit.take(1000)) for _ in range(3)]
        await asyncio.sleep(3600)
        assert limit.waiting == 3
        assert not any(taker.done() for taker in takers)
        limit.set_rate(None)
        assert await asyncio.gather(*takers) == [1000] * 3
        assert limit.waiting == 0

    simulate(test)


def test_a_pause_sets_no_timer() -> None:
    async def test() -> None:
        await limiter(0).take(1)

    with pytest.raises(HangError):
        simulate(test)


def test_who_waits_long_under_a_low_rate_is_served_once_it_is_high() -> None:
    async def test() -> None:
        limit = limiter(1)
        taker = asyncio.create_task(limit.take(4096))
        await asyncio.sleep(1)
        limit.set_rate(1_000_000)
        assert await taker == 4096
        assert asyncio.get_running_loop().time() < 1.1

    simulate(test)


def test_who_is_cancelled_takes_nothing() -> None:
    async def test() -> None:
        limit = limiter(1_000_000)
        loop = asyncio.get_running_loop()
        takers = [asyncio.create_task(limit.take(50_000)) for _ in range(100)]
        await asyncio.sleep(0)
        for taker in takers[:-1]:
            taker.cancel()
        await takers[-1]
        assert loop.time() <= 0.06
        assert limit.waiting == 0

    simulate(test)


def test_who_is_cancelled_when_its_turn_came_gives_it_back() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        limit = limiter(4096)
        first = asyncio.create_task(limit.take(4096))
        second = asyncio.create_task(limit.take(4096))
        await asyncio.sleep(0)
        # Runs after the timer of the limit, and before the first task does.
        loop.call_at(1.0, first.cancel)
        await second
        assert first.cancelled()
        assert loop.time() == 1.0

    simulate(test)


def test_a_pause_gives_nothing_of_what_was_saved() -> None:
    async def test() -> None:
        limit = limiter(1_000_000)
        await asyncio.sleep(1)
        limit.set_rate(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await limit.take(1)

    simulate(test)


@pytest.mark.parametrize("rate", [-1, 1.5, True, "20MB"])
def test_what_is_no_rate(rate: object) -> None:
    async def test() -> None:
        limit = limiter(1000)
        with pytest.raises(ConfigurationError, match="max_bandwidth"):
            limit.set_rate(rate)  # type: ignore[arg-type]
        assert limit.rate == 1000

    simulate(test)


@pytest.mark.parametrize("rate", [0.5, 5, 20, 2000])
def test_requests_are_held_to_their_rate(rate: float) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        limit = RequestLimiter(rate, loop.time)
        times: Writes = []

        async def ask() -> None:
            while True:
                await limit.take()
                times.append((loop.time(), 1))

        async with asyncio.timeout(20):
            asking = [asyncio.create_task(ask()) for _ in range(3)]
            await asyncio.sleep(19)
        for each in asking:
            each.cancel()
        assert times[0][0] == 0.0
        assert most_in_any_second(times) <= max(1, rate + max(0, rate * 0.02))
        assert len(times) == pytest.approx(19 * rate, rel=0.03, abs=1)

    simulate(test)


def test_requests_without_a_limit() -> None:
    async def test() -> None:
        limit = RequestLimiter(None, asyncio.get_running_loop().time)
        for _ in range(100):
            await limit.take()
        assert asyncio.get_running_loop().time() == 0.0

    simulate(test)


@given(
    st.floats(1, 1e9),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), max_size=50),
)
def test_a_bucket_gives_no_more_than_came_in(rate: float, steps: list[tuple[float, float]]) -> None:
    bucket = TokenBucket(rate, rate / 4, 0.0, 0.0)
    now = spent = 0.0
    for pause, part in steps:
        now += pause
        units = part * bucket.bound
        wait = bucket.wait_for(units, now)
        now += wait
        if bucket.wait_for(units, now) > 0:
            assert bucket.wait_for(units, now) < 1e-6
            continue
        bucket.spend(units)
        spent += units
        assert bucket.saved <= bucket.bound
        assert spent <= rate * now * (1 + 1e-9) + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(10, 100, 0.0, 50.0)
    assert bucket.wait_for(10, 40.0) == 1.0
    assert bucket.wait_for(10, 51.0) == 0.0
