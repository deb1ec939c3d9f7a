"""What the package gives, and what it costs to import."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from iqiyi_async import stores
from iqiyi_async.stores import MemoryTokenStore

from .helpers import KEY, ROOT, token


def test_nothing_is_imported_before_it_is_used() -> None:
    heavy = ("redis", "sqlite3", "filelock", "platformdirs")
    code = f"import sys, iqiyi_async.stores; print([name for name in {heavy!r} if name in sys.modules])"
    # A program that is measured has loaded what measures it.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_is_there() -> None:
    for name in stores.__all__:
        assert getattr(stores, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = stores.Nothing


def test_tokens_in_memory_serve_one_event_loop_after_the_other() -> None:
    store = MemoryTokenStore()

    async def hold_for_ever(inside: asyncio.Event) -> None:
        async with store.lease(KEY, ttl=30):
            inside.set()
            await asyncio.Event().wait()

    async def write_and_leave_a_holder(number: int) -> None:
        async with asyncio.timeout(5), store.lease(KEY, ttl=30):
            found = await store.load(KEY)
            assert await store.compare_and_set(KEY, found.version if found else None, token(number)) is not None
        inside = asyncio.Event()
        holder = asyncio.create_task(hold_for_ever(inside))
        await inside.wait()
        holder.cancel()

    for number in range(3):
        asyncio.run(write_and_leave_a_holder(number))
    assert len(store._turns._loops) <= 3
