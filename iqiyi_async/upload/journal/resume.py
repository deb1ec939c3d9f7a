"""What an earlier run has left of an upload, and whether this one may go on from there.

Found by the caller's key or the path; size and samples are an index for candidates only, and a candidate counts when
all of its recorded ranges have been read again and their MD5s agree. Nothing is published twice: where the bytes are a
video already, the caller gets its receipt, or `DuplicateVideoError`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import attrs

from ...errors import DuplicateVideoError, UnknownFileError, UploadError
from ...models import ChunkReceipt, JournalEntry, Phase, UploadTicket, VideoState, VideoStatus
from ...protocol import videos
from ..finish import Finisher
from ..reading.base import UploadSource
from .session import JournalSession

logger: logging.Logger = logging.getLogger(__name__)

#: So long after its finish a video that is absent may still turn up, in seconds: statuses lag behind.
SETTLING = 5.0

#: Videos that the service will not show: the same bytes may be uploaded again.
_WORTHLESS = videos.GONE | {VideoState.REVIEW_FAILED, VideoState.PUBLISH_FAILED}


@attrs.frozen
class ResumePoint:
    """Where an upload begins.

    Attributes:
        ticket: the upload.
        accepted: the ranges that the service holds already.
        finish_said: whether an earlier run may have said finish.
    """

    ticket: UploadTicket
    accepted: tuple[ChunkReceipt, ...] = ()
    finish_said: bool = False

    @property
    def phase(self) -> Phase:
        """What stands in the journal until finish is announced: that it may have been said must not be forgotten."""
        return Phase.FINISHING if self.finish_said else Phase.SENDING


@attrs.frozen
class Finished:
    """The upload is a video already."""

    file_id: str


class Resumption:
    """Looks for what an earlier run has left.

    Args:
        source: what is to be uploaded.
        entry: what it would be in the journal: account, group, name, metadata.
        journal: the upload's page.
        finisher: asks the service where an upload stands.
        cancel: cancels an upload at the service; False if that failed, or came too late.
        again: whether a video with the same bytes is wanted once more.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        *,
        source: UploadSource,
        entry: JournalEntry,
        journal: JournalSession,
        finisher: Finisher,
        cancel: Callable[[str], Awaitable[bool]],
        again: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._wanted = entry
        self._journal = journal
        self._finisher = finisher
        self._cancel = cancel
        self._again = again
        self._clock = clock

    async def find(self, entry: JournalEntry | None) -> ResumePoint | Finished | None:
        """Where to begin; None for a new upload.

        Args:
            entry: what stands in the journal under the upload's own name.

        Raises:
            DuplicateVideoError: the bytes are a video already, under another name or with other metadata.
            UploadError: it can't be told whether an earlier upload has become a video, or whether it was cancelled.
            VideoCloudError: the service could not be asked.
        """
        if entry is not None:
            found = await self._of_entry(entry)
            if found is not None:
                return found
        if self._again or not self._source.rereadable:
            return None
        return await self._of_candidates()

    async def _of_entry(self, entry: JournalEntry) -> ResumePoint | Finished | None:
        if entry.phase is Phase.FINISHED:
            return await self._of_finished(entry)
        try:
            finished = await self._finisher.is_finished(entry.file_id, in_doubt=entry.phase is Phase.FINISHING)
        except UnknownFileError:
            logger.warning("the service has dropped upload %s; it starts over", entry.file_id, extra=_extra(entry))
            return None
        if finished:
            # By a run that ended before it could write so.
            await self._journal.finished()
            return await self._of_finished(attrs.evolve(entry, phase=Phase.FINISHED, changed=self._clock()))
        if not await self._same_bytes(entry) or entry.file_type not in ("", self._source.file_type):
            logger.warning(
                "the source has changed since its upload %s began; it starts over", entry.file_id, extra=_extra(entry)
            )
            if not await self._cancel(entry.file_id):
                raise UploadError(
                    f"{self._source.name} has changed since its upload {entry.file_id} began, and that upload could not"
                    " be cancelled: nothing new was begun; try again",
                    file_id=entry.file_id,
                    resumable=True,
                    retryable=True,
                )
            return None
        ticket = UploadTicket(entry.file_id, entry.upload_url, self._source.size)
        return ResumePoint(ticket, entry.accepted, entry.phase is Phase.FINISHING)

    async def _of_finished(self, entry: JournalEntry) -> Finished | None:
        if self._again or entry.changed + entry.remember < self._clock():
            return None
        same_metadata = entry.metadata in ("", self._wanted.metadata)
        if not await self._same_bytes(entry):
            return None
        status = await self._look(entry)
        if status.state in (videos.GONE if same_metadata else _WORTHLESS):
            return None
        if not same_metadata:
            raise _duplicate(self._source.name, entry, "with other metadata")
        return Finished(entry.file_id)

    async def _same_bytes(self, entry: JournalEntry) -> bool:
        if self._source.rereadable:
            if entry.phase is Phase.FINISHED:
                return await self._source.is_video(entry.fingerprint, entry.accepted)
            return await self._source.matches(entry.fingerprint, entry.accepted)
        # A stream is compared while it is read; a finished one has to be read for it.
        if entry.fingerprint.size != self._source.size:
            return False
        if entry.phase is Phase.FINISHED:
            await self._source.compare(entry.accepted)
        return True

    async def _of_candidates(self) -> ResumePoint | Finished | None:
        for entry in await self._journal.candidates(await self._source.fingerprint()):
            if (entry.account, entry.group) != (self._wanted.account, self._wanted.group):
                continue
            if entry.phase is Phase.FINISHED:
                await self._check_duplicate(entry)
                continue
            if entry.phase is Phase.CANCELLING or not await self._matches_fully(entry):
                continue
            if await self._journal.adopt(entry):
                logger.info("upload %s of %s goes on as %s", entry.file_id, entry.name, self._wanted.name)
                return await self._of_entry(entry)
        return None

    async def _check_duplicate(self, entry: JournalEntry) -> None:
        if entry.changed + entry.remember < self._clock() or not await self._matches_fully(entry):
            return
        status = await self._look(entry)
        if status.state not in _WORTHLESS:
            raise _duplicate(self._source.name, entry, f"as {entry.name}")

    async def _look(self, entry: JournalEntry) -> VideoStatus:
        """The status of a finished upload. One that was finished a moment ago may not have turned up yet."""
        return await self._finisher.look(entry.file_id, patience=entry.changed + SETTLING - self._clock())

    async def _matches_fully(self, entry: JournalEntry) -> bool:
        return await self._source.matches(entry.fingerprint, entry.accepted, all_ranges=True)


def _duplicate(name: str, entry: JournalEntry, how: str) -> DuplicateVideoError:
    return DuplicateVideoError(
        f"{name} is video {entry.file_id} already, {how}: nothing was sent; again=True uploads it once more",
        operation="upload",
        file_id=entry.file_id,
    )


def _extra(entry: JournalEntry) -> dict[str, str]:
    return {"file_id": entry.file_id}
