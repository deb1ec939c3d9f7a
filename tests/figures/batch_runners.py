"""Three runners of a batch to one, where the service is what takes time: 50 ms a call, concurrency 8 a runner.

python -m tests.figures.batch_runners --items 600

The service is the sink of the benchmarks, which takes next to no processor time: the emulator checks and keeps what it
gets, and three runners would wait for it. PostgreSQL is a real one; the runners are processes of their own. Printed
besides: the processor time of the runners for an item, which is what bounds them where there are fewer cores.
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import processes
from benchmarks.content import Content
from benchmarks.stalls import StallPlan
from iqiyi_async.batch import Batch, Manifest
from tests.batch.postgres import running

GOAL = 2.7
#: Seconds that the service takes for each call.
LATENCY = 0.05

RUNNER = """
import asyncio, sys, time
from iqiyi_async import AsyncVideoCloud
from iqiyi_async.batch import Batch

async def main(ledger, name, root):
    async with AsyncVideoCloud.from_env() as cloud, Batch(cloud, ledger, name=name, root=root) as batch:
        await cloud.authorize()
        print("ready", flush=True)
        sys.stdin.readline()
        before = time.process_time()
        async for outcome in batch.run(concurrency=8):
            assert outcome.ok, outcome.error
        print(time.process_time() - before)

asyncio.run(main(*sys.argv[1:]))
"""


async def add(ledger: str, name: str, films: Path) -> None:
    async with Batch(None, ledger, name=name, root=films) as batch:
        await batch.add(Manifest.read(films))


def seconds(runners: int, ledger: str, films: Path, environment: dict[str, str]) -> tuple[float, float]:
    """How long so many runners take, from when all are ready; and their processor time."""
    name = f"{runners} runners {time.time()}"
    asyncio.run(add(ledger, name, films))
    words = [sys.executable, "-c", RUNNER, ledger, name, str(films)]
    started = [
        subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(runners)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    began = time.monotonic()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    codes = [process.wait() for process in started]
    assert codes == [0] * runners
    taken = time.monotonic() - began
    return taken, sum(float(process.stdout.read()) for process in started if process.stdout is not None)


def main(items: int, rounds: int) -> bool:
    with tempfile.TemporaryDirectory() as folder, running() as database:
        films = Path(folder)
        content = Content("random")
        for number in range(items):
            # Files of different sizes: the same bytes would be duplicates.
            (films / f"{number}.mp4").write_bytes(content.read(0, 4096 + number))
        with processes.sink() as service:
            environment = {
                **os.environ,
                "IQIYI_APP_KEY": "benchmark",
                "IQIYI_APP_SECRET": "benchmark",
                "IQIYI_ENDPOINT_URL": service,
            }
            quotients = []
            for _ in range(rounds):
                taken, spent = {}, {}
                for runners in (1, 3):
                    processes.reset(service, StallPlan(), LATENCY)
                    taken[runners], spent[runners] = seconds(runners, database.url, films, environment)
                    assert processes.counts(service)["finished"] == items
                    # The bytes of one run are duplicates in the next of the same ledger.
                    database.forget()
                quotients.append(taken[1] / taken[3])
                rates = [
                    f"{items / taken[each]:.1f} a second ({spent[each] / items * 1000:.1f} ms each)" for each in (1, 3)
                ]
                print(f"one: {rates[0]}, three: {rates[1]}, {quotients[-1]:.2f} x")
    median = sorted(quotients)[len(quotients) // 2]
    print(f"three runners to one: {median:.2f} x (goal {GOAL})")
    return median >= GOAL


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sys.exit(0 if main(given.items, given.rounds) else 1)
