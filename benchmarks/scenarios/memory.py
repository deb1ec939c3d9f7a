"""Memory: how much more a process holds while it uploads something huge, many things at once, or many in a row."""

from __future__ import annotations

from ..content import GIB, KIB, MIB
from ..stand import Stand
from ..task import Task
from .base import Case, Goal, Metric, Plan, Samples, Scenario, UploadCase

_WORKERS, _CHUNK = 8, 4 * MIB
_HUGE, _MANY, _ROW = "16 GiB sparse", "100 at once", "5,000 in a row"

#: MiB: two buffers' worth for each worker and something for objects.
_LIMIT = (2 * _WORKERS * _CHUNK + 24 * MIB) / MIB

_GROWTH = Metric("RSS growth MiB", lambda _, result: (result.rss_peak - result.rss_before) / MIB, 1)
_TIME = Metric("seconds", lambda _, result: result.wall, 1)


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    huge = stand.files("zero", plan.scaled(16 * GIB))
    many = stand.files("zero", plan.scaled(32 * MIB), 100)
    small = stand.files("random", 64 * KIB, 100)
    row = plan.scaled(5000)
    return [
        UploadCase(
            name,
            setting,
            Task(name, files, workers=_WORKERS, chunk_size=_CHUNK, uploads=uploads, at_once=at_once),
            limit=300.0,
        )
        for setting, files, uploads, at_once in ((_HUGE, huge, 1, 1), (_MANY, many, 100, 100), (_ROW, small, row, 1))
        for name in plan.among("ours", "httpx")
    ]


def _goals(samples: Samples) -> list[Goal]:
    goals: list[Goal] = []
    for setting in (_HUGE, _MANY, _ROW):
        growth = samples.median("ours", setting, _GROWTH)
        if growth is not None:
            goals.append(Goal(f"RSS growth in MiB, {setting}", growth, _LIMIT, at_least=False))
    return goals


SCENARIO = Scenario("memory", "Memory (8 x 4 MiB)", _cases, (_GROWTH, _TIME), _goals)
