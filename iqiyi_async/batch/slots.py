"""The numbered slot of a runner: how many of them are alive, and which share of the bandwidth each has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from ..client import AsyncVideoCloud
from .heartbeat import BEATS
from .ledger import Held, Ledger, LedgerError

logger: logging.Logger = logging.getLogger(__name__)


class Slot:
    """A runner's place among all runners of its batch.

    Args:
        cloud: whose bandwidth is shared.
        ledger: where the slots are.
        lease_seconds: how long a slot is held without being renewed.
        max_bandwidth: bytes a second over all runners; no limit if None.
    """

    def __init__(self, cloud: AsyncVideoCloud, ledger: Ledger, lease_seconds: float, max_bandwidth: int | None) -> None:
        self._cloud = cloud
        self._ledger = ledger
        self._ttl = lease_seconds
        self._most = max_bandwidth
        self._limited = max_bandwidth is not None
        self._share: int | None = None
        self._held: Held | None = None
        self._changed = asyncio.Event()

    def set_bandwidth(self, bytes_per_second: int | None) -> None:
        """Change what all runners together may send."""
        self._most, self._limited = bytes_per_second, True
        self._changed.set()

    async def take(self) -> None:
        """Take a slot. Its share is nothing until all others know of it."""
        self._held = await self._ledger.take_slot(self._ttl)
        await self._renew()

    async def run(self, patiently: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
        """Renew it until cancelled."""
        while True:
            self._changed.clear()
            with anyio.move_on_after(self._ttl / BEATS):
                await self._changed.wait()
            await patiently(self._renew)

    async def free(self) -> None:
        """Give it back."""
        held, self._held = self._held, None
        try:
            if held is not None:
                await self._ledger.free_slot(held)
        except LedgerError as problem:
            logger.warning("this runner counts as alive until its slot expires: %s", problem)

    async def _renew(self) -> None:
        if self._held is None:
            return
        kept, live, settled = await self._ledger.renew_slot(self._held, self._ttl)
        if not kept:
            # It was not renewed in time, and perhaps taken: this runner is a newcomer again.
            self._held = await self._ledger.take_slot(self._ttl)
            settled = live <= 1
        if self._limited:
            share = None if self._most is None else self._most // max(1, live) if settled else 0
            if share != self._share or share is None:
                self._share = share
                self._cloud.set_bandwidth(share)
