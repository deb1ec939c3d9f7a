"""What memory costs: 2,000 files of 64 KiB with a journal, and as a batch with a ledger, to the same without.

    python -m tests.figures.kept_rate --files 2000 --rounds 3

Each round begins with another way; the figures are medians. The service is the emulator, in a process of its own.
With ``--delay 0.1 --at-once 32`` each call takes that long.
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from iqiyi_async import AsyncVideoCloud, Metadata, SqliteJournal, UploadItem, UploadOptions, UploadOutcome
from iqiyi_async.batch import Batch

GOAL = 0.85


def client(**given: Any) -> AsyncVideoCloud:
    return AsyncVideoCloud.from_env(options=UploadOptions(max_workers=8), **given)


async def counted(outcomes: AsyncIterator[UploadOutcome]) -> float:
    """Seconds until all outcomes have come."""
    began = time.monotonic()
    async for outcome in outcomes:
        assert outcome.ok, outcome.error
    return time.monotonic() - began


async def without(items: list[UploadItem], at_once: int, _: Path) -> float:
    async with client() as cloud:
        await cloud.authorize()
        return await counted(cloud.upload_many(items, concurrency=at_once))


async def journal(items: list[UploadItem], at_once: int, folder: Path) -> float:
    kept = SqliteJournal(folder / f"{time.time_ns()}.journal")
    async with client(journal=kept) as cloud:
        await cloud.authorize()
        seconds = await counted(cloud.upload_many(items, concurrency=at_once))
    await kept.aclose()
    return seconds


async def ledger(items: list[UploadItem], at_once: int, folder: Path) -> float:
    async with client() as cloud, Batch(cloud, folder / f"{time.time_ns()}.ledger") as batch:
        await cloud.authorize()
        await batch.add(items)
        return await counted(batch.run(concurrency=at_once))


WAYS: dict[str, Callable[[list[UploadItem], int, Path], Any]] = {
    "without": without,
    "journal": journal,
    "ledger": ledger,
}


def measure(items: list[UploadItem], at_once: int, rounds: int, folder: Path) -> bool:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    names = list(WAYS)
    for number in range(rounds):
        for name in names[number % 3 :] + names[: number % 3]:
            seconds[name].append(asyncio.run(WAYS[name](items, at_once, folder)))
    rates = {name: len(items) / statistics.median(taken) for name, taken in seconds.items()}
    ratios = {name: rates[name] / rates["without"] for name in WAYS}
    print(f"{at_once} at once: " + ", ".join(f"{name} {rates[name]:.0f}/s ({ratios[name]:.2f})" for name in WAYS))
    return min(ratios.values()) >= GOAL


def main(files: int, rounds: int, at_once: list[int], folder: Path) -> bool:
    items: list[UploadItem] = []
    for number in range(files):
        path = folder / f"{number}.mp4"
        path.write_bytes(number.to_bytes(8, "big") * 8192)
        items.append(UploadItem(path, Metadata(f"Film {number}")))
    reached = [measure(items, each, rounds, folder) for each in at_once]
    return all(reached)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that the service takes for each call")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        words = [sys.executable, "-m", "iqiyi_async", "emulator"]
        if given.delay:
            faults = Path(name, "faults.json")
            faults.write_text(json.dumps([{"delay": given.delay}]))
            words += ["--faults", str(faults)]
        emulator = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert emulator.stdout is not None
        ready = json.loads(emulator.stdout.readline())
        os.environ.update({f"IQIYI_{name.upper()}": ready[name] for name in ("app_key", "app_secret", "endpoint_url")})
        try:
            good = main(given.files, given.rounds, given.at_once, Path(name))
        finally:
            emulator.terminate()
            emulator.wait()
    sys.exit(0 if good else 1)
