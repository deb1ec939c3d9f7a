"""What reading over HTTP costs: a large file from a real nginx on loopback, to the same file by its path.

    python -m tests.figures.http_source --size 1073741824 --rounds 3

The service is the benchmarks' sink, which throws away what it gets. The ways take turns; the figure is the ratio of the
medians.
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.stand import Stand
from iqiyi_async import AsyncVideoCloud, Endpoints, HttpSource, Metadata, UploadOptions
from tests.sources.servers import nginx

GOAL = 0.4


async def seconds(endpoint: str, source: Path | HttpSource, size: int) -> float:
    """How long one upload takes, with a token at hand."""
    options = UploadOptions(max_workers=8)
    async with AsyncVideoCloud("k", "s", endpoints=Endpoints.single(endpoint), options=options) as cloud:
        await cloud.authorize()
        began = time.monotonic()
        receipt = await cloud.upload(source, Metadata("Film"), file_type="mp4")
        assert receipt.size == size
        return time.monotonic() - began


async def remote(endpoint: str, url: str, size: int) -> float:
    async with HttpSource(url) as source:
        return await seconds(endpoint, source, size)


def main(size: int, rounds: int) -> bool:
    with tempfile.TemporaryDirectory() as folder, Stand(Path(folder)) as stand:
        path = Path(stand.files("random", size).paths[0])
        endpoint = stand.sink("random")
        taken: dict[str, list[float]] = {"path": [], "HTTP": []}
        with nginx(Path(folder) / "nginx", path.parent) as server:
            for _ in range(rounds):
                taken["path"].append(asyncio.run(seconds(endpoint, path, size)))
                taken["HTTP"].append(asyncio.run(remote(endpoint, f"{server}/{path.name}", size)))
    rates = {name: size / statistics.median(each) / 1e6 for name, each in taken.items()}
    ratio = rates["HTTP"] / rates["path"]
    print(f"path {rates['path']:.0f} MB/s, HTTP {rates['HTTP']:.0f} MB/s: {ratio:.2f}")
    return ratio >= GOAL


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024**3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sys.exit(0 if main(given.size, given.rounds) else 1)
