"""How a process measures itself: CPU seconds, resident memory, the lateness of its event loop."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_STAT = Path("/proc/stat")
#: Seconds over which quiet is judged; the kernel counts in hundredths.
_WINDOW = 0.5
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def cpu_seconds(*, of_children: bool = False) -> float:
    """User and system time of this process, all threads, without its children; or of those children that have
    ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def machine_seconds() -> float:
    """CPU seconds that the whole machine has spent, by anyone, the host it may be a guest of included; 0 if
    unknown."""
    if not _STAT.exists():
        return 0.0
    user, nice, system, _idle, _wait, irq, softirq, stolen = map(int, _STAT.read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(share: float, limit: float) -> bool:
    """Wait until the machine spends less than a share of its time, but no longer than `limit` seconds; whether it
    does.

    There is no event for it: the kernel only counts.
    """
    until = time.monotonic() + limit
    while True:
        spent, since = machine_seconds(), time.monotonic()
        time.sleep(_WINDOW)
        if (machine_seconds() - spent) / (time.monotonic() - since) / cores() <= share:
            return True
        if time.monotonic() > until:
            return False


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reset_peak() -> int:
    """Forget the highest resident size so far; returns the present one in bytes."""
    if not _CLEAR.exists():
        return peak_rss()
    _CLEAR.write_text("5")
    return _status("VmRSS")


def peak_rss() -> int:
    """The highest resident size in bytes since `reset_peak` (since the start, where the system can't forget it)."""
    if _STATUS.exists():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of them do not exceed; 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    # The nearest rank: never a number between two that happened.
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


class Heartbeat:
    """Beats at fixed times on the event loop and notes how late each came.

    The times are fixed beforehand: a loop that stands still for 50 ms is late for every beat of those 50 ms, as it is
    for every request that comes in meanwhile. Counting one late beat instead would hide the stall.

    Args:
        interval: seconds between beats.
    """

    def __init__(self, interval: float) -> None:
        self.lags: list[float] = []
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._interval:
            self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _beat(self) -> None:
        due = time.perf_counter() + self._interval
        while True:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            while due <= now:
                self.lags.append(now - due)
                due += self._interval
