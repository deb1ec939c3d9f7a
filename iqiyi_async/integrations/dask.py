"""Runners of a batch on a Dask cluster: a few long tasks that drain the ledger, not a task for each file.

Credentials come from the environment of the workers (``IQIYI_APP_KEY``, ``IQIYI_APP_SECRET``, ``IQIYI_ENDPOINT_URL``);
they are in no task. A runner whose worker dies is started again, and goes on with the ledger.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import CancelledError
from typing import Any, cast

from iqiyi_async import AsyncVideoCloud, ConfigurationError, UploadOptions, VideoCloudError
from iqiyi_async.batch import Batch, BatchStatus

try:
    from distributed import Client, KilledWorker
except ImportError as _missing:
    raise ImportError("run_batch needs Dask: pip install 'iqiyi-async[dask]'") from _missing

__all__ = ["connect", "run_batch"]

logger: logging.Logger = logging.getLogger(__name__)

#: The wait before a runner that was killed too often is submitted again, and the longest, in seconds.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
#: Seconds between two looks whether there is a scheduler again.
CONNECTING = 0.2


def connect(address: str) -> Any:
    """An asynchronous client of a cluster, to be used with ``async with``."""
    return cast("Any", Client)(address, asynchronous=True)


def run_batch(
    client: Any,
    *,
    ledger: str,
    name: str = "default",
    workers: int = 1,
    concurrency: int = 32,
    wait_until_published: bool = False,
    options: UploadOptions | None = None,
    **settings: Any,
) -> Any:
    """Run a batch with so many runners on a cluster, until nothing is left or `Batch.stop` was called.

    Args:
        client: of the cluster (`distributed.Client`).
        ledger: its URL, as the workers reach it: PostgreSQL, unless all of them are on one machine. A password in it
            would travel with the tasks: leave it out, and set ``PGPASSWORD`` or ``PGPASSFILE`` on the workers.
        name: of the batch.
        workers: how many runners, spread over the workers of the cluster.
        concurrency: uploads at the same time in each.
        wait_until_published: as for `Batch.run`.
        options: of each runner's client.
        settings: further arguments of each runner's `Batch`, such as ``root="/mnt/films"``.

    Returns:
        The counts of the batch at the end (`BatchStatus`); to be awaited where the client is asynchronous.

    Raises:
        ConfigurationError: `workers` is no whole number of at least 1, or the ledger can't be shared.
        VideoCloudError: what a runner has stopped with (see `Batch.run`), once all have ended; or the scheduler went
            away, and did not come back for as long as Dask's client looks for it.
    """
    if isinstance(workers, bool) or not isinstance(cast("object", workers), int) or workers < 1:
        raise ConfigurationError(f"workers must be a whole number of at least 1, not {workers!r}")
    Batch(None, ledger, name=name, **settings)  # what can't work is told here, not on the cluster
    run = _Runners(client, workers, _Task(ledger, name, concurrency, wait_until_published, options, settings))
    return client.sync(run.run)


class _Task:
    """What a runner is told: no secrets."""

    def __init__(
        self,
        ledger: str,
        name: str,
        concurrency: int,
        wait: bool,
        options: UploadOptions | None,
        settings: dict[str, Any],
    ) -> None:
        self.ledger = ledger
        self.name = name
        self._concurrency = concurrency
        self._wait = wait
        self._options = options
        self._settings = settings

    async def run(self) -> int:
        """Run the batch: on a worker, in its event loop. When the worker is closed this is cancelled, and gives back
        what it holds.

        Returns:
            How many items have ended here.
        """
        ended = 0
        async with AsyncVideoCloud.from_env(options=self._options) as cloud:
            async with Batch(cloud, self.ledger, name=self.name, **self._settings) as batch:
                async for _ in batch.run(self._concurrency, self._wait):
                    ended += 1
        return ended

    async def status(self) -> BatchStatus:
        """Look at the ledger: on a worker, which certainly reaches it."""
        async with Batch(None, self.ledger, name=self.name) as batch:
            return await batch.status()


class _Runners:
    """The runners of one call."""

    def __init__(self, client: Any, workers: int, task: _Task) -> None:
        self._client = client
        self._workers = workers
        self._task = task

    async def run(self) -> BatchStatus:
        """Run all of them to their ends."""
        addresses = sorted(await self._client.ncores())
        runners = [
            asyncio.ensure_future(self._one(addresses[number % len(addresses)] if addresses else None))
            for number in range(self._workers)
        ]
        try:
            results = await asyncio.gather(*runners, return_exceptions=True)
        finally:
            for each in runners:
                each.cancel()
        problem = next((each for each in results if isinstance(each, BaseException)), None)
        if problem is not None:
            raise problem
        return cast("BatchStatus", await self._client.submit(self._task.status, pure=False))

    async def _one(self, address: str | None) -> int:
        """One runner, which is submitted again when its workers have died more often than Dask allows."""
        wait = FIRST_WAIT
        while True:
            # Spread over the workers, and elsewhere if that one is gone.
            place = {} if address is None else {"workers": [address], "allow_other_workers": True}
            future = self._client.submit(self._task.run, pure=False, **place)
            try:
                return cast("int", await future)
            except KilledWorker:
                logger.warning("a runner of batch %s was killed too often; it is submitted again", self._task.name)
            except CancelledError:
                # A scheduler that was restarted has forgotten its tasks, and Dask calls them cancelled.
                logger.warning("a runner of batch %s was lost; it is submitted again", self._task.name)
            finally:
                future.release()
            address = None
            await self._connected()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _connected(self) -> None:
        """Wait while Dask's client looks for a scheduler that went away.

        Raises:
            VideoCloudError: it has given up.
        """
        while self._client.status == "connecting":  # noqa: ASYNC110 - Dask has no event for it
            await asyncio.sleep(CONNECTING)
        if self._client.status != "running":
            raise VideoCloudError(
                "the Dask scheduler went away and did not come back; run the batch again: it goes on with what is left",
                retryable=True,
            )
