"""What a benchmark says: a table for each scenario, the goals, and all of it as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .measure import cores
from .scenarios.base import Case, Goal, Metric, Samples, Scenario

#: Whose versions a figure depends on.
_PACKAGES = ("iqiyi-async", "httpx", "httpcore", "h11", "anyio", "sniffio", "aiofiles")
_OPTIONAL = ("aiohttp", "pycurl", "requests", "uvloop")


def table(scenario: Scenario, samples: Samples, *, quick: bool) -> Table:
    """The medians of a scenario, with the range of the first metric."""
    made = Table(title=scenario.title + (", all smaller in a smoke run" if quick else ""), title_justify="left")
    made.add_column("setting")
    made.add_column("who")
    first, *others = scenario.metrics
    made.add_column(first.title, justify="right")
    made.add_column("lowest - highest", justify="right", style="dim")
    for metric in others:
        made.add_column(metric.title, justify="right")
    last = ""
    for case in samples.results:
        if last and case.setting != last:
            made.add_section()
        values = samples.values(case, first)
        made.add_row(
            case.setting if case.setting != last else "",
            case.competitor,
            _figure(statistics.median(values), first),
            f"{_figure(min(values), first)} - {_figure(max(values), first)}",
            *(_figure(statistics.median(samples.values(case, metric)), metric) for metric in others),
            style="bold" if case.competitor == "ours" else None,
        )
        last = case.setting
    return made


def goals_table(goals: Sequence[Goal], *, judged: bool) -> Table:
    """What was to be reached; without a verdict if the run was only a smoke run."""
    made = Table(title="Goals" if judged else "Goals (a smoke run: not to be judged)", title_justify="left")
    made.add_column("what")
    made.add_column("goal", justify="right")
    made.add_column("figure", justify="right")
    made.add_column("")
    for goal in goals:
        verdict = ("[green]met" if goal.met else "[red]missed") if judged else ""
        made.add_row(goal.what, f"{'>=' if goal.at_least else '<='} {goal.limit:g}", f"{goal.value:.2f}", verdict)
    return made


def _figure(value: float, metric: Metric) -> str:
    return f"{value:,.{metric.digits}f}"


def as_json(scenario: Scenario, samples: Samples) -> dict[str, Any]:
    """Every run of a scenario and the figures made of them."""
    return {"title": scenario.title, "rows": [_row(scenario, samples, case) for case in samples.results]}


def _row(scenario: Scenario, samples: Samples, case: Case) -> dict[str, Any]:
    figures: dict[str, dict[str, float]] = {}
    for metric in scenario.metrics:
        values = samples.values(case, metric)
        figures[metric.title] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {
        "setting": case.setting,
        "competitor": case.competitor,
        "figures": figures,
        "runs": [asdict(result) for result in samples.results[case]],
    }


def goals_json(goals: Sequence[Goal], *, judged: bool) -> list[dict[str, Any]]:
    """The goals; `met` is null in a smoke run."""
    return [{**asdict(goal), "met": goal.met if judged else None} for goal in goals]


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory": memory,
        "system": platform.platform(),
        "load": os.getloadavg(),
    }


def versions() -> dict[str, str]:
    """Of Python and of every package that is installed and matters."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES + _OPTIONAL:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def console() -> Console:
    """For the tables; wide enough for them when the output is a file."""
    made = Console()
    return made if made.is_terminal else Console(width=150)
