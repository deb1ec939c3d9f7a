"""Many small files: what the four calls of an upload cost, alone and many at a time."""

from __future__ import annotations

from ..content import KIB
from ..stand import Stand
from ..task import Task
from .base import OTHERS, SINK_BUSY, Case, Goal, Metric, Plan, Samples, Scenario, UploadCase, ratio


def _uploads(case: Case) -> int:
    assert isinstance(case, UploadCase)
    return case.task.uploads


_FILES = Metric("files/s", lambda case, result: _uploads(case) / result.wall)
_CPU = Metric("CPU ms/file", lambda case, result: 1000 * result.cpu / _uploads(case), 2)
_MIDDLE = Metric("p50 ms", lambda _, result: 1000 * result.upload_p50, 1)
_SLOWEST = Metric("p99 ms", lambda _, result: 1000 * result.upload_p99, 1)


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    count = plan.scaled(2000)
    files = stand.files("random", 64 * KIB, count)
    return [
        UploadCase(name, f"{many} at once", Task(name, files, uploads=count, at_once=many, workers=many))
        for many in (1, 16, 64, 256)
        for name in plan.among("ours", "raw", "aiohttp", "httpx")
    ]


def _goals(samples: Samples) -> list[Goal]:
    def at(name: str, many: int) -> float | None:
        return samples.median(name, f"{many} at once", _FILES)

    ours = at("ours", 64)
    return [
        *ratio("files/s, 64 at once, to httpx", ours, at("httpx", 64), 4.0, at_least=True),
        *ratio("files/s, 64 at once, to aiohttp", ours, at("aiohttp", 64), 0.75, at_least=True),
        *ratio("files/s, 256 at once, to 64 at once", at("ours", 256), ours, 1.0, at_least=True),
    ]


SCENARIO = Scenario(
    "small",
    "Many small files (2,000 of 64 KiB, four calls each)",
    _cases,
    (_FILES, _CPU, _MIDDLE, _SLOWEST, SINK_BUSY, OTHERS),
    _goals,
)
