"""One upload's life: begin or go on, describe, send every range, finish; and whatever can go wrong on the way.

The rules of this file:

- What was accepted is never sent again, and what was published is never published twice.
- Every range is checked. Success means that the service holds the source's bytes, all of them, and nothing else.
- What can't be undone (finish, cancel) is written into the journal before it is sent.
- One error leaves, typed; never a group. Cancellation passes through unchanged.
- Wait, then clean up: when `run` is over no task, worker or file is left, and the service has been told what the
  caller chose.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

import attrs

from .._concurrency import run_to_completion
from .._fair_queue import Turn, current_turn
from .._session import Session
from ..config import Endpoints, UploadOptions
from ..errors import (
    DuplicateVideoError,
    ServiceError,
    SourceChangedError,
    UnknownFileError,
    UploadError,
    VideoCloudError,
)
from ..models import Bottleneck, JournalEntry, Metadata, Phase, UploadReceipt, UploadState, UploadTicket
from ..protocol import hosts, uploads
from ..protocol.wire import Answer
from .finish import Finisher, FinishInDoubtError
from .journal.resume import Finished, ResumePoint, Resumption
from .journal.session import JournalSession
from .progress import Progress
from .ranges import Range, covered
from .reading.base import UploadSource
from .routes import BackupHosts, Route
from .sharing.workers import WorkerPool
from .transfer import Transfer

logger: logging.Logger = logging.getLogger(__name__)


@attrs.frozen
class Service:
    """What all uploads of a client have in common.

    Attributes:
        session: sends the calls.
        endpoints: where the service lives.
        options: how files are cut and sent.
        pool: the workers.
        backups: which hosts take ranges while others are down.
        finisher: says finish.
        cancel_seconds: how long a cancelled caller waits at most while the service is told that an upload is off.
        event_seconds: between two events of an upload.
    """

    session: Session
    endpoints: Endpoints
    options: UploadOptions
    pool: WorkerPool
    backups: BackupHosts
    finisher: Finisher
    cancel_seconds: float
    event_seconds: float

    @property
    def form(self) -> dict[str, str]:
        """How calls say what they are about: ``parameters`` and ``boundary`` of `protocol.uploads`."""
        return {"parameters": self.options.parameters, "boundary": self.pool.boundary}

    def route(self, upload_url: str) -> Route:
        """The addresses that an upload's ranges may go to, the given one first."""
        addresses = hosts.fallback_urls(upload_url, self.endpoints)
        return Route(addresses, self.backups, asyncio.get_running_loop().time)


