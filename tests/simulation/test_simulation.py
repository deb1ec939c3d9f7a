"""Whole uploads in virtual time: what must hold does, the same seed makes the same run, and an outage is not made
worse."""

from __future__ import annotations

import asyncio

import pytest

from .clock import HangError, VirtualLoop
from .outage import OUTAGES, outage
from .world import simulate

#: Some hundred runs, in portions, so that they can be shared by processes.
PORTION, PORTIONS = 60, 8


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_whatever_happens(portion: int) -> None:
    for seed in range(portion * PORTION, (portion + 1) * PORTION):
        run = simulate(seed)
        assert not run.problems, f"{run.problems}; again with: python -m tests.simulation --seed {seed}"


def test_all_kinds_of_ends_are_met() -> None:
    ends = {type(end).__name__ for seed in range(60) for end in simulate(seed).outcomes}
    assert ends >= {"UploadReceipt", "UploadError", "str"}


def test_a_seed_makes_the_same_run_again() -> None:
    for seed in range(40):
        assert simulate(seed).trace == simulate(seed).trace, f"seed {seed}"


@pytest.mark.parametrize("how", OUTAGES)
@pytest.mark.parametrize(("calls", "uploads", "budget"), [(1, 0, 100), (500, 0, 100), (50, 20, 10), (200, 5, 0)])
def test_an_outage_is_not_multiplied(how: str, calls: int, uploads: int, budget: int) -> None:
    storm = outage(how, calls=calls, uploads=uploads, budget=budget)
    assert storm.requests <= storm.bound, storm
    assert storm.requests >= storm.calls, "each call is tried at least once"


def test_time_jumps_and_a_hang_is_known() -> None:
    async def sleep() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(sleep()) == pytest.approx(86_400)
    with pytest.raises(HangError), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(hang())
