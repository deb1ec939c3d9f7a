"""Limits of bytes and of requests a second, shared by all uploads of a client and changeable while they run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import attrs

from ... import _validation
from ..._fair_queue import FairQueue, Turn, current_turn
from ...config import KIB
from .adaptive import LEAST_SHARE

#: What may be caught up with after a silence, in seconds of the rate.
BURST_SECONDS = 0.2
#: One write is worth so much time, so that many writers take turns; but it is at least `LEAST_PIECE` bytes.
PIECE_SECONDS = 0.05
LEAST_PIECE = 4 * KIB
#: Timers are not exact, so requests may catch up with so many seconds of their rate.
REQUEST_BURST_SECONDS = 0.02

#: No timer is shorter, in seconds: a clock may stand still for so long.
LEAST_WAIT = 0.001

_NOBODY = Turn()


@attrs.define
class TokenBucket:
    """Units that come in at a rate, up to a bound. Pure: it is told the time.

    Attributes:
        rate: units a second.
        bound: the most that is saved.
        saved: units that may be spent at once, at the time `updated`.
        updated: seconds of any steady clock.
    """

    rate: float
    bound: float
    saved: float
    updated: float

    def wait_for(self, units: float, now: float) -> float:
        """How long it takes, in seconds, until so many units can be spent; infinite at a rate of 0."""
        self._update(now)
        missing = units - self.saved
        if missing <= 0:
            return 0.0
        return missing / self.rate if self.rate else math.inf

    def spend(self, units: float) -> None:
        """Take units out; negative ones are put back."""
        self.saved = min(self.saved - units, self.bound)

    def change(self, rate: float, bound: float, now: float) -> None:
        """From now on units come in at another rate."""
        self._update(now)
        self.rate = rate
        self.bound = bound
        self.saved = min(self.saved, bound)

    def _update(self, now: float) -> None:
        if now > self.updated:
            self.saved = min(self.saved + (now - self.updated) * self.rate, self.bound)
            self.updated = now


@attrs.define(eq=False)
class _Waiter:
    """A caller that waits for up to so many units; the future tells how many it was given."""

    most: int
    given: asyncio.Future[int]


class _Limiter:
    """A bucket, and those who wait for it: by groups and priorities, first come, first served among equals.

    The clock is that of the event loop, or another steady one that goes as fast.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bucket: TokenBucket | None = None
        self._waiting: FairQueue[_Waiter] = FairQueue()
        #: Whose turn it is; it waits for the bucket only.
        self._next: _Waiter | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait at this moment."""
        return len(self._waiting) + (self._next is not None)

    def _piece(self, most: int) -> int:
        return most

    def _change(self, rate: float | None, bound: float, saved: float = 0.0) -> None:
        """Set the rate, and what is saved where there was none before; waiting transfers are served again."""
        now = self._clock()
        if rate is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = TokenBucket(rate, bound, saved, now)
        else:
            self._bucket.change(rate, bound, now)
        self._serve()

    async def _take(self, most: int, turn: Turn) -> int:
        if self._bucket is None:
            return most
        if not self.waiting and self._ready(units := self._piece(most)):
            self._bucket.spend(units)
            return units
        waiter = _Waiter(most, asyncio.get_running_loop().create_future())
        self._waiting.push(turn, waiter, self._piece(most))
        self._serve()
        try:
            return await waiter.given
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: _Waiter) -> None:
        if self._next is waiter:
            self._next = None
        elif not self._waiting.remove(waiter) and self._bucket is not None and not waiter.given.cancelled():
            # Its turn came at the moment when it was cancelled.
            self._bucket.spend(-waiter.given.result())
        self._serve()

    def _ready(self, units: int) -> bool:
        return self._bucket is None or self._bucket.wait_for(units, self._clock()) == 0.0

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._next is not None or self._waiting:
            if self._next is None:
                self._next = self._waiting.pop()
            if self._next.given.cancelled():
                self._next = None
                continue
            units = self._piece(self._next.most)
            if self._bucket is not None:
                wait = self._bucket.wait_for(units, self._clock())
                if wait > 0.0:
                    self._wait(wait)
                    return
                self._bucket.spend(units)
            self._next.given.set_result(units)
            self._next = None

    def _wait(self, seconds: float) -> None:
        if seconds < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(seconds, LEAST_WAIT), self._serve)


class BandwidthLimiter(_Limiter):
    """Bytes a second over everything that is sent; who writes asks before each write.

    In any second at most ``rate + burst`` bytes are given out, where the burst is `BURST_SECONDS` of the rate (or
    `LEAST_PIECE` bytes, if that is more).

    Args:
        rate: bytes a second; None is no limit, 0 a pause.
        clock: seconds of a steady clock, such as the event loop's.
    """

    def __init__(self, rate: int | None, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._rate: int | None = None
        self.set_rate(rate)

    @property
    def rate(self) -> int | None:
        """Bytes a second; None is no limit, 0 a pause."""
        return self._rate

    def set_rate(self, rate: int | None) -> None:
        """Change the limit, for those who wait already, too. Call it in the event loop of those who wait.

        Args:
            rate: bytes a second; None is no limit, 0 a pause.

        Raises:
            ConfigurationError: it is neither None nor a whole number of at least 0.
        """
        if rate is not None:
            _validation.whole("max_bandwidth", rate, least=0, most=2**50, unit="bytes a second")
        self._rate = rate
        self._change(rate, max(rate * BURST_SECONDS, LEAST_PIECE) if rate else 0.0)

    def piece(self, most: int) -> int:
        """How many of so many bytes are given out at a time."""
        if self._rate is None:
            return most
        return min(most, max(LEAST_PIECE, int(self._rate * PIECE_SECONDS)))

    def workers(self, most: int) -> int:
        """How many of so many workers are worth their while: each needs `LEAST_SHARE` bytes a second."""
        return most if self._rate is None else max(1, min(most, self._rate // LEAST_SHARE))

    async def take(self, most: int, turn: Turn = _NOBODY) -> int:
        """Wait until bytes may be handed to the system.

        Args:
            most: how many there are, at least 1.
            turn: on whose behalf.

        Returns:
            How many may be handed over now: `piece(most)`, so at least 1 and at most `most`.
        """
        return await self._take(most, turn)

    def _piece(self, most: int) -> int:
        return self.piece(most)


class RequestLimiter(_Limiter):
    """Requests a second; each that leaves asks first, repeats and polls too.

    Args:
        rate: requests a second; None is no limit.
        clock: seconds of a steady clock, such as the event loop's.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        if rate is not None:
            self._change(rate, max(1.0, rate * REQUEST_BURST_SECONDS), saved=1.0)

    async def take(self) -> None:
        """Wait until one more request may be sent."""
        await self._take(1, current_turn.get())
