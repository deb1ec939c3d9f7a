"""One upload's life: begin or go on, send every range, describe, finish; and whatever can go wrong on the way.

The laws of this file:

- What was accepted is never sent again, and what was published is never published twice.
- Every range is checked. Success means that the service holds the source's bytes, all of them, and nothing else.
- One error leaves, typed; never a group. Cancellation passes through unchanged.
- Wait, then clean up: when `run` is over no task, lane or file is left, and the service has been told what the
  caller chose.
"""

from __future__ import annotations

import asyncio
import logging

import attrs

from .._session import Session
from ..config import Endpoints
from ..errors import SourceChangedError, UnknownFileError, UploadError, VideoCloudError
from ..models import JournalEntry, Metadata, Phase, UploadReceipt, UploadTicket
from ..protocol import uploads
from ..protocol.wire import Answer
from .finish import FinishInDoubtError, finish, is_finished
from .journal_session import JournalSession
from .pool import WorkerPool
from .progress import Progress
from .proof import is_same
from .ranges import Range, covered
from .source import Source, settled
from .transfer import Transfer

logger: logging.Logger = logging.getLogger(__name__)

#: Telling the service that an upload is off must not keep a cancelled caller waiting for longer, in seconds.
CANCEL_SECONDS = 5.0


@attrs.frozen
class ResumePoint:
    """Where an upload begins: a ticket, and what the service holds already."""

    ticket: UploadTicket
    accepted: tuple[Range, ...] = ()


