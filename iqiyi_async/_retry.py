"""When to try again: the only module that knows the retry library.

What belongs here: how long to wait, how often, and the budget that keeps an outage from being multiplied. What must
not: what an error means; it says so itself (`retryable`, `retry_after`), and the caller says what may be repeated.
"""

from __future__ import annotations

import random as _random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from .config import RetryPolicy
from .errors import ServiceUnavailableError, VideoCloudError

T = TypeVar("T")

#: What a success gives back to the budget: in a full outage there are no more than budget + 10 % more requests than
#: calls.
REFUND = 0.1


class Retries:
    """The retries of one client: its policy, and the budget that all its calls share."""

    def __init__(self, policy: RetryPolicy, random: Callable[[], float] = _random.random) -> None:
        self.policy = policy
        self._random = random
        self._left = float(policy.budget)

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        repeatable: Callable[[VideoCloudError], bool] = lambda error: error.retryable,
        progress: Callable[[], int] = lambda: 0,
        on_retry: Callable[[VideoCloudError, float], None] = lambda error, wait: None,
    ) -> T:
        """Call `attempt` until it succeeds, or until there is no sense in it any more; then its last error leaves.

        Args:
            attempt: one try.
            repeatable: whether another try may follow this error.
            progress: a number that grows when the work as a whole gets on; then the count of attempts starts anew.
            on_retry: hears of each error that will be followed by another try, and of the seconds until then.
        """
        count = _Count(progress)
        try:
            # Most calls succeed at once: they need not pay for what is only needed after an error.
            result = await attempt()
        except VideoCloudError as error:
            if not repeatable(error):
                raise
            first = error
        else:
            self._earn()
            return result
        return await self._again(first, attempt, repeatable, count, on_retry)

    async def _again(
        self,
        error: VideoCloudError,
        attempt: Callable[[], Awaitable[T]],
        repeatable: Callable[[VideoCloudError], bool],
        count: _Count,
        on_retry: Callable[[VideoCloudError, float], None],
    ) -> T:
        first = [error]

        async def once() -> T:
            if first:
                raise first.pop()
            return await attempt()

        def worth_it(error: BaseException) -> bool:
            return isinstance(error, VideoCloudError) and repeatable(error)

        def enough(_: tenacity.RetryCallState) -> bool:
            return count.next() >= self.policy.max_attempts or not self._spend()

        def wait(state: tenacity.RetryCallState) -> float:
            return self._wait(_error_of(state), state.attempt_number)

        def before_sleep(state: tenacity.RetryCallState) -> None:
            on_retry(_error_of(state), state.upcoming_sleep)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(worth_it),
            stop=enough,
            wait=wait,
            before_sleep=before_sleep,
            reraise=True,
        )
        result: T = await retrying(once)
        self._earn()
        return result

    def _earn(self) -> None:
        self._left = min(float(self.policy.budget), self._left + REFUND)

    def _spend(self) -> bool:
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _wait(self, error: VideoCloudError, repetition: int) -> float:
        asked = error.retry_after if isinstance(error, ServiceUnavailableError) else None
        # None, or a moment that has passed (perhaps by a clock that is wrong) asks for no wait of its own.
        if asked:
            # A little more than asked, so that all who were told the same time do not come back at once.
            return min(asked, self.policy.retry_after_cap) * (1 + self._random() / 10)
        bound = self.policy.initial_backoff * 2.0 ** min(repetition - 1, 60)
        return self._random() * min(bound, self.policy.max_backoff)


class _Count:
    """Attempts since the last progress."""

    def __init__(self, progress: Callable[[], int]) -> None:
        self._progress = progress
        self._mark = progress()
        self._attempts = 0

    def next(self) -> int:
        if self._progress() != self._mark:
            self._mark, self._attempts = self._progress(), 0
        self._attempts += 1
        return self._attempts


def _error_of(state: tenacity.RetryCallState) -> VideoCloudError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, VideoCloudError)
    return error
