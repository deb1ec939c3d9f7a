"""A batch of 100,000 items: how long adding takes, and how much memory a runner grows by.

    python -m tests.figures.batch_scale --items 100000 --uploads 5000

All items are links to a few small files. The runner is stopped after so many uploads, because memory shows long before
the end; ``--uploads 0`` goes to the end.
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from iqiyi_async import AsyncVideoCloud, UploadOptions
from iqiyi_async.batch import Batch, Manifest

MIB = 1024 * 1024
ADDING, GROWTH = 5.0, 64 * MIB


def rss() -> int:
    """Bytes of memory that this process has at the moment."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main(items: int, uploads: int, folder: Path) -> bool:
    manifest = folder / "videos.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "title", "tags", "category"])
        writer.writerows([f"{number}.mp4", f"Film {number}", "a,b", 9] for number in range(items))
    for number in range(min(items, uploads + 100 if uploads else items)):
        (folder / f"{number}.mp4").write_bytes(number.to_bytes(8, "big") * 512)
    options = UploadOptions(max_workers=8, chunk_size=64 * 1024)
    async with AsyncVideoCloud.from_env(options=options) as cloud:
        async with Batch(cloud, folder / "scale.ledger", root=folder) as batch:
            began, used = time.monotonic(), time.process_time()
            added = await batch.add(Manifest.read(manifest))
            adding, processing = time.monotonic() - began, time.process_time() - used
            print(f"{added.added} items added in {adding:.2f} s ({processing:.2f} s of processor time)")
            before = rss()
            began, done, most = time.monotonic(), 0, before
            async for outcome in batch.run(concurrency=32):
                assert outcome.ok, outcome.error
                done += 1
                if done % 500 == 0:
                    most = max(most, rss())
                if done == uploads:
                    break
            seconds = time.monotonic() - began
            print(f"{done} uploaded in {seconds:.1f} s ({done / seconds:.0f} a second)")
            print(f"memory grew by {(most - before) / MIB:.1f} MiB")
            return adding <= ADDING and most - before <= GROWTH


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--uploads", type=int, default=5_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        emulator = subprocess.Popen(
            [sys.executable, "-m", "iqiyi_async", "emulator", "--publish-after", "0"], stdout=subprocess.PIPE, text=True
        )
        assert emulator.stdout is not None
        ready = json.loads(emulator.stdout.readline())
        os.environ.update({f"IQIYI_{name.upper()}": ready[name] for name in ("app_key", "app_secret", "endpoint_url")})
        try:
            good = asyncio.run(main(given.items, given.uploads, Path(folder)))
        finally:
            emulator.terminate()
            emulator.wait()
    sys.exit(0 if good else 1)
