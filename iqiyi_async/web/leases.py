"""Who works at an upload: one request at a time, over all processes. A newcomer interrupts the one before.

A client notices a dead link before the server does: when it comes back, the request that it has given up is still
open. It is asked to stop; what it has received is sent, and the newcomer goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

from .. import UploadError
from ..stores import GatewayJournal, GatewayRecord
from ..upload.range_writer import AlreadyHeldError, RangeWriter
from .tus import TusError, unavailable

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

#: So long a newcomer waits for the ranges that are under way, in seconds.
PATIENCE = 10.0
#: How often a holder looks whether another process wants the upload, and how often that one asks, in seconds.
LOOK = 0.5
#: How often a newcomer tries whether another process has let go, in seconds.
TRY = 0.1

OnStop = Callable[[UploadError], None]
MakeWriter = Callable[[GatewayJournal, GatewayRecord, OnStop], RangeWriter]


class Hold:
    """One request's hold on an upload.

    Attributes:
        writer: writes its ranges.
        record: as it was when the hold began; the one who changes it in the store changes it here.
        received: bytes that have come from the browser, from the beginning on.
        interrupted: set when the request should end.
        stopped: why, if it is not for the sake of another request.
    """

    def __init__(self, make_writer: Callable[[OnStop], RangeWriter], record: GatewayRecord) -> None:
        self.writer: RangeWriter = make_writer(self.stop)
        self.record: GatewayRecord = record
        self.received: int = record.received
        self.interrupted: asyncio.Event = asyncio.Event()
        self.ended: asyncio.Event = asyncio.Event()
        self.stopped: UploadError | None = None

    def begun(self, record: GatewayRecord) -> None:
        """The lease is held: this is what the store says now."""
        self.record, self.received = record, record.received

    def stop(self, why: UploadError) -> None:
        """The client is shutting down, or the lease is lost."""
        self.stopped = self.stopped or why
        self.interrupted.set()


class Leases:
    """The uploads that this process works at.

    Args:
        store: the journal.
        make_writer: makes a writer for a record.
        random: a number from 0 up to 1, different each time.
    """

    def __init__(
        self, store: GatewayJournal, make_writer: MakeWriter, random: Callable[[], float] = random.random
    ) -> None:
        self._store = store
        self._make_writer = make_writer
        self._random = random
        self._holds: dict[str, Hold] = {}

    @asynccontextmanager
    async def hold(self, record: GatewayRecord, patience: float = PATIENCE) -> AsyncGenerator[Hold, None]:
        """Be the only one who works at an upload.

        Args:
            record: the upload; it is read again once the lease is held.
            patience: seconds to wait for the one before.

        Raises:
            TusError: 423 if the one before does not end in time; 404 if the upload is gone; 503 if the store fails.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience
        asked = float("-inf")
        while True:
            before = self._holds.get(record.key)
            if before is not None:
                await self._wait_for(before, deadline)
                continue
            hold = Hold(partial(self._make_writer, self._store, record), record)
            async with AsyncExitStack() as stack:
                # Before the lease: who waits for its end finds it free.
                stack.callback(self._let_go, record.key, hold)
                if await self._enter(stack, hold.writer):
                    fresh = await stored(self._store.load_upload(record.key))
                    if fresh is None:
                        raise TusError(404, "there is no such upload")
                    hold.begun(fresh)
                    self._holds[record.key] = hold
                    yield hold
                    return
            now = clock()
            if now >= deadline:
                raise _locked()
            if now >= asked + LOOK:
                asked = now
                await stored(self._store.request_release(record.key))
            await asyncio.sleep(TRY)

    def interrupt_all(self) -> list[asyncio.Event]:
        """Ask all requests of this process to end.

        Returns:
            What is set when each has ended.
        """
        why = UploadError("the gateway is shutting down", resumable=True, retryable=True)
        for hold in self._holds.values():
            hold.stop(why)
        return [hold.ended for hold in self._holds.values()]

    async def watch(self, hold: Hold, life: float, clock: Callable[[], float]) -> None:
        """While bytes come: note how far the upload is, and look whether another process wants it.

        Args:
            hold: the upload.
            life: seconds that it is kept after its last byte.
            clock: seconds since 1970.
        """
        noted = (-1, -1)
        while True:
            # Not all at the same moment: whoever asks the store then would wait for hundreds of looks.
            await asyncio.sleep(LOOK * (0.5 + self._random()))
            try:
                now = await self._store.load_upload(hold.record.key)
                if now is None or now.releases != hold.record.releases:
                    hold.interrupted.set()
                there = (hold.writer.offset, hold.received)
                if there != noted:
                    noted = there
                    await self._store.set_offset(hold.record.key, hold.writer.fence, *there, clock() + life)
            except Exception as problem:  # noqa: BLE001 - of any store; what has to be written fails by itself
                logger.warning("the store of the gateway failed (%s: %s)", type(problem).__name__, problem)

    def _let_go(self, key: str, hold: Hold) -> None:
        if self._holds.get(key) is hold:
            del self._holds[key]
        hold.ended.set()

    async def _wait_for(self, before: Hold, deadline: float) -> None:
        before.interrupted.set()
        try:
            async with asyncio.timeout_at(deadline):
                await before.ended.wait()
        except TimeoutError:
            raise _locked() from None

    async def _enter(self, stack: AsyncExitStack, writer: RangeWriter) -> bool:
        try:
            await stack.enter_async_context(writer.lease())
        except AlreadyHeldError:
            return False
        except UploadError as problem:
            raise unavailable(str(problem)) from problem
        return True


async def stored(work: Awaitable[T]) -> T:
    """What the store answers.

    Raises:
        TusError: 503: it failed, in whatever way.
    """
    try:
        return await work
    except Exception as problem:
        logger.warning("the store of the gateway failed (%s: %s)", type(problem).__name__, problem)
        raise unavailable("the server can't look the upload up now; try again later") from problem


def _locked() -> TusError:
    return TusError(423, "another request is still at work at this upload; try again later", {"Retry-After": "2"})
