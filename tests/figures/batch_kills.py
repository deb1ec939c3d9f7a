"""Runners of a batch, and its database, killed at random moments: nothing is lost, nothing doubled.

    python -m tests.figures.batch_kills --kills 200 --database-kills 20

Three runners share a ledger in PostgreSQL. One after the other is killed at a random moment and started again; so is
the database. At the end each item must have one video, with its bytes, and one outcome.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import attrs

from iqiyi_async.batch import Batch, Manifest
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, EmulatorConfig, ThreadedEmulatorServer
from tests.batch.postgres import Postgres, running

CHUNK, WORKERS, LEASE = 64 * 1024, 4, 2.0

RUNNER = f"""
import asyncio, sys
from iqiyi_async import AsyncVideoCloud, RetryPolicy, UploadOptions
from iqiyi_async.batch import Batch

async def main(ledger, root):
    options = UploadOptions(chunk_size={CHUNK}, max_workers={WORKERS}, doubt_patience=1.0)
    retry = RetryPolicy(initial_backoff=0.05, max_backoff=0.5)
    async with AsyncVideoCloud.from_env(options=options, retry=retry) as cloud:
        settings = dict(name="kills", root=root, lease_seconds={LEASE}, first_backoff=0.1, max_backoff=1.0)
        async with Batch(cloud, ledger, **settings) as batch:
            async for outcome in batch.run(concurrency=4):
                print(outcome.item.source, outcome.ok, repr(outcome.error), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@attrs.define
class Result:
    """What came of a campaign."""

    items: int
    kills: int
    database_kills: int
    lost: int
    doubled: int
    wrong: int
    outcomes: dict[str, int]
    sent_again_a_kill: float
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing is lost, doubled or wrong, and nothing much was sent again."""
        fine = not (self.lost or self.doubled or self.wrong) and self.outcomes == {"uploaded": self.items}
        return fine and self.sent_again_a_kill <= CHUNK * WORKERS


def campaign(
    *, items: int, size: int, kills: int, database_kills: int, seed: int, runners: int = 3, postgres: bool = True
) -> Result:
    """Run one."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="batch-kills-"))
    films = folder / "films"
    films.mkdir()
    for number in range(items):
        (films / f"{number}.mp4").write_bytes(chance.randbytes(chance.randrange(1, size)))
    with (
        ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as service,
        running() if postgres else nullcontext() as database,
    ):
        ledger = database.url if database is not None else f"sqlite:///{folder}/kills.ledger"
        asyncio.run(_add(ledger, films))
        began = time.monotonic()
        done = _kill(service.endpoint_url, ledger, films, database, kills, database_kills, runners, chance)
        seconds = time.monotonic() - began
        return _judge(service, ledger, films, items, done, seconds)


async def _add(ledger: str, films: Path) -> None:
    async with Batch(None, ledger, name="kills", root=films) as batch:
        assert (await batch.add(Manifest.read(films))).added


def _kill(
    url: str,
    ledger: str,
    films: Path,
    database: Postgres | None,
    kills: int,
    database_kills: int,
    runners: int,
    chance: random.Random,
) -> tuple[int, int]:
    environment = {
        **os.environ,
        "IQIYI_APP_KEY": DEFAULT_APP_KEY,
        "IQIYI_APP_SECRET": DEFAULT_APP_SECRET,
        "IQIYI_ENDPOINT_URL": url,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", RUNNER, ledger, str(films)], env=environment, stdout=sys.stderr)

    live = [start() for _ in range(runners)]
    events = ["runner"] * kills + ["database"] * (database_kills if database is not None else 0)
    chance.shuffle(events)
    done = {"runner": 0, "database": 0}
    try:
        while any(process.poll() is None for process in live):
            if not events:
                for process in live:
                    process.wait()
                break
            time.sleep(chance.uniform(0.05, 1.0))
            event = events.pop()
            if event == "database" and database is not None:
                database.kill()
                time.sleep(chance.uniform(0, 0.5))
                database.start()
            else:
                at = chance.randrange(runners)
                if live[at].poll() is not None:
                    continue
                live[at].kill()
                live[at].wait()
                live[at] = start()
            done[event] += 1
    finally:
        for process in live:
            process.kill()
            process.wait()
    return done["runner"], done["database"]


def _judge(
    service: ThreadedEmulatorServer, ledger: str, films: Path, items: int, done: tuple[int, int], seconds: float
) -> Result:
    videos: dict[bytes, int] = {}
    for view in service.published():
        content = service.content(view.file_id)
        videos[content] = videos.get(content, 0) + 1
    wanted = [path.read_bytes() for path in films.iterdir()]
    sent: int = sum(exchange.bytes for exchange in service.history if exchange.operation.value == "upload_chunk")
    status: Any = asyncio.run(_status(ledger, films))
    states = ("waiting", "held", "uploaded", "duplicate", "failed", "invalid", "published")
    again = max(0, sent - sum(map(len, wanted)))
    return Result(
        items=items,
        kills=done[0],
        database_kills=done[1],
        lost=sum(content not in videos for content in wanted),
        doubled=sum(number - 1 for number in videos.values()),
        wrong=sum(content not in set(wanted) for content in videos),
        outcomes={name: getattr(status, name) for name in states if getattr(status, name)},
        sent_again_a_kill=again / max(1, sum(done)),
        seconds=seconds,
    )


async def _status(ledger: str, films: Path) -> Any:
    async with Batch(None, ledger, name="kills", root=films) as batch:
        return await batch.status()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sqlite", action="store_true", help="with a ledger in SQLite")
    given = parser.parse_args()
    result = campaign(
        items=given.items,
        size=given.size,
        kills=given.kills,
        database_kills=given.database_kills,
        seed=given.seed,
        postgres=not given.sqlite,
    )
    print(result)  # noqa: T201 - what it is for
    sys.exit(0 if result.good else 1)
