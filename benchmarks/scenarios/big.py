"""One big file: how near to the floor, and what it costs."""

from __future__ import annotations

from ..content import GIB, MIB
from ..stand import Stand
from ..task import Task
from .base import OTHERS, RATE, SINK_BUSY, Case, Goal, Metric, Plan, Samples, Scenario, UploadCase, ratio, uploaded

_CPU = Metric("CPU s/GiB", lambda case, result: result.cpu * GIB / uploaded(case), 2)
_PEAK = Metric("peak RSS MiB", lambda _, result: result.rss_peak / MIB)


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    files = stand.files("random", plan.scaled(GIB))
    return [
        UploadCase(name, f"{workers} x {chunk} MiB", Task(name, files, workers=workers, chunk_size=chunk * MIB))
        for workers in (4, 8)
        for chunk in (1, 4, 16)
        for name in plan.among("ours", "raw", "pycurl", "aiohttp", "httpx", "requests")
    ]


def _goals(samples: Samples) -> list[Goal]:
    ours = samples.best("ours", RATE)
    if ours is None:
        return []
    goals: list[Goal] = []
    for name, limit in (("pycurl", 1.0), ("httpx", 1.2), ("raw", 0.95)):
        theirs = samples.best(name, RATE)
        goals += ratio(f"best rate, to {name}", ours[0], theirs and theirs[0], limit, at_least=True)
    setting = ours[1]
    cpu, floor = samples.median("ours", setting, _CPU), samples.median("raw", setting, _CPU)
    return goals + ratio(f"CPU per GiB at {setting}, to raw", cpu, floor, 1.25, at_least=False)


SCENARIO = Scenario("big", "One big file (1 GiB)", _cases, (RATE, _CPU, _PEAK, SINK_BUSY, OTHERS), _goals)
