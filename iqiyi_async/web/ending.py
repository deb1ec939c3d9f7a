"""The end of an upload through the gateway: finished, refused or cancelled, and how errors of the service are answered.

A client takes an upload for done as soon as all of its bytes are acknowledged. So that is said only when the service
has it as a video, and the application was told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import attrs

from .. import (
    AuthorizationError,
    ConfigurationError,
    DuplicateVideoError,
    ServiceError,
    ServiceUnavailableError,
    UnknownFileError,
    UploadError,
    UploadReceipt,
    VideoCloudError,
)
from ..stores import GatewayJournal, GatewayRecord, GatewayState
from .leases import Hold, stored
from .records import BrowserUpload, Details
from .tus import TusError, unavailable

logger: logging.Logger = logging.getLogger(__name__)

OnFinish = Callable[[BrowserUpload, UploadReceipt], Awaitable[object]]

#: Metadata and finish may take so long, in seconds; then their outcome is in doubt, and the client asks again.
FINISH_SECONDS = 20.0


class Ending:
    """Ends uploads.

    Args:
        store: the journal.
        on_finish: the application's, or None.
    """

    def __init__(self, store: GatewayJournal, on_finish: OnFinish | None) -> None:
        self._store = store
        self._on_finish = on_finish

    async def conclude(self, hold: Hold, within: float | None = None) -> None:
        """Have the video published, all of whose bytes are accepted, and tell the application.

        Raises:
            TusError: 503 in doubt or in an outage, 422 if it was refused, 500 if the application failed.
        """
        try:
            async with asyncio.timeout(FINISH_SECONDS if within is None else within):
                await hold.writer.finish()
        except TimeoutError:
            raise unavailable("the service has not answered yet whether it has the video; try again later") from None
        except VideoCloudError as error:
            raise await self.failed(hold, error) from error
        await self.finished(hold, hold.writer.receipt())

    async def finished(self, hold: Hold, receipt: UploadReceipt) -> None:
        """The upload is a video: note it, and tell the application."""
        state, file_id, size = GatewayState.FINISHED, receipt.file_id, receipt.size
        await self._update(hold, attrs.evolve(hold.record, state=state, file_id=file_id, offset=size, received=size))
        await self.tell(hold, receipt)

    async def tell(self, hold: Hold, receipt: UploadReceipt | None = None) -> None:
        """Tell the application of a finished upload; again if it failed before.

        Raises:
            TusError: 500: it failed.
        """
        record = hold.record
        if self._on_finish is not None:
            upload = Details.of(record).upload(record)
            try:
                await self._on_finish(upload, receipt or _receipt_of(record))
            except Exception as problem:
                logger.exception("on_finish failed for video %s; it is called again", record.file_id)
                raise TusError(500, "the video is there, but the application could not take note of it") from problem
        await self._update(hold, attrs.evolve(record, state=GatewayState.DONE))

    async def cancel(self, hold: Hold) -> None:
        """The browser gives the upload up.

        Raises:
            TusError: 503: the service could not be told.
        """
        record = hold.record
        if record.untold:
            await self.tell(hold)
        elif record.state in (GatewayState.OPEN, GatewayState.EXPIRED):
            try:
                if not await hold.writer.cancel():
                    await self.finished(hold, hold.writer.receipt())
            except VideoCloudError as error:
                raise unavailable(f"the upload could not be cancelled: {error}") from error
        if record.state is not GatewayState.EXPIRED:
            await self._update(hold, attrs.evolve(hold.record, state=GatewayState.CANCELLED))

    async def failed(self, hold: Hold, error: VideoCloudError) -> TusError:
        """What to answer after an error of the service. What was refused for good has ended then."""
        if isinstance(error, UnknownFileError):
            try:
                await hold.writer.restart()
            except UploadError as problem:
                return unavailable(str(problem))
            return TusError(409, f"the upload has to start over: {error}")
        if not _is_refusal(error):
            logger.warning("an upload of a browser has stopped, and can go on: %s", error)
            wait = error.retry_after if isinstance(error, ServiceUnavailableError) else None
            return unavailable(str(error), wait or 2.0)
        logger.warning("an upload of a browser was refused: %s", error)
        try:
            await hold.writer.cancel()
        except VideoCloudError as problem:
            logger.warning("upload %s could not be cancelled: %s", hold.writer.file_id, problem)
        await self._update(hold, attrs.evolve(hold.record, state=GatewayState.REFUSED, problem=str(error)))
        return TusError(422, str(error))

    async def _update(self, hold: Hold, record: GatewayRecord) -> None:
        if not await stored(self._store.update_upload(record, hold.writer.fence)):
            raise unavailable("another process has taken this upload over; try again")
        hold.record = record


def _is_refusal(error: VideoCloudError) -> bool:
    """Whether the same upload would be refused again."""
    if error.retryable or isinstance(error, AuthorizationError):
        # The application's own credentials are no fault of the upload.
        return False
    if isinstance(error, UploadError):
        # Of a spooled upload: what the service has said is its cause.
        cause = error.__cause__
        return _is_refusal(cause) if isinstance(cause, VideoCloudError) else not error.resumable
    return isinstance(error, ServiceError | ConfigurationError | DuplicateVideoError)


def _receipt_of(record: GatewayRecord) -> UploadReceipt:
    """What is still known of a video that was finished by an earlier request."""
    size = record.size or 0
    return UploadReceipt(record.file_id, size, chunks=0, retries=0, resumed_bytes=size, elapsed=0.0)
