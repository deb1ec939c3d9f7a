"""Many small files over a long way to two hosts: what the round trips of an upload cost, and new connections more."""

from __future__ import annotations

from ..content import KIB
from ..link import Link
from ..stand import Stand
from ..task import Task
from .base import OTHERS, Case, Goal, Metric, Plan, Samples, Scenario, UploadCase, ratio

#: Seconds there and back; the rate is no bound for files of this size.
_LINK = Link(round_trip=0.1)
_AT_ONCE = 32
_SETTING = f"100 ms, two hosts, {_AT_ONCE} at once"


def _uploads(case: Case) -> int:
    assert isinstance(case, UploadCase)
    return case.task.uploads


_FILES = Metric("files/s", lambda case, result: _uploads(case) / result.wall, 1)
_MIDDLE = Metric("p50 ms", lambda _, result: 1000 * result.upload_p50, 1)
_SLOWEST = Metric("p99 ms", lambda _, result: 1000 * result.upload_p99, 1)


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    count = plan.scaled(640)
    files = stand.files("random", 64 * KIB, count)
    task = Task("", files, uploads=count, at_once=_AT_ONCE, workers=_AT_ONCE)
    return [UploadCase(name, _SETTING, task, link=_LINK, hosts=2) for name in plan.among("ours", "aiohttp", "httpx")]


def _goals(samples: Samples) -> list[Goal]:
    ours, theirs = (samples.median(name, _SETTING, _FILES) for name in ("ours", "aiohttp"))
    return ratio(f"files/s, {_SETTING}, to aiohttp", ours, theirs, 1.0, at_least=True)


SCENARIO = Scenario(
    "far", "Small files over a long way (640 of 64 KiB)", _cases, (_FILES, _MIDDLE, _SLOWEST, OTHERS), _goals
)
