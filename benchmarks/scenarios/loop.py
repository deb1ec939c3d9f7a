"""The event loop: how late a heartbeat beside the upload comes while loopback is saturated."""

from __future__ import annotations

from ..content import GIB, MIB
from ..stand import Stand
from ..task import Task
from .base import OTHERS, RATE, Case, Goal, Metric, Plan, Samples, Scenario, UploadCase, ratio

#: Seconds. Finer than the goal, coarse enough not to be a load itself.
_BEAT = 0.002
_IN_FLIGHT = (4, 8, 16)

_LAG = Metric("lag p99 ms", lambda _, result: 1000 * result.lag_p99, 2)
_MIDDLE = Metric("p50 ms", lambda _, result: 1000 * result.lag_p50, 2)
_LONGEST = Metric("max ms", lambda _, result: 1000 * result.lag_max, 1)


def _setting(workers: int) -> str:
    return f"{workers} x 4 MiB"


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    files = stand.files("random", plan.scaled(2 * GIB))
    return [
        UploadCase(name, _setting(workers), Task(name, files, workers=workers, chunk_size=4 * MIB, beat=_BEAT))
        for workers in _IN_FLIGHT
        for name in plan.among("ours", "httpx", "aiohttp", "bystander")
    ]


def _goals(samples: Samples) -> list[Goal]:
    lag = samples.median("ours", _setting(8), _LAG)
    goals = [] if lag is None else [Goal("lag p99 in ms, 8 x 4 MiB", lag, 5.0, at_least=False)]
    for workers in _IN_FLIGHT:
        ours, theirs = (samples.median(name, _setting(workers), _LAG) for name in ("ours", "httpx"))
        goals += ratio(f"lag p99, {_setting(workers)}, to httpx", ours, theirs, 1.0, at_least=False)
    return goals


SCENARIO = Scenario("loop", "The event loop's lag", _cases, (_LAG, _MIDDLE, _LONGEST, RATE, OTHERS), _goals)
