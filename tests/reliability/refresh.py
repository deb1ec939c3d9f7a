"""Many processes with many tasks each, all of which need a token just when the one that is there has expired."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from iqiyi_async import AsyncVideoCloud, Endpoints, FileTokenStore, Token
from iqiyi_async.emulator import (
    DEFAULT_APP_KEY,
    DEFAULT_APP_SECRET,
    EmulatorConfig,
    Fault,
    FaultPlan,
    ThreadedEmulatorServer,
)

from .crash import Breeder

#: How long the service takes to renew a token, in seconds: long enough for everybody to ask meanwhile.
RENEWAL = 0.2


@attrs.frozen
class Herd:
    """What it came to.

    Attributes:
        refreshes: requests for a renewal.
        authorizations: requests for a new token by key and secret.
        ends: how the tasks of all processes ended.
        seconds: until the last of them.
    """

    refreshes: int
    authorizations: int
    ends: Counter[str]
    seconds: float


def stampede(breeder: Breeder, store: str, *, processes: int, tasks: int, cancelled: float, seed: int) -> Herd:
    """Let them all ask at once.

    Args:
        breeder: makes the processes.
        store: the path of a file, or the URL of a Redis server.
        cancelled: the share of tasks that are cancelled while the token is renewed.
    """
    faults = FaultPlan([Fault(operation="refresh_token", delay=RENEWAL)])
    with ThreadedEmulatorServer(EmulatorConfig(faults=faults)) as server:
        asyncio.run(_leave_expired(server.endpoint_url, store))
        before = Counter(each.operation.value for each in server.history)
        start = time.time() + 0.3
        breeder.start(
            task="statuses",
            copies=processes,
            url=server.endpoint_url,
            store=store,
            tasks=tasks,
            cancelled=cancelled,
            within=2 * RENEWAL,
            start=start,
            seed=seed,
        )
        ends: Counter[str] = Counter()
        for _ in range(processes):
            ends.update(breeder.hear("done"))
        seconds = time.time() - start
        breeder.kill()
        made = Counter(each.operation.value for each in server.history)
    made.subtract(before)
    return Herd(made["refresh_token"], made["authorize"], ends, seconds)


async def _leave_expired(url: str, where: str) -> None:
    """Put a token into the store whose time is over, and which can be renewed."""
    store = _store(where)
    keys = _Keys(store)
    async with AsyncVideoCloud(
        DEFAULT_APP_KEY, DEFAULT_APP_SECRET, endpoints=Endpoints.single(url), token_store=keys
    ) as cloud:
        await cloud.authorize()
    stored = await store.load(keys.key)
    assert stored is not None
    expired: Token = attrs.evolve(stored.token, expires_at=datetime.now(UTC))
    assert await store.compare_and_set(keys.key, stored.version, expired) is not None
    if not isinstance(store, FileTokenStore):
        await store.aclose()


class _Keys:
    """A store that tells under which key the client keeps its token."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.key = ""

    async def load(self, key: str) -> Any:
        self.key = key
        return await self._store.load(key)

    async def compare_and_set(self, key: str, expected: int | None, token: Token) -> Any:
        return await self._store.compare_and_set(key, expected, token)

    def lease(self, key: str, *, ttl: float) -> Any:
        return self._store.lease(key, ttl=ttl)


def _store(where: str) -> Any:
    if "://" not in where:
        return FileTokenStore(where)
    from iqiyi_async import RedisTokenStore

    return RedisTokenStore(where)


@contextmanager
def redis_server() -> Iterator[str | None]:
    """A Redis server of one's own on a socket in a folder that goes away with it; None if there is none here."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="iqr-"))
    options = [
        "--port",
        "0",
        "--unixsocket",
        str(folder / "s"),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        while "eady to accept connections" not in (line := server.stdout.readline()):
            assert line, "redis-server did not start"
        try:
            yield f"unix://{folder / 's'}"
        finally:
            server.terminate()
            server.communicate(timeout=10)
            shutil.rmtree(folder)
