"""Items on their way into a ledger: read in small lots, so that any number of them takes no memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import cast

from ..errors import ConfigurationError
from ..models import UploadItem
from .manifest.columns import readable
from .manifest.manifest import Manifest, ManifestError
from .models import NewItem
from .sources import new_item

#: Items are added so many at a time.
LOT = 2000
#: An iterable that is not a manifest is read for so many items before others get their turn.
TURN = 50


def lots_of(items: object, root: Path) -> AsyncGenerator[list[NewItem], None]:
    """The items of a manifest, or of a plain or an async iterable.

    Raises:
        ConfigurationError: none of these.
    """
    if isinstance(items, AsyncIterable):
        return _of_async(cast("AsyncIterable[UploadItem]", items), root)
    if isinstance(items, Manifest):
        return _of_manifest(items, root)
    if isinstance(items, Iterable):
        return _of_iterable(cast("Iterable[UploadItem]", items), root)
    raise ConfigurationError(f"items must be an iterable of UploadItem, not {type(items).__name__}")


async def _of_manifest(manifest: Manifest, root: Path) -> AsyncGenerator[list[NewItem], None]:
    """Read in a thread: it opens files, and may wait for standard input."""
    entries = manifest.entries()

    def read() -> list[NewItem]:
        return [_tolerant(entry, root) for entry in itertools.islice(entries, LOT)]

    # One lot is read while the one before is written.
    ahead = asyncio.create_task(asyncio.to_thread(read))
    try:
        while lot := await ahead:
            ahead = asyncio.create_task(asyncio.to_thread(read))
            yield lot
    finally:
        # A thread can't be stopped; what it still reads is not used.
        await asyncio.wait([ahead])
        if not ahead.cancelled():
            ahead.exception()


async def _of_iterable(items: Iterable[UploadItem], root: Path) -> AsyncGenerator[list[NewItem], None]:
    async def each() -> AsyncGenerator[UploadItem, None]:
        for number, item in enumerate(items, 1):
            yield item
            if number % TURN == 0:
                await asyncio.sleep(0)

    async with aclosing(_of_async(each(), root)) as lots:
        async for lot in lots:
            yield lot


async def _of_async(items: AsyncIterable[UploadItem], root: Path) -> AsyncGenerator[list[NewItem], None]:
    lot: list[NewItem] = []
    problem: Exception | None = None
    try:
        async for item in items:
            lot.append(new_item(item, root))
            if len(lot) >= LOT:
                yield lot
                lot = []
    except Exception as error:  # noqa: BLE001 - raised again, once what was read before it is in the ledger
        problem = error
    if lot:
        yield lot
    if problem is not None:
        raise problem


def _tolerant(entry: UploadItem | ManifestError, root: Path) -> NewItem:
    """A file of a folder whose name is no text is a bad line, which stops no others."""
    try:
        return new_item(entry, root)
    except ConfigurationError as error:
        shown = readable(str(entry.source if isinstance(entry, UploadItem) else entry))
        return NewItem(f"name:{shown}", shown, "", problem=str(error))
