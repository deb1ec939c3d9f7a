"""Blocking work of the emulator, in threads of its own.

The limit is apart from the one that everybody else shares, so that a test which fills the common threads with waiting
clients cannot starve the server they wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

#: Disk writes and MD5; more threads than this only take turns.
THREADS = 16

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_limiter: RunVar[CapacityLimiter] = RunVar("iqiyi_async_emulator_threads")


async def in_thread(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run a blocking function and await its result. A cancelled caller waits until the function is done."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(THREADS)
        _limiter.set(limiter)
    return await to_thread.run_sync(function, *args, limiter=limiter)
