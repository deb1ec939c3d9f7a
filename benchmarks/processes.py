"""Starting the processes of a benchmark and talking to them; nothing that is started here outlives its block.

A server prints its URL as one line of JSON and ends with its standard input, so it ends even if this process is
killed. Each process has a session of its own: an interrupt at the terminal comes here, and is passed on by ending
them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from .link import Link
from .stalls import StallPlan
from .task import Result, Task

#: Where `benchmarks` and `iqiyi_async` are found by ``python -m``.
CHECKOUT = Path(__file__).resolve().parent.parent

#: Seconds that a server gets to end by itself.
_GRACE = 5.0


class RunFailedError(Exception):
    """A run broke off, took too long, or did not do its task."""


@contextlib.contextmanager
def server(module: str, *arguments: str) -> Generator[str]:
    """A server process for the time of the block; gives its URL."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RunFailedError(f"{module} did not start")
            yield json.loads(line)["url"]
        finally:
            process.stdin.close()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def sink(content: str = "random", *, check: bool = False) -> Generator[str]:
    """A sink process; gives its URL."""
    with server("benchmarks.sink", "--content", content, *(["--check"] if check else [])) as url:
        yield url


@contextlib.contextmanager
def link(properties: Link, target: str) -> Generator[str]:
    """A slow link to `target` in a process of its own; gives its near end's URL."""
    with server(
        "benchmarks.link",
        target,
        f"--round-trip={properties.round_trip}",
        f"--per-connection={properties.per_connection}",
        f"--in-all={properties.in_all}",
    ) as url:
        yield url


def reset(url: str, stalls: StallPlan, latency: float = 0.0) -> None:
    """Tell a sink to count from zero, which requests shall stall, and how long each takes (seconds)."""
    plan = {"stall_every": stalls.every, "stall_seconds": stalls.seconds, "stall_seed": stalls.seed, "latency": latency}
    _ask(url, f"/__sink__/reset?{urlencode(plan)}")


def counts(url: str) -> dict[str, Any]:
    """What a sink has counted, and its CPU seconds."""
    return _ask(url, "/__sink__/counts")


def _ask(url: str, target: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", target)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def run(task: Task, sink_url: str, *, limit: float, stalls: StallPlan | None = None) -> Result:
    """One run in a process of its own; the sink's counts must agree that the task was done.

    Args:
        task: what to do.
        sink_url: of the sink itself, past any link.
        limit: seconds after which the run is killed.
        stalls: which chunk requests stall.

    Raises:
        RunFailedError: it broke off, took too long, or the sink did not get everything.
    """
    reset(sink_url, stalls or StallPlan())
    before = counts(sink_url)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        start_new_session=True,
    ) as process:
        try:
            told, complaint = process.communicate(task.to_json(), limit)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RunFailedError(f"{task.competitor} took more than {limit:g} s") from None
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise RunFailedError(f"{task.competitor} broke off:\n{complaint[-2000:]}")
    after = counts(sink_url)
    result = replace(Result.from_json(told), sink_cpu=after["cpu"] - before["cpu"])
    return _verified(task, result, after)


def _verified(task: Task, result: Result, after: dict[str, Any]) -> Result:
    # The sink counts the small first upload, too; a bystander's helper makes one of its own.
    if after["finished"] <= task.uploads or after["described"] < after["finished"]:
        raise RunFailedError(f"{task.competitor} finished {after['finished'] - 1} of {task.uploads} uploads")
    if after["chunk_bytes"] <= task.total or after["refused"] or after["wrong"]:
        raise RunFailedError(f"{task.competitor} sent {after['chunk_bytes']} bytes of {task.total}: {after}")
    return replace(result, retries=max(0, after["chunks"] - 1 - task.chunks))
