"""What a runner holds in the ledger: claimed, ended, given back; and a ledger that is away is waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .._clocks import boottime
from .._concurrency import run_to_completion
from .heartbeat import Heartbeat
from .ledger.base import Ledger, LedgerError
from .models import Claim, Ending

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

#: The waits of a runner that has nothing to do, or whose ledger is away, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0


async def ask(call: Callable[[], Awaitable[T]], patience: float) -> T:
    """Ask a ledger, and again while it can't be reached, for so many seconds. The log says so once.

    Raises:
        LedgerError: it could not be reached.
    """
    clock = asyncio.get_running_loop().time
    began, wait, level = clock(), FIRST_WAIT, logging.WARNING
    while True:
        try:
            return await call()
        except LedgerError as problem:
            if problem.lasting or clock() - began >= patience:
                raise
            logger.log(level, "%s; trying again", problem)
        level = logging.DEBUG
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


class Claims:
    """The claims of one runner.

    Args:
        ledger: where.
        heartbeat: renews them.
        patience: how long a ledger that can't be reached is waited for, in seconds.
    """

    def __init__(self, ledger: Ledger, heartbeat: Heartbeat, patience: float) -> None:
        self._ledger = ledger
        self._heartbeat = heartbeat
        self._patience = patience

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask the ledger, also one that is being restarted.

        Raises:
            LedgerError: it could not be reached for as long as that is waited for.
        """
        return await ask(call, self._patience)

    async def take(self, claim: Callable[[int, float], Awaitable[list[Claim]]], limit: int) -> list[Claim]:
        """Claim up to so many items.

        Raises:
            LedgerError: as for `ask`.
        """

        async def once() -> list[Claim]:
            since = boottime()
            claims = await claim(limit, self._heartbeat.claim_seconds)
            self._heartbeat.add(claims, since)
            return claims

        # Even if the run is cancelled meanwhile, what was claimed is known, and given back.
        return await self.ask(lambda: run_to_completion(once()))

    async def end(self, claim: Claim, ending: Ending) -> bool:
        """Write what a claim has come to; False if it was lost.

        Raises:
            LedgerError: as for `ask`.
        """
        held = (claim.number, claim.fence)
        done = await run_to_completion(self.ask(lambda: self._ledger.end(held, ending)))
        if not (done and ending.keep):
            self._heartbeat.drop(*held)
        if not done:
            logger.info("item %d was taken over by another runner", claim.number)
        return done

    async def give_back(self, claim: Claim) -> None:
        """The item is as it was before. If that can't be written, it is held until its lease ends."""
        self._heartbeat.drop(claim.number, claim.fence)
        await self._release([(claim.number, claim.fence)])

    async def give_all_back(self) -> None:
        """Give back what is still held."""
        self._heartbeat.close()
        await self._release(self._heartbeat.held)

    async def _release(self, held: list[tuple[int, int]]) -> None:
        try:
            if held:
                await self._ledger.release(held)
        except LedgerError as problem:
            logger.warning("%d items are held until their leases end: %s", len(held), problem)
