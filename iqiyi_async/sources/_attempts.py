"""Trying again: what all remote sources do with failures that may pass."""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..config import RetryPolicy
from ..errors import UploadError, VideoCloudError

T = TypeVar("T")

#: Less patient than an upload: a caller that waits for the range may hold up others.
POLICY = RetryPolicy(max_attempts=5, initial_backoff=0.25, max_backoff=5.0, retry_after_cap=30.0)


class PassingError(Exception):
    """The source can't be read now, but perhaps later.

    Attributes:
        retry_after: how long the peer asked to wait, in seconds, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Attempts:
    """Tries again, with growing waits, what failed in a way that may pass.

    Args:
        policy: how often, and how long to wait.
        random: a number from 0 to 1.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        policy: RetryPolicy = POLICY,
        random: Callable[[], float] = _random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._policy = policy
        self._random = random
        self._sleep = sleep

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call `attempt` until it succeeds, or has failed often enough.

        Raises:
            UploadError: it failed to the last in a way that may pass (`PassingError`).
            VideoCloudError: what else `attempt` raised, at once.
        """
        for repetition in range(self._policy.max_attempts - 1):
            try:
                return await attempt()
            except PassingError as error:
                wait = self._wait(repetition, error.retry_after)
            await self._sleep(wait)
        try:
            return await attempt()
        except PassingError as error:
            message = str(error)
        raise UploadError(message, operation="read_source", resumable=True, retryable=True)

    def _wait(self, repetition: int, asked: float | None) -> float:
        if asked:
            return min(asked, self._policy.retry_after_cap) * (1 + self._random() / 10)
        return self._random() * min(self._policy.initial_backoff * 2.0**repetition, self._policy.max_backoff)


def unreadable(message: str) -> VideoCloudError:
    """The error of a source that can't be read, now or later, before or in the middle of an upload."""
    return UploadError(message, operation="read_source", resumable=True, retryable=False)
