"""`batch run --dask`: the workers of a Dask cluster run the batch, and this process watches."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from iqiyi_async.batch import Batch
from iqiyi_async.integrations.dask import connect, run_batch

from .batch_run import RunOptions, ledger_file
from .signals import Signals


async def run_on_dask(
    address: str, options: RunOptions, workers: int, settings: dict[str, Any], signals: Signals
) -> None:
    """Have the batch run by so many workers of a cluster; a signal stops it through the ledger."""
    stopping: list[asyncio.Task[None]] = []

    async def stop() -> None:
        async with Batch(None, options.ledger, name=options.name) as batch:
            await batch.stop()

    # Workers have current folders of their own.
    path = ledger_file(options.ledger)
    ledger = options.ledger if path is None else str(path.absolute())
    signals.on_first = lambda: stopping.append(asyncio.create_task(stop()))
    async with connect(address) as client:
        kept = {name: value for name, value in settings.items() if name != "name" and value is not None}
        kept["root"] = str((options.root or Path()).absolute())
        kept["on_success"] = _located(options.on_success)
        await run_batch(
            client,
            ledger=ledger,
            name=options.name,
            workers=workers,
            concurrency=options.concurrency,
            wait_until_published=options.wait,
            **kept,
        )
    for task in stopping:
        await task


def _located(on_success: str) -> str:
    """The same with a whole path."""
    action, found, folder = on_success.partition("move:")
    return f"{action}{found}{Path(folder).absolute()}" if folder else on_success
