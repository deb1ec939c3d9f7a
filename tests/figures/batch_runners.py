"""Three runners of a batch to one, where the service is what takes time: 50 ms a call, concurrency 8 a runner.

python -m tests.figures.batch_runners --items 600
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

from iqiyi_async.batch import Batch, Manifest
from iqiyi_async.emulator import (
    DEFAULT_APP_KEY,
    DEFAULT_APP_SECRET,
    EmulatorConfig,
    Fault,
    FaultPlan,
    ThreadedEmulatorServer,
)
from tests.batch.postgres import running

GOAL = 2.7

RUNNER = """
import asyncio, sys
from iqiyi_async import AsyncVideoCloud
from iqiyi_async.batch import Batch

async def main(ledger, name, root):
    async with AsyncVideoCloud.from_env() as cloud, Batch(cloud, ledger, name=name, root=root) as batch:
        await cloud.authorize()
        print("ready", flush=True)
        sys.stdin.readline()
        async for outcome in batch.run(concurrency=8):
            assert outcome.ok, outcome.error

asyncio.run(main(*sys.argv[1:]))
"""


async def add(ledger: str, name: str, films: Path) -> None:
    async with Batch(None, ledger, name=name, root=films) as batch:
        await batch.add(Manifest.read(films))


def seconds(runners: int, ledger: str, films: Path, environment: dict[str, str]) -> float:
    """How long so many runners take, from when all are ready."""
    name = f"{runners} runners {time.time()}"
    asyncio.run(add(ledger, name, films))
    words = [sys.executable, "-c", RUNNER, ledger, name, str(films)]
    processes = [
        subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(runners)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    began = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    codes = [process.wait() for process in processes]
    assert codes == [0] * runners
    return time.monotonic() - began


def main(items: int, rounds: int) -> bool:
    with tempfile.TemporaryDirectory() as folder, running() as database:
        films = Path(folder)
        for number in range(items):
            (films / f"{number}.mp4").write_bytes(number.to_bytes(8, "big") * 512)
        with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as service:
            environment = {
                **os.environ,
                "IQIYI_APP_KEY": DEFAULT_APP_KEY,
                "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
                "IQIYI_ENDPOINT_URL": service.endpoint_url,
            }
            quotients = []
            for _ in range(rounds):
                taken = {}
                for runners in (1, 3):
                    service.reset()
                    service.faults = FaultPlan([Fault(delay=0.05)])
                    taken[runners] = seconds(runners, database.url, films, environment)
                    # The bytes of one run are duplicates in the next of the same ledger.
                    database.forget()
                quotients.append(taken[1] / taken[3])
                print(f"one: {items / taken[1]:.1f} a second, three: {items / taken[3]:.1f}, {quotients[-1]:.2f} x")
    median = sorted(quotients)[len(quotients) // 2]
    print(f"three runners to one: {median:.2f} x (goal {GOAL})")
    return median >= GOAL


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sys.exit(0 if main(given.items, given.rounds) else 1)
