"""Waiting for another process or machine that sends no event when it is done.

What belongs here: how often to look. What must not: what is looked at. Within a process nobody polls: there one
waiter is woken by the other (`_turns`), so that of each process only one looks.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["poll"]

T = TypeVar("T")


async def poll(look: Callable[[], Awaitable[T]], *, first: float, most: float) -> T:
    """Look until there is something true to see, and return it.

    Args:
        look: what is called again and again.
        first: seconds between the first two looks; the pause then grows by half each time.
        most: the longest pause, in seconds.
    """
    pause = first
    while not (seen := await look()):
        # The spread keeps processes that began to wait together from looking together forever.
        await anyio.sleep(pause * random.uniform(0.67, 1.33))  # noqa: S311 - no secret depends on it
        pause = min(pause * 1.5, most)
    return seen
