"""When all items fail for the same reason, it is not theirs: the runner waits, and tries with one of them."""

from __future__ import annotations

from collections.abc import Callable

from .verdicts import Verdict

#: So many items in a row, different ones, make an outage.
IN_A_ROW = 3
#: The waits before the next item is tried, in seconds.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0


class OutageWatch:
    """Counts failures to reach the service.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: set[int] = set()
        self._down = False
        self._until = 0.0
        self._wait = FIRST_WAIT

    @property
    def pause(self) -> float | None:
        """Seconds until an item may be tried; None if one is, or there is no outage."""
        left = self._until - self._clock()
        return left if self._down and left > 0 else None

    def allowed(self, concurrency: int) -> int:
        """How many uploads may be under way."""
        if not self._down:
            return concurrency
        return 1 if self._clock() >= self._until else 0

    def success(self) -> None:
        """An upload has succeeded."""
        self._failed.clear()
        self._down, self._wait = False, FIRST_WAIT

    def failure(self, number: int, *, down: bool) -> Verdict:
        """An item could not reach the service.

        Args:
            number: which.
            down: whether the client says so of all.

        Returns:
            Whether it counts as a failure of the item.
        """
        self._failed.add(number)
        if not down and not self._down and len(self._failed) < IN_A_ROW:
            return Verdict.RETRY
        now = self._clock()
        if now >= self._until:
            self._down, self._until = True, now + self._wait
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        return Verdict.RELEASE
