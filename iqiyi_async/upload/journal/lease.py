"""The lease of one upload in a journal: taken, renewed in time, and counted from before it was asked for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from ...stores.base import UploadJournal

#: A lease is renewed when this part of it is over, and a shared one given up when this part of it is left.
RENEW_AFTER, MARGIN = 1 / 3, 1 / 10


class Lease:
    """A claim of a key, which is renewed until `stop` is called.

    Args:
        journal: where it is held.
        key: of the upload.
        seconds: how long it lasts without being renewed.
        on_refused: awaited when a renewal finds the lease lost, or the journal replaced.
        on_failure: called when a renewal fails; the old expiry stands.
        clock: seconds; it goes on in suspend.
        owner: whose claim it is: a name that nobody else has; by default a new one.
    """

    def __init__(
        self,
        journal: UploadJournal,
        key: str,
        seconds: float,
        *,
        on_refused: Callable[[int], Awaitable[object]],
        on_failure: Callable[[Exception], None],
        clock: Callable[[], float],
        owner: str | None = None,
    ) -> None:
        self._journal = journal
        self._key = key
        self._on_refused = on_refused
        self._on_failure = on_failure
        self._clock = clock
        self._expires = 0.0
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.owner: str = owner or secrets.token_hex(8)
        self.seconds: float = seconds
        #: The number of the claim, or None before the first one.
        self.fence: int | None = None

    @property
    def over(self) -> bool:
        """Whether it may be over before long."""
        return self._clock() >= self._expires - self.seconds * MARGIN

    async def acquire(self) -> bool:
        """Claim the key, also a second time: False while another owner holds it."""
        began = self._clock()
        fence = await self._journal.acquire(self._key, self.owner, self.seconds)
        if fence is not None:
            self.fence, self._expires = fence, began + self.seconds
        return fence is not None

    async def release(self) -> None:
        """Give it back. It was acquired."""
        assert self.fence is not None
        await self._journal.release(self._key, self.fence)

    def keep(self) -> None:
        """Begin to renew it."""
        self._renew_later(self.seconds * RENEW_AFTER)

    def give_up(self) -> None:
        """It is lost: it is not renewed any more."""
        self._stopped = True

    async def stop(self) -> None:
        """Renew it no more; a renewal under way is cancelled, and its end awaited."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _renew_later(self, seconds: float) -> None:
        if not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._begin_renewal)

    def _begin_renewal(self) -> None:
        self._renewal = asyncio.get_running_loop().create_task(self._renew(), name="iqiyi-async journal lease")

    async def _renew(self) -> None:
        renewed = await self.renew()
        self._renew_later(self.seconds * (RENEW_AFTER if renewed else MARGIN / 2))

    async def renew(self) -> bool:
        """Renew it now. It was acquired. False if the journal failed, and the old expiry stands."""
        fence = self.fence
        assert fence is not None
        began = self._clock()
        try:
            kept = await self._journal.renew(self._key, fence, self.seconds)
        except Exception as problem:  # noqa: BLE001 - a journal may raise the errors of its own library
            self._on_failure(problem)
            return False
        if not kept:
            await self._on_refused(fence)
        elif fence == self.fence:
            self._expires = began + self.seconds
        return True