class Upload:
    """One upload of one source.

    Args:
        service: what all uploads of the client have in common.
        source: where the bytes come from.
        metadata: what the video is called and about.
        entry: what the upload is in a journal.
        journal: the upload's page in it.
        progress: where its bytes are counted.
        turn: whose upload it is.
        again: whether a video with the same bytes is wanted once more.
        running: not set while it is paused.
    """

    def __init__(
        self,
        service: Service,
        *,
        source: UploadSource,
        metadata: Metadata,
        entry: JournalEntry,
        journal: JournalSession,
        progress: Progress,
        turn: Turn,
        again: bool,
        running: asyncio.Event,
    ) -> None:
        self._service = service
        self._session = service.session
        self._source = source
        self._metadata = metadata
        self._entry = entry
        self._journal = journal
        self._progress = progress
        self._turn = turn
        self._again = again
        self._running = running
        self._on_failure: Literal["keep", "cancel"] = service.options.on_failure
        self._transfer: Transfer | None = None
        self._finish_said = self._stopping = False

    async def run(self) -> UploadReceipt:
        """Bring the source to the service and have it published.

        Raises:
            DuplicateVideoError: its bytes are a video already.
            UploadError: it stopped half way.
            VideoCloudError: it did not even begin.
        """
        before = current_turn.set(self._turn)
        try:
            await self._source.begin()
            look_for = self._source.fingerprint if self._source.rereadable and not self._again else None
            async with self._journal.lease(look_for) as entry:
                return await self._journey(entry)
        finally:
            current_turn.reset(before)

    def stop(self, within: float) -> None:
        """Take no new ranges, unless the upload will be done within `within` seconds; finish those under way."""
        left, rate = self._source.size - self._progress.accepted, self._progress.rate
        tuner = self._service.pool.tuner
        soon = left <= rate * within if rate else left <= tuner.workers * tuner.chunk_size
        if not soon or not self._running.is_set():
            self._stopping = True
            if self._transfer is not None:
                self._transfer.stop()

    def stopped(self, why: UploadError) -> UploadError:
        """The error of an upload that was stopped from outside."""
        return self._failed(why)

    def paused(self) -> None:
        """The caller has paused it: look whether nothing is under way already."""
        self._source.pause()
        if self._transfer is not None:
            self._transfer.paused()

    def resumed(self) -> None:
        """The caller lets it go on."""
        self._source.resume()

    def cancel_at_service(self) -> None:
        """Should the upload fail from now on, it is cancelled at the service, whatever the options say."""
        self._on_failure = "cancel"

    async def _journey(self, entry: JournalEntry | None) -> UploadReceipt:
        start = await self._earlier(entry)
        if isinstance(start, Finished):
            self._progress.resumed(start.file_id, self._source.size)
            return self._succeeded()
        try:
            return await self._from(start)
        except UnknownFileError as error:
            if not self._source.rereadable:
                raise self._failed(error) from error
            logger.warning(
                "the service has dropped upload %s; it starts over", self._progress.file_id, extra=self._extra()
            )
        await self._journal.forget()
        self._progress.restart()
        await self._source.begin()
        try:
            return await self._from(None)
        except UnknownFileError as error:
            raise self._failed(error) from error

    async def _earlier(self, entry: JournalEntry | None) -> ResumePoint | Finished | None:
        """What an earlier run has left, if it still holds."""
        if not self._journal.active:
            return None
        self._progress.file_id = "" if entry is None else entry.file_id
        self._finish_said = entry is not None and entry.phase is Phase.FINISHING
        resumption = Resumption(
            source=self._source,
            entry=self._entry,
            journal=self._journal,
            finisher=self._service.finisher,
            cancel=self._cancel_at_service,
            again=self._again,
        )
        try:
            found = await resumption.find(entry)
        except DuplicateVideoError:
            raise
        except FinishInDoubtError as doubt:
            raise self._failed(doubt.error) from doubt.error
        except VideoCloudError as error:
            if not self._progress.file_id:
                raise
            raise self._failed(error) from error
        if not isinstance(found, ResumePoint):
            self._progress.file_id, self._finish_said = "", False
        return found

    async def _begin(self) -> ResumePoint:
        self._progress.file_id, self._finish_said = "", False
        service, source = self._service, self._source
        call = uploads.request_upload(service.endpoints, source.file_type, source.size, **service.form)

        def decode(answer: Answer) -> UploadTicket:
            ticket = call.decode(answer)
            # Known from here on, even if nobody waits for it any more: what has a name can be cancelled.
            self._progress.file_id = ticket.file_id
            return ticket

        self._progress.wait_for(Bottleneck.SERVICE)
        patience = service.cancel_seconds if self._on_failure == "cancel" else 0.0
        ticket = await self._session.send(attrs.evolve(call, decode=decode), patience=patience)
        if self._journal.active:
            await self._journal.begin(await self._page(ticket))
        return ResumePoint(ticket)

    async def _page(self, ticket: UploadTicket, phase: Phase = Phase.SENDING) -> JournalEntry:
        return attrs.evolve(
            self._entry,
            file_id=ticket.file_id,
            upload_url=ticket.upload_url,
            fingerprint=await self._source.fingerprint(),
            phase=phase,
        )

    async def _from(self, start: ResumePoint | None) -> UploadReceipt:
        """From a ticket, or from nothing, to a receipt. What fails is cleaned up after, unless it was dropped."""
        try:
            start = await self._begin() if start is None else await self._resumed(start)
            accepted = [Range(each.first, each.size) for each in start.accepted]
            self._progress.resumed(start.ticket.file_id, covered(self._source.size, accepted))
            await self._send(start)
            self._progress.check()
            self._progress.wait_for(Bottleneck.SOURCE)
            await self._source.conclude(self._journal.accepted, read_all=self._service.options.verify == "end")
            await self._publish(start)
        except UnknownFileError:
            raise
        except FinishInDoubtError as doubt:
            raise self._failed(doubt.error) from doubt.error
        except BaseException as problem:
            if not self._progress.file_id:
                raise
            await run_to_completion(self._clean_up(problem))
            if not isinstance(problem, VideoCloudError):
                raise
            failed = self._failed(problem)
            raise failed from problem if failed is not problem else problem.__cause__
        return self._succeeded()

    async def _resumed(self, start: ResumePoint) -> ResumePoint:
        """Go on with an entry of the journal; what is new of its metadata is noted."""
        page = await self._page(start.ticket, start.phase)
        await self._journal.begin(attrs.evolve(page, accepted=start.accepted))
        return start

    async def _send(self, start: ResumePoint) -> None:
        service = self._service
        self._transfer = transfer = Transfer(
            session=self._session,
            pool=service.pool,
            route=service.route(start.ticket.upload_url),
            source=self._source,
            ticket=start.ticket,
            describe=lambda: self._describe(start.ticket.file_id),
            journal=self._journal,
            progress=self._progress,
            turn=self._turn,
            parameters=service.options.parameters,
            running=self._running,
            on_moved=lambda upload_url: self._moved(start, upload_url),
        )
        self._progress.begin_transfer(transfer.causes)
        if self._stopping:
            transfer.stop()
        try:
            await transfer.run(start.accepted)
        finally:
            self._transfer = None  # Which refers to this upload too: no cycle is left to the garbage collector.

    async def _describe(self, file_id: str) -> None:
        """Set the metadata: beside the first ranges, so that a refusal doesn't cost the whole file."""
        call = uploads.set_metadata(self._service.endpoints, file_id, self._metadata)

        async def attempt() -> None:
            await self._journal.confirm()
            await self._session.exchange(call)

        await self._session.retries.run(attempt, on_retry=self._session.on_retry)

    async def _moved(self, start: ResumePoint, upload_url: str) -> None:
        """The ranges go to another address: an upload that goes on later begins there."""
        if self._journal.active:
            ticket = attrs.evolve(start.ticket, upload_url=upload_url)
            await self._journal.change(await self._page(ticket, start.phase))

    async def _publish(self, start: ResumePoint) -> None:
        await self._journal.announce(Phase.FINISHING)
        self._finish_said = True
        self._progress.committed()
        try:
            await self._service.finisher.finish(start.ticket.file_id, said_before=start.finish_said)
        except VideoCloudError:
            # Refused, and not in doubt.
            self._finish_said = False
            await self._journal.retract()
            raise
        await self._journal.finished()

    async def _clean_up(self, problem: BaseException) -> None:
        """Leave the service what the caller chose. Nothing is in flight any more."""
        if self._on_failure == "cancel" and await self._cancel_at_service(self._progress.file_id):
            await self._journal.forget()

    async def _cancel_at_service(self, file_id: str) -> bool:
        """Tell the service that the upload is off, unless it has become a video meanwhile; False if it could not be
        told, or has."""
        try:
            async with asyncio.timeout(self._service.cancel_seconds):
                if self._finish_said and await self._service.finisher.is_finished(file_id, in_doubt=True):
                    await self._journal.finished()
                    return False
                await self._journal.announce(Phase.CANCELLING)
                service = self._service
                await self._session.send(uploads.cancel_upload(service.endpoints, file_id, **service.form))
        except UnknownFileError:
            return True
        except (VideoCloudError, FinishInDoubtError, TimeoutError) as error:
            logger.warning(
                "upload %s could not be cancelled at the service: %s",
                file_id,
                str(error) or "no answer",
                extra=self._extra(),
            )
            return False
        return True

    def _failed(self, error: VideoCloudError) -> UploadError:
        """The one error that leaves, once there is a file_id."""
        # A run that has lost its lease has cancelled nothing.
        kept = self._on_failure == "keep" or self._finish_said or self._journal.lost
        lost = isinstance(error, SourceChangedError | UnknownFileError) or _too_large(error)
        failed = error if isinstance(error, UploadError) else UploadError(f"the upload stopped: {error}")
        failed.file_id = self._progress.file_id
        failed.accepted = self._progress.accepted
        remembered = self._journal.active or self._finish_said
        failed.resumable = kept and not lost and remembered and self._progress.file_id != ""
        failed.retryable = error.retryable
        return failed

    def _succeeded(self) -> UploadReceipt:
        done = self._progress
        done.state = UploadState.FINISHED
        done.finished()
        receipt = UploadReceipt(
            file_id=done.file_id,
            size=self._source.size,
            chunks=done.chunks,
            retries=done.retries,
            resumed_bytes=done.resumed_bytes,
            elapsed=done.elapsed,
            tuning=self._service.pool.tuner.explanation,
            time_by_cause=done.time_by_cause(),
        )
        logger.info(
            "upload %s is finished: %d bytes in %.1f s",
            done.file_id,
            receipt.size,
            receipt.elapsed,
            extra=self._extra(),
        )
        return receipt

    def _extra(self) -> dict[str, str]:
        return {"file_id": self._progress.file_id}


def _too_large(error: VideoCloudError) -> bool:
    return isinstance(error.__cause__, ServiceError) and error.__cause__.code == "HTTP 413"
