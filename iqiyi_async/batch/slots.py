"""The numbered slot of a runner: how many of them are alive, and which share of the bandwidth each has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from .._concurrency import run_to_completion
from ..client import AsyncVideoCloud
from ..upload.sharing.timetable import Timetable
from .heartbeat import BEATS
from .ledger.base import Held, Ledger, LedgerError
from .starting import bandwidth_of

logger: logging.Logger = logging.getLogger(__name__)


class Slot:
    """A runner's place among all runners of its batch.

    Args:
        cloud: whose bandwidth is shared.
        ledger: where the slots are.
        lease_seconds: how long a slot is held without being renewed.
        limit: of all runners together, by the time of day; no limit of the batch's own if None.
    """

    def __init__(self, cloud: AsyncVideoCloud, ledger: Ledger, lease_seconds: float, limit: Timetable | None) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._ttl = lease_seconds
        self._limit = limit
        #: Bytes a second that this runner may send: None is no limit.
        self.share: int | None = None
        self._held: Held | None = None
        self._before: int | None = None

    async def take(self) -> None:
        """Take a slot. Its share is nothing until all others know of it."""
        self._before = bandwidth_of(self._cloud)
        await self._take()
        await self._renew()

    async def run(self, patiently: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
        """Renew it until cancelled."""
        while True:
            await asyncio.sleep(self._pause())
            await patiently(self._renew)

    async def free(self) -> None:
        """Give it back. The client has the limit that it had before, unless it was given another one since."""
        if self._limit is not None and bandwidth_of(self._cloud) == self.share:
            self._cloud.set_bandwidth(self._before)
        held, self._held = self._held, None
        try:
            if held is not None:
                await self._ledger.free_slot(held)
        except LedgerError as problem:
            logger.warning("this runner counts as alive until its slot expires: %s", problem)

    async def _take(self) -> None:
        async def take() -> None:
            self._held = await self._ledger.take_slot(self._ttl)

        # Even if the run is cancelled meanwhile, what was taken is known, and given back.
        await run_to_completion(take())

    def _pause(self) -> float:
        """Until the next renewal, or until the limit changes."""
        pause = self._ttl / BEATS
        now = datetime.now().astimezone()
        change = None if self._limit is None else self._limit.next_change(now)
        return pause if change is None else max(0.05, min(pause, (change - now).total_seconds()))

    async def _renew(self) -> None:
        if self._held is None:
            return
        kept, live, settled = await self._ledger.renew_slot(self._held, self._ttl)
        if not kept:
            # It was not renewed in time, and perhaps taken: this runner is a newcomer again.
            await self._take()
            _, live, settled = await self._ledger.renew_slot(self._held, self._ttl)
        if self._limit is not None:
            most = self._limit.rate_at(datetime.now().astimezone())
            share = None if most is None else most // max(1, live) if settled else 0
            if share != self.share or share is None:
                self.share = share
                self._cloud.set_bandwidth(share)
