"""When to try again: the one retry loop.

An error says itself whether another try has any sense (`retryable`, `retry_after`); the caller says what may be
repeated. What one loop gave up, no loop around it repeats.
"""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._outage import CALLER, Caller, GateClosedError
from .config import RetryPolicy
from .errors import ServiceUnavailableError, TransportError, VideoCloudError

T = TypeVar("T")

#: What a success gives back to the budget: without gates there are no more than budget + 10 % more requests than
#: calls.
REFUND = 0.1


class Retries:
    """The retries of one client under one policy, and the budget that all its calls share.

    Args:
        policy: how often, and how long to wait.
        random: a number from 0 to 1.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        random: Callable[[], float] = _random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.policy = policy
        self._random = random
        self._sleep = sleep
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

        While the service is down it waits for its turn (see `Gate`), which counts for nothing.

        Args:
            attempt: one try.
            repeatable: whether another try may follow this error.
            progress: a number that grows when the work as a whole gets on; then the count of attempts is reset.
            on_retry: called with each error that will be followed by another try, and the seconds until then.
        """
        caller = Caller(self.policy.outage_patience if self.policy.max_attempts > 1 else 0.0)
        attempts, mark = 0, progress()
        outer = CALLER.set(caller)
        try:
            while True:
                met: GateClosedError | None = None
                wait: float | None = None
                try:
                    result = await attempt()
                except GateClosedError as closed:
                    met = closed
                except VideoCloudError as error:
                    if error.exhausted or not repeatable(error):
                        raise
                    if not caller.excused():
                        attempts = attempts + 1 if progress() == mark else 1
                        mark = progress()
                        wait = self._wait_after(error, attempts, caller)
                        on_retry(error, wait)
                else:
                    self._left = min(float(self.policy.budget), self._left + REFUND)
                    return result
                if met is not None:
                    await met.gate.wait(caller, met.operation, met.repeatable)
                elif wait is not None:
                    await self._sleep(wait)
        finally:
            CALLER.reset(outer)
            caller.leave()

    def _wait_after(self, error: VideoCloudError, attempts: int, caller: Caller) -> float:
        """Seconds until the next try; raises the error if there is none. 0.0 where a gate will be waited at."""
        if attempts >= self.policy.max_attempts or not (caller.shut_out or self._spend()):
            error.exhausted = True
            raise error
        return 0.0 if caller.shut_out else self._wait(error, attempts)

    def _spend(self) -> bool:
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _wait(self, error: VideoCloudError, repetition: int) -> float:
        if isinstance(error, TransportError) and error.closed_before:
            return 0.0
        asked = error.retry_after if isinstance(error, ServiceUnavailableError) else None
        # None, or a moment that has passed (perhaps by a clock that is wrong) asks for no wait of its own.
        if asked:
            # A little more than asked, so that all who were told the same time do not come back at once.
            return min(asked, self.policy.retry_after_cap) * (1 + self._random() / 10)
        bound = self.policy.initial_backoff * 2.0 ** min(repetition - 1, 60)
        return self._random() * min(bound, self.policy.max_backoff)
