"""A process to be killed: for each line of orders on its input it forks copies of itself that carry them out.

Forking from a process that has imported everything and has no threads makes a fresh process in milliseconds. What it
has to say comes as lines of JSON: `pids`, `begun` when an upload sets out, `done` or `failed` from each copy, and
`exits` once all of them have been killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from iqiyi_async import (
    AsyncVideoCloud,
    Endpoints,
    FileTokenStore,
    Metadata,
    RetryPolicy,
    SqliteJournal,
    TokenStore,
    UploadOptions,
)
from iqiyi_async._runtime import Timing
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET


def say(**what: Any) -> None:
    # One write: lines of two processes do not mix.
    os.write(1, json.dumps(what).encode() + b"\n")


class Patient(AsyncVideoCloud):
    """On a busy machine a range may be late. What is sent once more for that is not what a kill has cost."""

    _timing = Timing(late_seconds=3600.0)


async def upload(orders: dict[str, Any]) -> None:
    folder = Path(orders["folder"])
    journal = SqliteJournal(folder / "uploads.db")
    async with Patient(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(orders["url"]),
        token_store=FileTokenStore(folder / "tokens.json"),
        journal=journal,
        options=UploadOptions(max_workers=orders["workers"], chunk_size=orders["chunk"]),
        retry=RetryPolicy(initial_backoff=0.01, max_backoff=0.1),
    ) as cloud:
        say(begun=True)
        receipt = await cloud.upload(orders["path"], Metadata("Killed"))
    await journal.aclose()
    say(done={"file_id": receipt.file_id, "resumed": receipt.resumed_bytes, "seconds": receipt.elapsed})


async def hold_lease(orders: dict[str, Any]) -> None:
    journal = SqliteJournal(orders["path"])
    say(done=await journal.acquire("key", orders["owner"], 3600.0))
    await asyncio.Event().wait()


async def statuses(orders: dict[str, Any]) -> None:
    """Many calls at once, all of which need a token; some of them are cancelled on the way."""
    chance = random.Random(orders["seed"])
    async with AsyncVideoCloud(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(orders["url"]),
        token_store=token_store(orders["store"]),
    ) as cloud:
        # All processes begin at the same time.
        await asyncio.sleep(orders["start"] - time.time())
        tasks = [asyncio.ensure_future(cloud.get_status("0" * 32)) for _ in range(orders["tasks"])]
        loop = asyncio.get_running_loop()
        # The first one is spared: so that the process stays until it has its token.
        for task in tasks[1:]:
            if chance.random() < orders["cancelled"]:
                loop.call_later(chance.random() * orders["within"], task.cancel)
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    names = Counter(type(end).__name__ for end in ends)
    say(done=dict(names))


def token_store(where: str) -> TokenStore:
    if "://" in where:
        from iqiyi_async import RedisTokenStore

        return RedisTokenStore(where)
    return FileTokenStore(where)


def child(orders: dict[str, Any]) -> None:
    task = {"upload": upload, "hold_lease": hold_lease, "statuses": statuses}[orders["task"]]
    try:
        asyncio.run(task(orders))
    except Exception as error:
        say(failed=f"{type(error).__name__}: {error}")
    # Until it is killed: so that its number is not somebody else's by then.
    signal.pause()


def main() -> None:
    for line in sys.stdin:
        orders = json.loads(line)
        pids: list[int] = []
        for number in range(orders.get("copies", 1)):
            pid = os.fork()
            if pid == 0:
                child({**orders, "seed": f"{orders.get('seed')}-{number}"})
            pids.append(pid)
        say(pids=pids)
        say(exits=[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])


if __name__ == "__main__":
    main()
