"""Waiting for work that must not be left half done, and threads of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import anyio

T = TypeVar("T")

#: So long, in seconds, a cancelled caller waits for a thread that may never come back.
MOMENT = 1.0


async def run_to_completion(work: Awaitable[T], patience: float | None = None) -> T:
    """Await something, and do not leave before it has ended, even when cancelled.

    Args:
        work: what to wait for.
        patience: seconds after which it is cancelled too, once the caller has been; for ever if None.

    Raises:
        asyncio.CancelledError: the caller was cancelled; raised when the work has ended, whose result is lost.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # The scope holds back cancellation that is delivered again at every step; a task.cancel() comes through once.
        with anyio.CancelScope(shield=True):
            deadline = None if patience is None else asyncio.get_running_loop().time() + patience
            while not task.done():
                left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task], timeout=left)
                if left == 0.0:
                    task.cancel()
                    deadline = None
        if not task.cancelled():
            task.exception()
        raise


async def in_thread(threads: ThreadPoolExecutor, work: Callable[[], T], *, undo: Callable[[T], object]) -> T:
    """Do something in a thread. A caller that is cancelled waits for it a moment only: a dead mount may keep it for
    ever. What comes back then is undone.

    Args:
        threads: where.
        work: what.
        undo: called with a result that nobody waits for any more.
    """
    ticket = threads.submit(work)
    done = asyncio.wrap_future(ticket)
    try:
        await asyncio.wait([done])
        return done.result()
    except asyncio.CancelledError:
        if not ticket.cancel():
            with anyio.CancelScope(shield=True), suppress(asyncio.CancelledError):
                await asyncio.wait([done], timeout=MOMENT)
            ticket.add_done_callback(
                lambda done: undo(done.result()) if not done.cancelled() and done.exception() is None else None
            )
        raise
