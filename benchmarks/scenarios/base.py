"""What a scenario is made of: cases (what is run), metrics (what is read off a run), goals (what is to be reached).

What must not be here: running and printing.
"""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import processes
from ..link import Link
from ..stalls import StallPlan
from ..stand import Stand
from ..task import Result, Task

#: What ``--quick`` divides sizes and numbers by.
QUICK_DIVISOR = 16


NO_STALLS = StallPlan()


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line.

    Attributes:
        quick: a smoke run: everything small, no goal judged.
        repeats: of every case.
        competitors: those that can be run here and were not excluded.
        noise: the share of the machine that others may take before a run is done again; 0 if it never is.
        loop: event loop of the asyncio competitors.
        profile: folder for the profiles of our own runs, or "".
        extra: further options of our own library.
    """

    quick: bool
    repeats: int
    competitors: tuple[str, ...]
    noise: float = 0.0
    loop: str = "asyncio"
    profile: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def scaled(self, amount: int, divisor: int = QUICK_DIVISOR) -> int:
        """A size or a number, smaller in a smoke run."""
        return amount // divisor if self.quick else amount

    def among(self, *names: str) -> tuple[str, ...]:
        """Those of the names that take part."""
        return tuple(name for name in names if name in self.competitors)


@dataclass(frozen=True)
class Case(ABC):
    """One row of a table.

    Attributes:
        competitor: who.
        setting: under which conditions; competitors of the same setting are run in turn.
    """

    competitor: str
    setting: str

    @property
    def minds_noise(self) -> bool:
        """Whether its figures depend on how much of the machine others take."""
        return True

    @abstractmethod
    def run(self, stand: Stand, plan: Plan, repeat: int) -> Result:
        """Run it once.

        Raises:
            RunFailedError: it broke off, took too long, or did not do its task.
        """


@dataclass(frozen=True)
class UploadCase(Case):
    """A case that uploads.

    Attributes:
        task: what to do; URL, loop, profile and our own options are filled in.
        link: between client and sink, or None.
        hosts: 1, or 2 if the API has an address, and a link, of its own.
        stalls: chunk requests that stall; the seed is the number of the repetition.
        limit: seconds after which a run is killed.
    """

    task: Task
    link: Link | None = None
    hosts: int = 1
    stalls: StallPlan = NO_STALLS
    limit: float = 120.0

    @property
    def minds_noise(self) -> bool:
        """See the base class. A slow link is the bound of whatever goes over it."""
        return self.link is None

    def run(self, stand: Stand, plan: Plan, repeat: int) -> Result:
        """See the base class."""
        ours = self.competitor == "ours"
        profile = ""
        if plan.profile and ours:
            profile = f"{plan.profile}/{self.setting.replace(' ', '-').replace('/', '')}.{repeat}.pstats"
        task = replace(
            self.task,
            competitor=self.competitor,
            url=stand.near_end(self.link, self.task.files.content),
            api=stand.near_end(self.link, self.task.files.content, 1) if self.hosts > 1 else "",
            loop=plan.loop,
            profile=profile,
            extra=plan.extra if ours else {},
        )
        stalls = replace(self.stalls, seed=repeat)
        return processes.run(task, stand.sink(self.task.files.content), limit=self.limit, stalls=stalls)


@dataclass(frozen=True)
class Metric:
    """One column of a table.

    Attributes:
        title: with its unit.
        read: the figure of one run.
        digits: after the point.
    """

    title: str
    read: Callable[[Case, Result], float]
    digits: int = 0


@dataclass(frozen=True)
class Goal:
    """A figure to reach and what it came to. `limit` is a lower bound if `at_least`, or else an upper one."""

    what: str
    value: float
    limit: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


class Samples:
    """All runs of a scenario."""

    def __init__(self) -> None:
        self.results: dict[Case, list[Result]] = {}

    def add(self, case: Case, result: Result) -> None:
        """Keep a run."""
        self.results.setdefault(case, []).append(result)

    def drop_empty(self) -> None:
        """Forget cases of which no run came to its end."""
        self.results = {case: results for case, results in self.results.items() if results}

    def of(self, competitor: str) -> list[Case]:
        """The cases of a competitor that have results."""
        return [case for case in self.results if case.competitor == competitor]

    def values(self, case: Case, metric: Metric) -> list[float]:
        """A metric's figures of every run of a case."""
        return [metric.read(case, result) for result in self.results[case]]

    def median(self, competitor: str, setting: str, metric: Metric) -> float | None:
        """A metric's median, or None if the case was not run."""
        for case in self.of(competitor):
            if case.setting == setting:
                return statistics.median(self.values(case, metric))
        return None

    def best(self, competitor: str, metric: Metric) -> tuple[float, str] | None:
        """The highest median of a competitor over all settings, and that setting."""
        medians = [(statistics.median(self.values(case, metric)), case.setting) for case in self.of(competitor)]
        return max(medians, default=None)


def ratio(what: str, above: float | None, below: float | None, limit: float, *, at_least: bool) -> list[Goal]:
    """A goal for the ratio of two figures; none if one of them is missing."""
    if above is None or not below:
        return []
    return [Goal(what, above / below, limit, at_least)]


@dataclass(frozen=True)
class Scenario:
    """One table of the benchmark.

    Attributes:
        name: on the command line.
        title: above the table.
        cases: what is run.
        metrics: what is read off it; of the first one the table shows the lowest and the highest, too.
        goals: what is to be reached.
    """

    name: str
    title: str
    cases: Callable[[Plan, Stand], Sequence[Case]]
    metrics: tuple[Metric, ...]
    goals: Callable[[Samples], list[Goal]]


def uploaded(case: Case) -> int:
    """The bytes of a case's files."""
    assert isinstance(case, UploadCase)
    return case.task.total


RATE = Metric("MB/s", lambda case, result: uploaded(case) / result.wall / 1e6)
OTHERS = Metric("others %", lambda _, result: 100 * result.others)
SINK_BUSY = Metric("sink busy %", lambda _, result: 100 * result.sink_cpu / result.wall)
