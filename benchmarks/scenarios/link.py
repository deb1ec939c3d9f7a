"""A real link: how near to its rate, with long round trips, capped connections, and chunk requests that stall."""

from __future__ import annotations

from ..content import MIB
from ..link import Link
from ..stalls import StallPlan
from ..stand import Stand
from ..task import Task
from .base import RATE, Case, Goal, Metric, Plan, Samples, Scenario, UploadCase, ratio, uploaded

_WORKERS = 16
#: Rates in bytes a second, as links are sold: 2 MB/s is 16 Mbit/s.
_FAR = Link(round_trip=0.1, per_connection=2e6, in_all=32e6)
_NEAR = Link(round_trip=0.02, per_connection=10e6, in_all=80e6)

_CLEAN = ("100 ms, 2 MB/s each, 4 MiB", "100 ms, 2 MB/s each, 16 MiB")
_FAULTLESS = "100 ms, 2 MB/s each, 1 MiB"
_STALLED = "the same, with stalls"


def _share(case: Case, seconds: float) -> float:
    assert isinstance(case, UploadCase)
    assert case.link is not None
    return uploaded(case) / seconds / case.link.in_all


_OF_LINK = Metric("% of the link", lambda case, result: 100 * _share(case, result.wall), 1)
_TIME = Metric("seconds", lambda _, result: result.wall, 2)
_AGAIN = Metric("chunks again", lambda _, result: result.retries)


def _cases(plan: Plan, stand: Stand) -> list[Case]:
    # An eighth and not a sixteenth: it must still hold a chunk for every connection.
    files = stand.files("random", plan.scaled(512 * MIB, 8))
    # 0.5 % of the requests; in a smoke run more and shorter ones, since there are too few chunks for that.
    stalls = StallPlan(every=200, seconds=10.0) if not plan.quick else StallPlan(every=30, seconds=2.0)
    rows = (
        ("20 ms, 10 MB/s each, 4 MiB", _NEAR, 4, StallPlan(), ("ours", "raw", "aiohttp", "httpx")),
        (_CLEAN[0], _FAR, 4, StallPlan(), ("ours", "raw", "aiohttp", "httpx")),
        (_CLEAN[1], _FAR, 16, StallPlan(), ("ours", "raw", "httpx")),
        (_FAULTLESS, _FAR, 1, StallPlan(), ("ours", "httpx")),
        (_STALLED, _FAR, 1, stalls, ("ours", "httpx")),
    )
    return [
        UploadCase(
            name, setting, Task(name, files, workers=_WORKERS, chunk_size=chunk * MIB), link=link, stalls=plan_of_stalls
        )
        for setting, link, chunk, plan_of_stalls, names in rows
        for name in plan.among(*names)
        if files.size >= chunk * MIB * _WORKERS
    ]


def _goals(samples: Samples) -> list[Goal]:
    # The better of the two: between two 4 MiB chunks a connection waits for 4.6 % of the time, whoever uses it.
    rate = max((samples.median("ours", setting, RATE) or 0.0 for setting in _CLEAN), default=0.0)
    stalled, faultless = samples.median("ours", _STALLED, _TIME), samples.median("ours", _FAULTLESS, _TIME)
    return [
        *ratio("rate, 100 ms, 2 MB/s each, to 32 MB/s", rate or None, _FAR.in_all / 1e6, 0.95, at_least=True),
        *ratio("time with 0.5 % stalled, to the faultless one", stalled, faultless, 1.25, at_least=False),
    ]


SCENARIO = Scenario("link", "A real link (512 MiB, 16 in flight)", _cases, (_OF_LINK, RATE, _TIME, _AGAIN), _goals)
