"""One upload's page in the journal: its lease, and what is written when.

The rules of this file:

- Before anything is sent, a journal that can't be asked fails the upload, unless the options say otherwise.
- Under way, accepted ranges may be missing from it; a phase may not: what can't be undone is announced first.
- A run that has lost its lease writes nothing more, and sends neither metadata nor finish nor cancel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import attrs

from .._concurrency import Background, run_to_completion
from ..errors import UploadError
from ..models import ChunkReceipt, Fingerprint, JournalEntry, Phase
from ..stores.base import UploadJournal
from .finish import boottime
from .lease import Lease
from .reading.base import AlreadyHeldError

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A journal that took so long to fail (it is locked) is told no ranges for so many times as long.
LEFT_ALONE = 10


class JournalSession:
    """One upload's page in a journal. Without a journal it does nothing.

    Args:
        journal: where uploads are kept, or None.
        key: the upload's name there.
        required: whether a journal that can't be asked fails the upload before anything is sent.
        strict: whether one that can't be written under way fails it too.
        lease_seconds: how long a process that died keeps others from this upload.
        on_lost: called once when the lease turns out to be lost.
        clock: seconds; it goes on in suspend.
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
    ) -> None:
        self._journal = journal
        self._shared = bool(getattr(journal, "shared", True))
        self._key = key
        self._required = required
        self._strict = strict
        # A journal whose calls take effect in the order in which they are made is told several things at once.
        self._ordered = bool(getattr(journal, "ordered", False)) and not strict
        self._on_lost = on_lost
        lease = partial(Lease, on_refused=self._renewal_refused, on_failure=self._renewal_failed, clock=clock)
        self._lease = None if journal is None else lease(journal, key, lease_seconds)
        self._lost: UploadError | None = None
        self._warned = False
        self._clock = clock
        self._alone_until = 0.0
        self._entry: JournalEntry | None = None
        self._missing = 0
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
    async def lease(self) -> AsyncGenerator[JournalEntry | None, None]:
        """Hold the lease of this upload, and get what an earlier run has left.

        Raises:
            UploadError: another run, here or in another process, holds it; or the journal can't be asked.
        """
        try:
            yield await self._open() if self.active else None
        finally:
            if self._lease is not None and self._lease.fence is not None:
                await run_to_completion(self._close(self._lease))

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

    async def candidates(self, fingerprint: Fingerprint) -> tuple[JournalEntry, ...]:
        """Entries of other sources that may have the same bytes.

        Raises:
            UploadError: the journal can't be asked, and it must be.
        """
        if self._journal is None:
            return ()
        found = await self._before_sending(self._journal.find(fingerprint.size, fingerprint.digest))
        return () if found is None else tuple(each for each in found if each.key != self._key)

    async def adopt(self, entry: JournalEntry) -> bool:
        """Go on with the upload of another name, if no run is at it: its entry becomes this one's.

        Raises:
            UploadError: the journal can't be asked, and it must be.
        """
        journal, lease = self._journal, self._lease
        if journal is None or lease is None:
            return False

        async def move() -> bool:
            fence = await journal.acquire(entry.key, lease.owner, lease.seconds)
            if fence is None:
                return False
            try:
                now = await journal.load(entry.key)
                if now is None or now.file_id != entry.file_id:
                    return False
                if not await journal.begin(self._key, self.fence, attrs.evolve(now, key=self._key)):
                    return False
                return await journal.forget(entry.key, fence)
            finally:
                await journal.release(entry.key, fence)

        return bool(await self._before_sending(run_to_completion(move())))

    def resume(self, entry: JournalEntry) -> None:
        """What an earlier run has left counts as this one's."""
        self._entry = entry
        self._holds(entry)

    async def begin(self, entry: JournalEntry) -> None:
        """Write an entry, in place of whatever was there. It is on the disk before this returns.

        Raises:
            UploadError: it can't be written, and it must be; or the lease is lost.
        """
        self._holds(entry)
        if self._journal is not None:
            fence = self.fence
            write = self._journal.begin(self._key, fence, entry)
            kept = await self._before_sending(run_to_completion(write))
            self._entry = entry
            await self._kept(kept, fence)

    async def change(self, entry: JournalEntry) -> None:
        """Write an entry again because something of it has changed under way; a journal that fails is warned of."""
        self._entry, journal = entry, self._journal
        if journal is not None:
            full = attrs.evolve(entry, accepted=tuple(self.accepted))
            await self._while_sending(lambda fence: journal.begin(self._key, fence, full))

    async def record(self, chunk: ChunkReceipt) -> None:
        """Add an accepted range; a journal that fails is warned of, and left alone for a while: what it misses is sent
        again by the next run. The last one may still be written when this returns: what follows it waits for that.

        Raises:
            UploadError: the lease is lost.
        """
        self.accepted.append(chunk)
        self._missing -= chunk.size
        journal = self._journal
        if journal is not None and self._clock() >= self._alone_until:
            write = partial(self._while_sending, lambda fence: journal.record(self._key, fence, chunk))
            if self._ordered and self._missing <= 0:
                self._beside.begin(self._without_telling(write))
            else:
                await write()

    async def announce(self, phase: Phase) -> None:
        """Write down what is about to be said to the service and can't be undone.

        Raises:
            UploadError: it can't be written, or the lease is lost: it must not be said.
        """
        self.check()
        if self._journal is None or self._entry is None:
            # Nothing is in the journal that another run could go on with.
            return
        fence = self.fence
        try:
            kept = await run_to_completion(self._journal.advance(self._key, fence, phase))
            await self._beside.wait()
            self.check()
        except UploadError:
            raise
        except Exception as problem:
            raise UploadError(
                f"the upload journal can't be written ({_words(problem)}), so the upload was not ended: mend the"
                " journal, and the same upload goes on from here",
                resumable=True,
                retryable=True,
            ) from problem
        if not await self._kept(kept, fence):
            await self.announce(phase)  # The journal was replaced, and all but this was written into the new one.

    async def retract(self) -> None:
        """What was announced was refused: the upload is under way as before. A journal that fails is warned of."""
        journal = self._journal
        if journal is not None and self._lost is None:
            await self._while_sending(lambda fence: journal.advance(self._key, fence, Phase.SENDING))

    async def finished(self) -> None:
        """The upload is a video; a journal that fails is warned of: FINISHING stands in it."""
        journal = self._journal
        if journal is None or self._lost is not None:
            return

        async def write() -> None:
            try:
                await journal.advance(self._key, self.fence, Phase.FINISHED)
            except Exception as problem:  # noqa: BLE001 - as above
                self._warn(problem)

        if self._ordered:
            self._beside.begin(write())
        else:
            await run_to_completion(write())

    async def forget(self) -> None:
        """Remove the entry; a journal that fails is warned of."""
        await self._beside.wait()
        self._entry, self.accepted = None, []
        if self._journal is not None and self._lost is None:
            try:
                await run_to_completion(self._journal.forget(self._key, self.fence))
            except Exception as problem:  # noqa: BLE001 - as above
                self._warn(problem)

    # The lease

    async def _open(self) -> JournalEntry | None:
        journal, lease = self._journal, self._lease
        assert journal is not None
        assert lease is not None
        # The fence is kept in there: a caller that was cancelled has to give the lease back all the same.
        acquired = asyncio.ensure_future(lease.acquire())
        loaded = asyncio.ensure_future(journal.load(self._key)) if self._ordered else None
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
            if loaded is not None and not loaded.done():
                loaded.cancel()
                await run_to_completion(asyncio.wait([loaded]))
            if loaded is not None and not loaded.cancelled():
                loaded.exception()  # counts as seen

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
        that the journal was removed or replaced; then everything is written anew.

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
            journal, lease, entry = self._journal, self._lease, self._entry
            if journal is None or lease is None or lease.fence != fence or self._lost is not None:
                return  # Another write has found so before, and has done what there is to do.
            try:
                if not await lease.acquire() or await journal.load(self._key) is not None:
                    self._lose("another process has taken it over")
                    return
                logger.warning(
                    "the upload journal was removed or replaced; what is known of %s is written again", self._name
                )
                if entry is not None:
                    await journal.begin(self._key, self.fence, attrs.evolve(entry, accepted=tuple(self.accepted)))
            except Exception as problem:  # noqa: BLE001 - as above
                self._warn(problem)
                self._lose("the journal can't be asked whether another process has taken it over")

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = UploadError(
                f"this run has stopped its upload: {why}; the other run goes on, or the same upload can be called"
                " again",
                file_id=self._entry.file_id if self._entry is not None else None,
                resumable=True,
                retryable=True,
            )
            if self._lease is not None:
                self._lease.give_up()
            self._on_lost(self._lost)

    async def _close(self, lease: Lease) -> None:
        await lease.stop()
        if self._journal is not None:
            try:
                await self._journal.release(self._key, self.fence)
            except Exception as problem:  # noqa: BLE001 - as above
                self._warn(problem)
        await self._beside.wait()

    def _holds(self, entry: JournalEntry) -> None:
        self.accepted = list(entry.accepted)
        self._missing = entry.fingerprint.size - sum(chunk.size for chunk in entry.accepted)

    # A journal that fails

    async def _before_sending(self, work: Awaitable[T]) -> T | None:
        try:
            return await work
        except UploadError:
            raise
        except Exception as problem:
            if self._required:
                raise UploadError(
                    f"the upload journal can't be used ({_words(problem)}); no byte was sent: mend the journal, or"
                    " set journal_required=False to upload without it",
                    resumable=False,
                    retryable=True,
                ) from problem
            self._warn(problem)
            self._journal = None
            return None

    async def _while_sending(self, write: Callable[[int], Awaitable[bool]]) -> None:
        fence, began = self.fence, self._clock()
        try:
            kept = await run_to_completion(write(fence))
        except Exception as problem:
            if self._strict:
                raise
            self._alone_until = self._clock() + LEFT_ALONE * (self._clock() - began)
            self._warn(problem)
        else:
            await self._kept(kept, fence)

    def _warn(self, problem: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("the upload journal failed (%s); upload %s goes on without it", _words(problem), self._name)

    @property
    def _name(self) -> str:
        return "(not begun)" if self._entry is None else self._entry.file_id


def _words(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
