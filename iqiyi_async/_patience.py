"""Looking at the service again and again: a look that failed is no reason to give up, unless it goes on too long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import VideoCloudError

T = TypeVar("T")

#: The first wait after a failed look, and the longest, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0


class Patience:
    """Outlives failed looks for a time (retryable errors only), counted from the first of several in a row.

    Args:
        seconds: how long.
        sleep: waits for so many seconds.
        clock: seconds, never going back.
        random: a number from 0 to 1.
    """

    def __init__(
        self,
        seconds: float,
        *,
        sleep: Callable[[float], Awaitable[object]],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._seconds = seconds
        self._sleep = sleep
        self._clock = clock
        self._random = random

    async def outlive(self, look: Callable[[], Awaitable[T]]) -> T:
        """Call `look` until it succeeds.

        Raises:
            VideoCloudError: its error, if another look can't mend it or the patience has run out.
        """
        since: float | None = None
        wait = FIRST_WAIT
        while True:
            try:
                return await look()
            except VideoCloudError as error:
                now = self._clock()
                since = now if since is None else since
                if not error.retryable or now - since >= self._seconds:
                    raise
            await self._sleep(min(wait * (0.9 + 0.2 * self._random()), max(0.0, since + self._seconds - now)))
            wait = min(2 * wait, LONGEST_WAIT)
