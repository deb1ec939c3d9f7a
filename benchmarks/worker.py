"""One run: ``python -m benchmarks.worker`` reads a `Task` from its standard input and prints a `Result`.

The process belongs to one competitor alone, so that CPU seconds and resident memory are its own. The code is loaded
and one small file goes up through a client of its own before anything is measured.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from .competitors import Competitor, load
from .competitors.base import AsyncCompetitor, ThreadedCompetitor
from .content import PERIOD, Content
from .measure import Heartbeat, cpu_seconds, machine_seconds, peak_rss, percentile, reset_peak
from .task import Result, Task

T = TypeVar("T")


@dataclass
class Meter:
    """What is read before and after a run."""

    wall: float = 0.0
    cpu: float = 0.0
    machine_cpu: float = 0.0
    rss_before: int = 0
    rss_peak: int = 0
    uploads: list[float] = field(default_factory=list[float])
    lags: list[float] = field(default_factory=list[float])

    @contextmanager
    def measuring(self, profile: str) -> Generator[None]:
        """Measure the block, and profile its thread into a file if one is named."""
        gc.collect()
        self.rss_before = reset_peak()
        profiler = cProfile.Profile() if profile else None
        children = cpu_seconds(of_children=True)
        machine, cpu, wall = machine_seconds(), cpu_seconds(), time.perf_counter()
        if profiler:
            profiler.enable()
        yield
        if profiler:
            profiler.disable()
            profiler.dump_stats(profile)
        self.wall, self.cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        self.machine_cpu = machine_seconds() - machine - (cpu_seconds(of_children=True) - children)
        self.rss_peak = peak_rss()

    def result(self) -> Result:
        """As it is told."""
        return Result(
            wall=self.wall,
            cpu=self.cpu,
            rss_before=self.rss_before,
            rss_peak=self.rss_peak,
            upload_p50=percentile(self.uploads, 0.5),
            upload_p99=percentile(self.uploads, 0.99),
            lag_p50=percentile(self.lags, 0.5),
            lag_p99=percentile(self.lags, 0.99),
            lag_max=max(self.lags, default=0.0),
            machine_cpu=self.machine_cpu,
        )


def work(task: Task) -> Iterator[tuple[Path, str]]:
    """The files of a task with the names they get, each name once."""
    for index in range(task.uploads):
        yield Path(task.files.paths[index % len(task.files.paths)]), f"Holiday {index:05}"


async def run_async(kind: type[AsyncCompetitor], task: Task, meter: Meter) -> None:
    """All uploads of a task on the event loop, `at_once` of them at the same time."""
    todo = work(task)

    async def lane(client: AsyncCompetitor) -> None:
        for path, name in todo:
            begun = time.perf_counter()
            await client.upload(path, name)
            meter.uploads.append(time.perf_counter() - begun)

    async with kind(task) as client, Heartbeat(task.beat) as heart:
        with meter.measuring(task.profile):
            async with asyncio.TaskGroup() as lanes:
                for _ in range(min(task.at_once, task.uploads)):
                    lanes.create_task(lane(client))
        meter.lags = heart.lags


def run_threads(kind: type[ThreadedCompetitor], task: Task, meter: Meter) -> None:
    """All uploads of a task in threads, `at_once` of them at the same time."""
    with kind(task) as client, ThreadPoolExecutor(task.at_once) as lanes, meter.measuring(task.profile):

        def one(piece: tuple[Path, str]) -> None:
            begun = time.perf_counter()
            client.upload(*piece)
            meter.uploads.append(time.perf_counter() - begun)

        for _ in lanes.map(one, work(task)):
            pass


def run(task: Task) -> Result:
    """Warm up, then measure."""
    kind = load(task.competitor)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "first.mp4")
        path.write_bytes(Content(task.files.content).read(0, PERIOD))
        first = replace(
            task, files=replace(task.files, paths=(str(path),), size=PERIOD), uploads=1, at_once=1, beat=0.0, profile=""
        )
        _dispatch(kind, first, Meter())
    meter = Meter()
    _dispatch(kind, task, meter)
    return meter.result()


def _dispatch(kind: type[Competitor], task: Task, meter: Meter) -> None:
    if issubclass(kind, AsyncCompetitor):
        _on_loop(task.loop)(run_async(kind, task, meter))
    elif issubclass(kind, ThreadedCompetitor):
        run_threads(kind, task, meter)


def _on_loop(name: str) -> Callable[[Coroutine[Any, Any, T]], T]:
    if name == "uvloop":
        import uvloop

        return uvloop.run
    return asyncio.run


def main() -> None:
    """Read, run, tell."""
    print(run(Task.from_json(sys.stdin.read())).to_json())


if __name__ == "__main__":
    main()
