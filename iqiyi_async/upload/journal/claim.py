"""The claim of one upload's page in a journal: its lease, who has lost it, and what a journal that fails means.

A run that has lost its lease writes nothing more. Finding the journal removed or replaced is an acquire: if the new
one has a holder, or an entry, this run has lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import attrs

from ..._clocks import boottime
from ..._concurrency import Background, is_cancellation, run_to_completion
from ...errors import UploadError
from ...models import ChunkReceipt, Fingerprint, JournalEntry
from ...stores.base import UploadJournal
from ..reading.base import AlreadyHeldError
from .lease import Lease

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A journal that took so long to fail (it is locked) is told no ranges for so many times as long.
LEFT_ALONE = 10


class JournalClaim:
    """The lease of one upload's page in a journal. Without a journal it does nothing.

    Args:
        journal: where uploads are kept, or None.
        key: the upload's name there.
        required: whether a journal that can't be asked fails the upload before anything is sent.
        strict: whether one that can't be written under way fails it too.
        lease_seconds: how long a process that died keeps others from this upload.
        on_lost: called once when the lease turns out to be lost.
        clock: seconds; it goes on in suspend.
        unreleased: owners of leases that could not be given back, by key: the next claim of such a key is made under
            the same name, and need not wait until the lease is over.
    """

    def __init__(
        self,
        journal: UploadJournal | None,
        key: str,
        *,
        required: bool = True,
        strict: bool = False,
        lease_seconds: float = 60.0,
        on_lost: Callable[[UploadError], None] = lambda error: None,
        clock: Callable[[], float] = boottime,
        unreleased: MutableMapping[str, str] | None = None,
    ) -> None:
        self._journal = journal
        self._shared = bool(getattr(journal, "shared", True))
        self._key = key
        self._required = required
        self._strict = strict
        # A journal whose calls take effect in the order in which they are made is told several things at once.
        self._ordered = bool(getattr(journal, "ordered", False)) and not strict
        # A class that is derived from one that says so may wait for other things too: it has to say so itself.
        self._completes = any(_says(each, "completes") for each in (journal, type(journal)))
        self._on_lost = on_lost
        lease = partial(Lease, on_refused=self._renewal_refused, on_failure=self._renewal_failed, clock=clock)
        self._unreleased: MutableMapping[str, str] = {} if unreleased is None else unreleased
        owner = self._unreleased.pop(key, None)
        self._lease = None if journal is None else lease(journal, key, lease_seconds, owner=owner)
        self._lost: UploadError | None = None
        self._warned = False
        self._clock = clock
        self._alone_until = 0.0
        self._entry: JournalEntry | None = None
        self._missing = 0
        #: Whether accepted ranges are missing in the journal.
        self._incomplete = False
        #: The last range, until it is written together with what follows it.
        self._last: ChunkReceipt | None = None
        self._looked: tuple[Fingerprint, asyncio.Task[tuple[JournalEntry, ...]]] | None = None
        self._beside = Background()
        self._reclaiming = asyncio.Lock()
        self.accepted: list[ChunkReceipt] = []

    @property
    def active(self) -> bool:
        """Whether there is a journal that is asked."""
        return self._journal is not None

    @property
    def fence(self) -> int:
        """The number of the lease, while it is held."""
        assert self._lease is not None
        assert self._lease.fence is not None
        return self._lease.fence

    @property
    def lost(self) -> bool:
        """Whether another run has the lease, or may have it."""
        return self._lost is not None

    @asynccontextmanager
    async def lease(
        self, look_for: Callable[[], Awaitable[Fingerprint]] | None = None
    ) -> AsyncGenerator[JournalEntry | None, None]:
        """Hold the lease of this upload, and get what an earlier run has left.

        Args:
            look_for: gives the fingerprint of a source whose candidates will be asked for unless there is something:
                where the journal allows it, they are looked for at the same time.

        Raises:
            UploadError: another run, here or in another process, holds it; or the journal can't be asked.
        """
        try:
            wanted = await look_for() if look_for is not None and self._ordered else None
            yield await self._open(wanted) if self.active else None
        finally:
            if self._looked is not None:
                await _ended(self._looked[1])
            try:
                if self._lease is not None and self._lease.fence is not None:
                    await run_to_completion(self._close(self._lease))
            finally:
                self._lease = None  # Which refers to this page too: no cycle is left to the garbage collector.

    def check(self) -> None:
        """Look whether the lease is still held.

        Raises:
            UploadError: it was not renewed in time, and another run took it, or may have.
        """
        lease = self._lease
        if self._lost is None and lease is not None and lease.fence is not None and self._shared and lease.over:
            self._lose("its lease could not be renewed in time")
        if self._lost is not None:
            raise self._lost

    async def confirm(self) -> None:
        """Look whether the lease is still held, in the journal too where it may be over by the clock: the process may
        have been stopped.

        Raises:
            UploadError: another run took it, or may have.
        """
        self.check()
        lease = self._lease
        if self._journal is not None and lease is not None and lease.fence is not None and lease.over:
            await lease.renew()
        self.check()

    # The lease

    async def _open(self, look_for: Fingerprint | None) -> JournalEntry | None:
        journal, lease = self._journal, self._lease
        assert journal is not None
        assert lease is not None
        # The fence is kept in there: a caller that was cancelled has to give the lease back all the same.
        acquired = asyncio.ensure_future(lease.acquire())
        loaded = asyncio.ensure_future(journal.load(self._key)) if self._ordered else None
        if self._ordered and look_for is not None:
            self._looked = look_for, asyncio.ensure_future(journal.find(look_for.size, look_for.digest))
        try:
            held = await self._before_sending(run_to_completion(acquired))
            if held is False:
                raise AlreadyHeldError(
                    "this source is being uploaded already, by this or another process; if that one has died, its claim"
                    f" ends within {lease.seconds:.0f} s",
                    retryable=True,
                    resumable=True,
                )
            if self._journal is None:
                return None
            lease.keep()
            return await self._before_sending(journal.load(self._key) if loaded is None else loaded)
        finally:
            if loaded is not None:
                await _ended(loaded)

    def _renewal_failed(self, problem: Exception) -> None:
        self._warn(problem)
        if self._shared and self._lease is not None and self._lease.over:
            self._lose("its lease could not be renewed in time")

    async def _renewal_refused(self, fence: int) -> None:
        await self._without_telling(lambda: self._kept(kept=False, fence=fence))

    async def _without_telling(self, work: Callable[[], Awaitable[object]]) -> None:
        """That the lease is lost is known to the session then, and `on_lost` was called."""
        with suppress(UploadError):
            await work()

    async def _kept(self, kept: bool | None, fence: int) -> bool:
        """After a write under a fence: whether it was done. A write without effect means that the lease is lost, or
        that the journal was removed or replaced; then everything is written again.

        Raises:
            UploadError: the lease is lost.
        """
        if kept is not False:
            return True
        await run_to_completion(self._reclaim(fence))
        self.check()
        return False

    async def _reclaim(self, fence: int) -> None:
        """Finding the journal gone is an acquire: if the new one has a holder, or an entry, this run has lost."""
        async with self._reclaiming:
            if self._lease is None or self._lease.fence != fence or self._lost is not None:
                return  # Another write has found so before, and has done what there is to do.
            try:
                why = await self._write_anew()
            except Exception as problem:  # noqa: BLE001 - a journal may raise the errors of its own library
                self._warn(problem)
                why = "the journal can't be asked whether another process has taken it over"
            if why:
                self._lose(why)

    async def _write_anew(self) -> str:
        """Get the lease in a journal that was removed or replaced, and write what is known into it; or why not."""
        journal, lease, entry = self._journal, self._lease, self._entry
        if journal is None or lease is None:
            return ""
        if not await lease.acquire() or await journal.load(self._key) is not None:
            return "another process has taken it over"
        logger.warning("the upload journal was removed or replaced; what is known of %s is written again", self._name)
        if entry is not None:
            self._last = None
            await journal.begin(self._key, self.fence, attrs.evolve(entry, accepted=tuple(self.accepted)))
        return ""

    def _carried_out(self, work: Awaitable[T]) -> Awaitable[T]:
        """A write, to be awaited: it is not left half done, even if its caller is cancelled."""
        return work if self._completes else run_to_completion(work)

    def _lose(self, why: str) -> None:
        assert self._lease is not None
        if self._lost is None:
            self._lost = UploadError(
                f"this run has stopped its upload: {why}; the other run goes on, or the same upload can be called"
                " again",
                file_id=self._entry.file_id if self._entry is not None else None,
                resumable=True,
                retryable=True,
            )
            self._lease.give_up()
            self._on_lost(self._lost)

    async def _close(self, lease: Lease) -> None:
        await lease.stop()
        await self._write_last()
        try:
            await lease.release()
        except (Exception, asyncio.CancelledError) as problem:  # a journal may raise the errors of its own library
            if is_cancellation(problem):
                raise
            self._unreleased[self._key] = lease.owner
            self._warn(problem)
        await self._beside.wait()

    # A journal that fails

    async def _before_sending(self, work: Awaitable[T]) -> T | None:
        try:
            return await work
        except UploadError:
            raise
        except Exception as problem:
            if self._required:
                raise UploadError(
                    f"the upload journal can't be used ({words_of(problem)}); no byte was sent: mend the journal, or"
                    " set journal_required=False to upload without it",
                    resumable=False,
                    retryable=True,
                ) from problem
            self._warn(problem)
            self._journal = None
            return None

    async def _write_last(self) -> None:
        """Begin to write the last range, if it is not written yet; what is asked of the journal next comes behind it,
        as a rule in the same commit."""
        journal, chunk = self._journal, self._last
        self._last = None
        if journal is None or chunk is None or self._lost is not None:
            return
        write = partial(self._while_sending, lambda fence: journal.record(self._key, fence, chunk))
        self._beside.begin(self._without_telling(write))
        await asyncio.sleep(0)

    async def _while_sending(self, write: Callable[[int], Awaitable[bool]]) -> None:
        fence, began = self.fence, self._clock()
        try:
            kept = await self._carried_out(write(fence))
        except Exception as problem:
            if self._strict:
                raise
            self._incomplete = True
            self._alone_until = self._clock() + LEFT_ALONE * (self._clock() - began)
            self._warn(problem)
        else:
            await self._kept(kept, fence)

    def _warn(self, problem: BaseException) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "the upload journal failed (%s); upload %s goes on without it", words_of(problem), self._name
            )

    @property
    def _name(self) -> str:
        return "(not begun)" if self._entry is None else self._entry.file_id


def _says(thing: object, name: str) -> bool:
    """Whether an attribute of the thing itself is true: one that is inherited does not count."""
    return bool(getattr(thing, "__dict__", {}).get(name, False))


async def _ended(reading: asyncio.Task[T]) -> None:
    """Nobody needs what is being read any more."""
    if not reading.done():
        reading.cancel()
        await run_to_completion(asyncio.wait([reading]))
    if not reading.cancelled():
        reading.exception()  # counts as seen


def words_of(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
