"""The sink's own ceiling: what it takes from a client that neither reads nor hashes. No goal, but a check of the rest.

A rate of any other table that comes near to these would be the sink's and not the competitor's.
"""

from __future__ import annotations

from ..content import GIB, KIB, MIB
from ..stand import Stand
from ..task import Task
from .base import RATE, SINK_BUSY, Case, Metric, Plan, Scenario, UploadCase


def _requests(case: Case) -> int:
    assert isinstance(case, UploadCase)
    return 4 * case.task.uploads


_REQUESTS = Metric("requests/s", lambda case, result: _requests(case) / result.wall)
_COST = Metric("sink us/request", lambda case, result: 1e6 * result.sink_cpu / _requests(case), 1)


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    count = plan.scaled(2000)
    one, many = stand.files("random", plan.scaled(GIB)), stand.files("random", 64 * KIB, count)
    cases: list[Case] = []
    for name in plan.among("hollow"):
        big = Task(name, one, workers=8, chunk_size=4 * MIB)
        small = Task(name, many, uploads=count, at_once=4, workers=4)
        cases += [UploadCase(name, "1 GiB, 8 x 4 MiB", big), UploadCase(name, "2,000 of 64 KiB, 4 at once", small)]
    return cases


SCENARIO = Scenario("sink", "The sink's ceiling", _cases, (RATE, SINK_BUSY, _REQUESTS, _COST), lambda _: [])
