"""One upload's page in the journal: its lease, and what is written when.

The rules of this file:

- Before anything is sent, a journal that can't be asked fails the upload, unless the options say otherwise.
- Under way, accepted ranges may be missing from it; a phase may not: what can't be undone is announced first.
- A run that has lost its lease writes nothing more, and sends neither metadata nor finish nor cancel.
"""

from __future__ import annotations

import asyncio
import logging

import attrs

from ..._concurrency import is_cancellation, run_to_completion
from ...errors import UploadError
from ...models import ChunkReceipt, Fingerprint, JournalEntry, Phase
from ...stores.base import UploadJournal
from .claim import JournalClaim, words_of

logger: logging.Logger = logging.getLogger(__name__)


class JournalSession(JournalClaim):
    """One upload's page in a journal, and the lease of it. Without a journal it does nothing."""

    async def candidates(self, fingerprint: Fingerprint) -> tuple[JournalEntry, ...]:
        """Entries of other sources that may have the same bytes.

        Raises:
            UploadError: the journal can't be asked, and it must be.
        """
        if self._journal is None:
            return ()
        looked, self._looked = self._looked, None
        same = looked is not None and looked[0] == fingerprint
        find = looked[1] if looked and same else self._journal.find(fingerprint.size, fingerprint.digest)
        found = await self._before_sending(find)
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
            kept = await self._before_sending(self._carried_out(write))
            self._entry, self._incomplete = entry, False
            await self._kept(kept, fence)

    async def change(self, entry: JournalEntry) -> None:
        """Write an entry again because something of it has changed under way; a journal that fails is warned of."""
        self._entry, journal = entry, self._journal
        if journal is not None:
            full = attrs.evolve(entry, accepted=tuple(self.accepted))
            self._incomplete, self._last = False, None
            await self._while_sending(lambda fence: journal.begin(self._key, fence, full))

    async def record(self, chunk: ChunkReceipt) -> None:
        """Add an accepted range; a journal that fails is warned of, and left alone for a while: what it misses is sent
        again by the next run. The last one may be written only with what follows it, which is at hand.

        Raises:
            UploadError: the lease is lost.
        """
        self.accepted.append(chunk)
        self._missing -= chunk.size
        journal = self._journal
        if journal is not None and self._clock() < self._alone_until:
            self._incomplete = True
        elif journal is not None and self._ordered and self._missing <= 0:
            await self._write_last()
            self._last = chunk
        elif journal is not None:
            await self._while_sending(lambda fence: journal.record(self._key, fence, chunk))

    async def announce(self, phase: Phase) -> None:
        """Write down what is about to be sent to the service and can't be undone.

        Raises:
            UploadError: it can't be written, or the lease is lost: it must not be sent.
        """
        self.check()
        journal, entry = self._journal, self._entry
        if journal is None or entry is None:
            # Nothing is in the journal that another run could go on with.
            return
        fence = self.fence
        try:
            await self._write_last()
            kept = await self._carried_out(journal.advance(self._key, fence, phase))
            await self._beside.wait()
            self.check()
            if kept:
                self._entry = attrs.evolve(entry, phase=phase)
        except UploadError:
            raise
        except Exception as problem:
            raise UploadError(
                f"the upload journal can't be written ({words_of(problem)}), so the upload was not ended: mend the"
                " journal, and the same upload goes on from here",
                resumable=True,
                retryable=True,
            ) from problem
        if not await self._kept(kept, fence):
            await self.announce(phase)  # The journal was replaced, and all but this was written into the new one.
        elif self._incomplete and self._entry is not None and phase is Phase.FINISHING:
            # A later run tells by its ranges whether a source is this video: one that lacks some could be another.
            await self.change(self._entry)

    async def retract(self) -> None:
        """What was announced was refused: the upload is under way as before. A journal that fails is warned of."""
        journal = self._journal
        if journal is not None and self._lost is None:
            self._reached(Phase.SENDING)
            await self._while_sending(lambda fence: journal.advance(self._key, fence, Phase.SENDING))

    async def finished(self) -> None:
        """The upload is a video; a journal that fails is warned of: FINISHING stands in it."""
        journal = self._journal
        if journal is None or self._lost is not None:
            return
        self._reached(Phase.FINISHED)

        async def write() -> None:
            fence = self.fence
            try:
                if not await journal.advance(self._key, fence, Phase.FINISHED):
                    await self._write_after_the_end(journal, fence)
            except (Exception, asyncio.CancelledError) as problem:  # a journal may raise the errors of its own library
                if is_cancellation(problem):
                    raise
                self._warn(problem)

        if self._ordered:
            self._beside.begin(write())
        else:
            await run_to_completion(write())

    async def _write_after_the_end(self, journal: UploadJournal, fence: int) -> None:
        """The journal was removed or replaced while finish was said. There is a video: this run can't fail any more."""
        async with self._reclaiming:
            if self.fence != fence:  # The renewal of the lease has found so before.
                await journal.advance(self._key, self.fence, Phase.FINISHED)
                return
            why = await self._write_anew()
            if why:
                logger.warning("upload %s is finished, and the upload journal could not be told: %s", self._name, why)

    def _reached(self, phase: Phase) -> None:
        if self._entry is not None:
            self._entry = attrs.evolve(self._entry, phase=phase)

    async def forget(self) -> None:
        """Remove the entry; a journal that fails is warned of."""
        await self._beside.wait()
        self._entry, self.accepted, self._last = None, [], None
        if self._journal is not None and self._lost is None:
            try:
                await self._carried_out(self._journal.forget(self._key, self.fence))
            except Exception as problem:  # noqa: BLE001 - a journal may raise the errors of its own library
                self._warn(problem)

    def _holds(self, entry: JournalEntry) -> None:
        self.accepted: list[ChunkReceipt] = list(entry.accepted)
        self._last = None
        self._missing = entry.fingerprint.size - sum(chunk.size for chunk in entry.accepted)
