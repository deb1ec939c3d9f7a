"""One heartbeat for everything that a runner holds: all its claims are renewed in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import attrs

from .ledger.base import Ledger, LedgerError
from .models import Claim

#: A claim is held for a little longer than its lease says, so that an upload that begins at once needs no renewal.
GRACE = 0.1
#: So many beats in a lease; so many when the ledger could not be reached.
BEATS, HURRIED_BEATS = 6, 20


@attrs.define
class _Held:
    fence: int
    renewed: float


class Heartbeat:
    """Renews what is held.

    Args:
        ledger: where.
        lease_seconds: how long a claim lasts.
        clock: seconds; it goes on in suspend.
        after: called after each beat.
    """

    def __init__(
        self,
        ledger: Ledger,
        lease_seconds: float,
        *,
        clock: Callable[[], float],
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self.lease_seconds = lease_seconds
        self._ledger = ledger
        self._clock = clock
        self._after = after
        self._held: dict[int, _Held] = {}
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def claim_seconds(self) -> float:
        """How long a claim is asked for."""
        return self.lease_seconds * (1 + GRACE)

    @property
    def held(self) -> list[tuple[int, int]]:
        """What is held: numbers and fences."""
        return [(number, each.fence) for number, each in self._held.items()]

    def add(self, claims: Iterable[Claim], since: float) -> None:
        """Hold claims that were asked for at a moment of the clock."""
        for claim in claims:
            self._held[claim.number] = _Held(claim.fence, since)

    def drop(self, number: int, fence: int) -> None:
        """Hold a claim no more: it has ended, or was lost."""
        held = self._held.get(number)
        if held is not None and held.fence == fence:
            del self._held[number]

    def holds(self, number: int, fence: int) -> bool:
        """Whether a claim is held, as far as is known, and its lease not nearly over."""
        held = self._held.get(number)
        left = 0.0 if held is None else held.renewed + self.claim_seconds - self._clock()
        return held is not None and held.fence == fence and left > self.lease_seconds * GRACE

    def fresh(self, number: int, fence: int) -> bool:
        """Whether a claim lasts a whole lease from now on, without being renewed."""
        held = self._held.get(number)
        return (
            held is not None
            and held.fence == fence
            and self._clock() <= held.renewed + self.claim_seconds - self.lease_seconds
        )

    async def renew(self, number: int, fence: int) -> bool:
        """Wait for the next beat: whether a claim is still held then, for a whole lease from now on.

        Raises:
            LedgerError: the ledger could not be reached.
        """
        beat = asyncio.get_running_loop().create_future()
        self._waiting.append(beat)
        await beat
        held = self._held.get(number)
        return held is not None and held.fence == fence

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            beats = BEATS if await self.beat() else HURRIED_BEATS
            await asyncio.sleep(self.lease_seconds / beats)

    async def beat(self) -> bool:
        """Renew everything; False if the ledger could not be reached."""
        waiting, self._waiting = self._waiting, []
        since, held = self._clock(), self.held
        try:
            kept = await self._ledger.renew(held, self.claim_seconds) if held else set[int]()
        except LedgerError as problem:
            for each in waiting:
                if not each.done():
                    each.set_exception(problem)
            return False
        except BaseException:
            for each in waiting:
                each.cancel()
            raise
        self._renewed(held, kept, since)
        for each in waiting:
            if not each.done():
                each.set_result(None)
        self._after()
        return True

    def _renewed(self, held: list[tuple[int, int]], kept: set[int], since: float) -> None:
        for number, fence in held:
            now = self._held.get(number)
            if now is None or now.fence != fence:
                continue
            if number in kept:
                now.renewed = since
            else:
                del self._held[number]

    def close(self) -> None:
        """Nothing beats any more: who waits is told so."""
        for each in self._waiting:
            each.cancel()
