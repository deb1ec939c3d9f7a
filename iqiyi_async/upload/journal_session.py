"""One upload's page in the journal: its lease, and what is written when.

The rules of this file:

- Before anything is sent, a journal that can't be asked fails the upload, unless the options say otherwise.
- Under way, accepted ranges may be missing from it; a phase may not: what can't be undone is announced first.
- A run that has lost its lease writes nothing more, and sends neither metadata nor finish nor cancel.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import attrs

from .._concurrency import run_to_completion
from ..errors import UploadError
from ..models import ChunkReceipt, Fingerprint, JournalEntry, Phase
from ..stores.base import UploadJournal
from .finish import boottime
from .reading.base import AlreadyHeldError

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A lease is renewed when this part of it is over, and a shared one given up when this part of it is left.
RENEW_AFTER, MARGIN = 1 / 3, 1 / 10


def journal_key(account: str, group: str | None, identity: str) -> str:
    """The name of one source in one account and group: a short digest, which gives nothing of them away."""
    parts = json.dumps([account, group or "", identity])
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


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
        self._ttl = lease_seconds
        self._on_lost = on_lost
        self._clock = clock
        self._owner = secrets.token_hex(8)
        self._fence: int | None = None
        self._expires = 0.0
        self._lost: UploadError | None = None
        self._warned = False
        self._entry: JournalEntry | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.accepted: list[ChunkReceipt] = []

    @property
    def active(self) -> bool:
        """Whether there is a journal that is asked."""
        return self._journal is not None

    @property
    def fence(self) -> int:
        """The number of the lease, while it is held."""
        assert self._fence is not None
        return self._fence

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
            if self._fence is not None:
                await run_to_completion(self._close(self._fence))

    def check(self) -> None:
        """Look whether the lease is still held.

        Raises:
            UploadError: it was not renewed in time, and another run took it, or may have.
        """
        if self._lost is None and self._fence is not None and self._shared and self._over():
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
        journal = self._journal
        if journal is None:
            return False

        async def move() -> bool:
            fence = await journal.acquire(entry.key, self._owner, self._ttl)
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
        self.accepted = list(entry.accepted)

    async def begin(self, entry: JournalEntry) -> None:
        """Write an entry, in place of whatever was there. It is on the disk before this returns.

        Raises:
            UploadError: it can't be written, and it must be; or the lease is lost.
        """
        self.accepted = list(entry.accepted)
        if self._journal is not None:
            write = self._journal.begin(self._key, self.fence, entry)
            kept = await self._before_sending(run_to_completion(write))
            self._entry = entry
            await self._kept(kept)

    async def change(self, entry: JournalEntry) -> None:
        """Write an entry again because something of it has changed under way; a journal that fails is warned of."""
        self._entry = entry
        if self._journal is not None:
            full = attrs.evolve(entry, accepted=tuple(self.accepted))
            await self._while_sending(self._journal.begin(self._key, self.fence, full))

    async def record(self, chunk: ChunkReceipt) -> None:
        """Add an accepted range; a journal that fails is warned of.

        Raises:
            UploadError: the lease is lost.
        """
        self.accepted.append(chunk)
        if self._journal is not None:
            await self._while_sending(self._journal.record(self._key, self.fence, chunk))

    async def announce(self, phase: Phase) -> None:
        """Write down what is about to be said to the service and can't be undone.

        Raises:
            UploadError: it can't be written, or the lease is lost: it must not be said.
        """
        self.check()
        if self._journal is None or self._entry is None:
            # Nothing is in the journal that another run could go on with.
            return
        try:
            kept = await run_to_completion(self._journal.advance(self._key, self.fence, phase))
        except Exception as problem:
            raise UploadError(
                f"the upload journal can't be written ({_words(problem)}), so the upload was not ended: mend the"
                " journal, and the same upload goes on from here",
                resumable=True,
                retryable=True,
            ) from problem
        if not await self._kept(kept):
            await self.announce(phase)  # The journal was replaced, and all but this was written into the new one.

    async def retract(self) -> None:
        """What was announced was refused: the upload is under way as before. A journal that fails is warned of."""
        if self._journal is not None and self._lost is None:
            await self._while_sending(self._journal.advance(self._key, self.fence, Phase.SENDING))

    async def finished(self) -> None:
        """The upload is a video; a journal that fails is warned of: FINISHING stands in it."""
        if self._journal is not None and self._lost is None:
            try:
                await run_to_completion(self._journal.advance(self._key, self.fence, Phase.FINISHED))
            except Exception as problem:  # noqa: BLE001 - as above
                self._warn(problem)

    async def forget(self) -> None:
        """Remove the entry; a journal that fails is warned of."""
        self._entry, self.accepted = None, []
        if self._journal is not None and self._fence is not None and self._lost is None:
            try:
                await run_to_completion(self._journal.forget(self._key, self._fence))
            except Exception as problem:  # noqa: BLE001 - as above
                self._warn(problem)

    # The lease

    async def _open(self) -> JournalEntry | None:
        journal = self._journal
        assert journal is not None
        await self._before_sending(run_to_completion(self._acquire(journal)))
        if self._journal is None:
            return None
        if self._fence is None:
            raise AlreadyHeldError(
                "this source is being uploaded already, by this or another process; if that one has died, its claim"
                f" ends within {self._ttl:.0f} s",
                retryable=True,
                resumable=True,
            )
        self._renew_later(self._ttl * RENEW_AFTER)
        return await self._before_sending(journal.load(self._key))

    async def _acquire(self, journal: UploadJournal) -> None:
        # The fence is kept in here: a caller that was cancelled has to give the lease back all the same.
        began = self._clock()
        self._fence = await journal.acquire(self._key, self._owner, self._ttl)
        self._expires = began + self._ttl

    def _renew_later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin_renewal)

    def _begin_renewal(self) -> None:
        self._renewal = asyncio.get_running_loop().create_task(self._renew(), name="iqiyi-async journal lease")

    async def _renew(self) -> None:
        assert self._journal is not None
        began = self._clock()
        pause = self._ttl * RENEW_AFTER
        try:
            kept = await self._journal.renew(self._key, self.fence, self._ttl)
        except Exception as problem:  # noqa: BLE001 - as above
            # The old expiry stands.
            self._warn(problem)
            pause = self._ttl * MARGIN / 2
            if self._shared and self._over():
                self._lose("its lease could not be renewed in time")
        else:
            if kept:
                self._expires = began + self._ttl
            else:
                try:
                    await self._kept(kept)
                except UploadError:
                    return
        if self._lost is None:
            self._renew_later(pause)

    def _over(self) -> bool:
        return self._clock() >= self._expires - self._ttl * MARGIN

    async def _kept(self, kept: bool | None) -> bool:
        """After a write: whether it was done. A write without effect means that the lease is lost, or that the
        journal was removed or replaced; then everything is written anew.

        Raises:
            UploadError: the lease is lost.
        """
        if kept is not False:
            return True
        await run_to_completion(self._reclaim())
        self.check()
        return False

    async def _reclaim(self) -> None:
        """Finding the journal gone is an acquire: if the new one has a holder, or an entry, this run has lost."""
        journal, entry = self._journal, self._entry
        assert journal is not None
        try:
            began = self._clock()
            fence = await journal.acquire(self._key, self._owner, self._ttl)
            if fence is None:
                self._lose("another process has taken it over")
                return
            self._fence, self._expires = fence, began + self._ttl
            if await journal.load(self._key) is not None:
                self._lose("another process has taken it over")
                return
            logger.warning(
                "the upload journal was removed or replaced; what is known of %s is written again", self._name
            )
            if entry is not None:
                await journal.begin(self._key, fence, attrs.evolve(entry, accepted=tuple(self.accepted)))
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
            self._on_lost(self._lost)

    async def _close(self, fence: int) -> None:
        self._stop_timer()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
            self._stop_timer()  # It may have set another one.
        if self._journal is not None:
            try:
                await self._journal.release(self._key, self._fence or fence)
            except Exception as problem:  # noqa: BLE001 - as above
                self._warn(problem)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

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

    async def _while_sending(self, write: Awaitable[bool]) -> None:
        try:
            kept = await run_to_completion(write)
        except Exception as problem:
            if self._strict:
                raise
            self._warn(problem)
        else:
            await self._kept(kept)

    def _warn(self, problem: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("the upload journal failed (%s); upload %s goes on without it", _words(problem), self._name)

    @property
    def _name(self) -> str:
        return "(not begun)" if self._entry is None else self._entry.file_id


def _words(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
