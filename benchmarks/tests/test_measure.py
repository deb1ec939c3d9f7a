"""How a process measures itself."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import Heartbeat, cpu_seconds, peak_rss, percentile, reset_peak


@given(st.lists(st.floats(0, 1000), min_size=1), st.sampled_from([0.5, 0.99, 1.0]))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


def test_known_percentiles() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([], 0.5) == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_every_beat_of_a_standstill_is_late() -> None:
    async with Heartbeat(0.002) as heart:
        await asyncio.sleep(0.02)
        time.sleep(0.1)
        await asyncio.sleep(0.02)
    assert 0.09 < max(heart.lags) < 0.3
    assert sum(lag > 0.01 for lag in heart.lags) >= 40, "50 beats were due, whatever came of them"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_beats_unless_asked_for() -> None:
    async with Heartbeat(0) as heart:
        await asyncio.sleep(0.01)
    assert heart.lags == []


def test_memory_that_was_given_back_still_counts() -> None:
    before = reset_peak()
    held = bytearray(b"x" * 32 * 1024 * 1024)
    del held
    assert peak_rss() - before > 24 * 1024 * 1024


def test_cpu_is_not_wall_time() -> None:
    begun = cpu_seconds()
    time.sleep(0.1)
    idle = cpu_seconds() - begun
    until = time.thread_time() + 0.1
    while time.thread_time() < until:
        pass
    assert idle < 0.05
    assert cpu_seconds() - begun - idle >= 0.09