class Upload:
    """One upload of one source."""

    def __init__(
        self,
        *,
        session: Session,
        pool: WorkerPool,
        endpoints: Endpoints,
        source: Source,
        metadata: Metadata,
        log: JournalSession,
        progress: Progress,
    ) -> None:
        self._session = session
        self._pool = pool
        self._endpoints = endpoints
        self._source = source
        self._metadata = metadata
        self._log = log
        self._progress = progress
        self._sender: Transfer | None = None
        self._finishing = False
        self._stopping = False
        self._scope = asyncio.timeout(None)

    async def run(self) -> UploadReceipt:
        """Bring the source to the service and have it published.

        Raises:
            UploadError: it stopped half way.
            VideoCloudError: it did not even begin.
        """
        try:
            async with self._scope:
                await self._source.begin()
                if not self._log.active:
                    return await self._journey(None)
                async with self._log.claimed() as entry:
                    return await self._journey(entry)
        except TimeoutError:
            if not self._scope.expired():
                raise
            closed = "the upload was stopped because the client was closed"
            raise self._failed(UploadError(closed, retryable=True)) from None
        finally:
            self._progress.close()

    def stop(self, within: float) -> None:
        """Take no new ranges, unless the upload will be done within so many seconds; finish those under way."""
        left = self._source.size - self._progress.accepted
        rate = self._progress.rate
        soon = left <= rate * within if rate else left <= self._pool.tuner.workers * self._pool.tuner.chunk_size
        if not soon:
            self._stopping = True
            if self._sender is not None:
                self._sender.stopping = True

    def abort(self) -> None:
        """Stop at once, as if cancelled; `run` then raises `UploadError`."""
        if not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def _journey(self, entry: JournalEntry | None) -> UploadReceipt:
        start = None if entry is None else await self._earlier(entry)
        if isinstance(start, UploadReceipt):
            return start
        try:
            return await self._from(start)
        except UnknownFileError as error:
            if not self._source.rereadable:
                raise self._failed(error) from error
            logger.warning("the service has dropped upload %s; it starts over", self._progress.file_id)
        await self._log.forget()
        self._progress = self._progress.anew()
        await self._source.begin()
        try:
            return await self._from(None)
        except UnknownFileError as error:
            raise self._failed(error) from error

    async def _begin(self) -> ResumePoint:
        self._progress.file_id, self._finishing = "", False
        call = uploads.request_upload(self._endpoints, self._source.file_type, self._source.size)

        def decode(answer: Answer) -> UploadTicket:
            ticket = call.decode(answer)
            # Known from here on, even if nobody waits for it any more: what has a name can be cancelled.
            self._progress.file_id = ticket.file_id
            return ticket

        patience = CANCEL_SECONDS if self._pool.options.on_failure == "cancel" else 0.0
        ticket = await self._session.send(attrs.evolve(call, decode=decode), patience=patience)
        if self._log.active:
            await self._log.begin(ticket, await self._source.fingerprint())
        return ResumePoint(ticket)

    async def _from(self, start: ResumePoint | None) -> UploadReceipt:
        """From a ticket, or from nothing, to a receipt. What fails is cleaned up after, unless it was dropped."""
        try:
            start = start or await self._begin()
            self._progress.resumed(start.ticket.file_id, covered(self._source.size, start.accepted))
            await self._send(start)
            await self._source.conclude()
            await self._publish(start.ticket.file_id)
        except UnknownFileError:
            raise
        except FinishInDoubtError as doubt:
            raise self._failed(doubt.error) from doubt.error
        except BaseException as problem:
            if not self._progress.file_id:
                raise
            await settled(self._clean_up(problem))
            if not isinstance(problem, VideoCloudError):
                raise
            failed = self._failed(problem)
            raise failed from problem if failed is not problem else problem.__cause__
        return self._succeeded()

    async def _send(self, start: ResumePoint) -> None:
        self._sender = sender = Transfer(
            self._session, self._pool, self._source, start.ticket, self._log, self._progress
        )
        sender.stopping = self._stopping
        await sender.send_all(start.accepted)

    async def _publish(self, file_id: str) -> None:
        self._log.check()
        await self._session.send(uploads.set_metadata(self._endpoints, file_id, self._metadata))
        await self._log.advance(Phase.FINISHING)
        self._finishing = True
        await finish(self._session, self._endpoints, file_id)
        await self._log.advance(Phase.FINISHED)

    async def _earlier(self, entry: JournalEntry) -> ResumePoint | UploadReceipt | None:
        """What an earlier run has left, if it still holds: of the source, and of the service."""
        self._progress.file_id = entry.file_id
        self._finishing = entry.phase is not Phase.SENDING
        try:
            if not await is_same(self._source, entry):
                logger.warning("the source has changed since its upload %s began; it starts over", entry.file_id)
                if entry.phase is Phase.SENDING:
                    await self._cancel_remote()
                return None
            finished = await is_finished(self._session, self._endpoints, entry.file_id)
        except UnknownFileError:
            logger.warning("the service has dropped upload %s; it starts over", entry.file_id)
            return None
        except VideoCloudError as error:
            raise self._failed(error) from error
        accepted = tuple(Range(chunk.first, chunk.size) for chunk in entry.accepted)
        if not finished:
            return ResumePoint(UploadTicket(entry.file_id, entry.upload_url, self._source.size), accepted)
        await self._log.advance(Phase.FINISHED)
        self._progress.resumed(entry.file_id, self._source.size)
        return self._succeeded()

    async def _clean_up(self, problem: BaseException) -> None:
        """Leave the service what the caller chose. Nothing is in flight any more."""
        if isinstance(problem, SourceChangedError):
            await self._log.forget()
        if self._pool.options.on_failure == "cancel" and await self._cancel_remote():
            await self._log.forget()

    async def _cancel_remote(self) -> bool:
        """Tell the service that the upload is off, unless it has become a video meanwhile; False if it could not be
        told, or has."""
        file_id = self._progress.file_id
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                if self._finishing and await is_finished(self._session, self._endpoints, file_id):
                    await self._log.advance(Phase.FINISHED)
                    return False
                await self._session.send(uploads.cancel_upload(self._endpoints, file_id))
        except UnknownFileError:
            return True
        except (VideoCloudError, TimeoutError) as error:
            logger.warning("upload %s could not be cancelled at the service: %s", file_id, str(error) or "no answer")
            return False
        return True

    def _failed(self, error: VideoCloudError) -> UploadError:
        """The one error that leaves, once there is a file_id."""
        kept = self._pool.options.on_failure == "keep" or self._finishing
        lost = isinstance(error, SourceChangedError | UnknownFileError)
        failed = error if isinstance(error, UploadError) else UploadError(f"the upload stopped: {error}")
        failed.file_id = self._progress.file_id
        failed.accepted = self._progress.accepted
        failed.resumable = kept and not lost and self._source.rereadable and self._progress.file_id != ""
        failed.retryable = error.retryable
        return failed

    def _succeeded(self) -> UploadReceipt:
        done = self._progress
        done.finished()
        return UploadReceipt(
            file_id=done.file_id,
            size=self._source.size,
            chunks=done.chunks,
            retries=done.retries,
            resumed_bytes=done.resumed_bytes,
            elapsed=done.elapsed,
            tuning=self._pool.tuner.explanation,
        )
