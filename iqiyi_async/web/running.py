"""A gateway that runs: its client, its store, the uploads that this process works at, and what expires."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import attrs

from .. import AsyncVideoCloud, VideoCloudError
from ..stores import GatewayJournal, GatewayRecord, GatewayState, Phase
from ._client import check_room, check_usable, store_of, writer_of
from .ending import Ending, OnFinish
from .leases import Hold, Leases, stored
from .piping import Piping, Way
from .records import Details
from .spool import Spool, Spooling
from .tus import TusError, unavailable

logger: logging.Logger = logging.getLogger(__name__)

#: How often it is looked whether uploads have expired, in seconds.
SWEEP = 60.0
#: So long an upload that has expired waits for a request that is still open, in seconds.
PATIENCE = 2.0


class Running:
    """What a gateway has once its first request has come.

    Args:
        cloud: the client.
        on_finish: the application's, or None.
        life: seconds that an upload is kept after its last byte.
        clock: seconds since 1970.
        spool: where bodies of unknown length go, or None.
    """

    def __init__(
        self,
        cloud: AsyncVideoCloud,
        on_finish: OnFinish | None,
        life: float,
        clock: Callable[[], float],
        spool: Spool | None,
    ) -> None:
        self.cloud = cloud
        self.store: GatewayJournal = store_of(cloud)
        self.leases: Leases = Leases(self.store, lambda store, record, stop: writer_of(cloud, store, record, stop))
        self.ending: Ending = Ending(self.store, on_finish)
        #: Set when the gateway is closed.
        self.closed: asyncio.Event = asyncio.Event()
        self._life = life
        self._piping = Piping(self.store, self.ending, life, clock)
        self._spooling = None if spool is None else Spooling(spool, cloud, self.store, self.ending, life, clock)
        # Those that could not be cancelled yet.
        self._expired: dict[str, GatewayRecord] = {}
        self._sweeper = asyncio.create_task(self._sweep(), name="iqiyi-async gateway sweeper")

    def check_room(self) -> None:
        """Look whether the client takes one more upload.

        Raises:
            TusError: 503: not now.
        """
        try:
            check_room(self.cloud)
        except VideoCloudError as problem:
            raise unavailable(str(problem), 5.0) from problem

    def check_usable(self) -> None:
        """Look whether the client still takes bytes.

        Raises:
            TusError: 503: it is shutting down.
        """
        try:
            check_usable(self.cloud)
        except VideoCloudError as problem:
            raise unavailable(str(problem), 5.0) from problem

    async def way(self, hold: Hold) -> Way:
        """How the bytes of a held upload come to the service.

        Raises:
            TusError: 410: it was being cancelled by a process that died.
        """
        if hold.writer.phase is Phase.CANCELLING:
            await self.ending.cancel(hold)
            raise TusError(410, "the upload is gone")
        if not Details.of(hold.record).spooled:
            return self._piping
        if self._spooling is None:
            raise unavailable("this server has no spool any more", 60.0)
        return self._spooling

    async def discard(self, record: GatewayRecord) -> None:
        """Throw away an upload whose URL nobody was told."""
        try:
            async with self.leases.hold(record) as hold:
                if hold.record.state is GatewayState.OPEN:
                    await (await self.way(hold)).cancel(hold)
        except TusError as problem:
            logger.warning("an upload whose creation was refused is cancelled only when it expires: %s", problem)

    async def set_size(self, hold: Hold, size: int) -> None:
        """The client says how long an upload is."""
        record = attrs.evolve(hold.record, size=size)
        if not await stored(self.store.update_upload(record, hold.writer.fence)):
            raise unavailable("another process has taken this upload over; try again")
        hold.record = record

    async def aclose(self) -> None:
        """End the requests under way, streams of events among them, and the sweeper."""
        self.closed.set()
        self._sweeper.cancel()
        await asyncio.wait([self._sweeper])
        for ended in self.leases.interrupt_all():
            await ended.wait()

    async def _sweep(self) -> None:
        if self._spooling is not None:
            await self._guarded(self._go_on_with_spool)
        while True:
            await asyncio.sleep(min(SWEEP, max(0.1, self._life / 2)))
            await self._guarded(self._expire)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as problem:  # noqa: BLE001 - of any store; the next round comes
            logger.warning("the gateway could not look after old uploads (%s: %s)", type(problem).__name__, problem)

    async def _expire(self) -> None:
        self._expired.update({record.key: record for record in await self.store.expire_uploads()})
        for record in tuple(self._expired.values()):
            try:
                async with self.leases.hold(record, PATIENCE) as hold:
                    await (await self.way(hold)).cancel(hold)
            except TusError as problem:
                logger.warning("an upload that has expired could not be cancelled: %s", problem)
                if problem.status in (423, 500, 503):
                    continue  # tried again at the next look
            del self._expired[record.key]

    async def _go_on_with_spool(self) -> None:
        """Upload what an earlier process has left whole in the spool."""
        spooling = self._spooling
        if spooling is None:
            return
        async for key in spooling.keys():
            record = await self.store.load_upload(key)
            if record is None or record.state is not GatewayState.OPEN:
                continue
            try:
                async with self.leases.hold(record, 0.0) as hold:
                    if await spooling.all_there(hold):
                        await spooling.conclude(hold)
            except TusError as problem:
                logger.warning("a spooled upload could not be ended: %s", problem)
