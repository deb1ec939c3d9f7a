"""The end of an upload, once and only once.

A finish whose answer is lost may have had its effect. It is never sent again blindly: the video's status tells first.
"""

from __future__ import annotations

import logging

from .._session import Session
from ..config import Endpoints
from ..errors import UnknownFileError, VideoCloudError
from ..models import VideoState
from ..protocol import uploads, videos
from ..protocol.answers import outcome_unknown

logger: logging.Logger = logging.getLogger(__name__)

#: What a video can be once its upload was finished.
FINISHED = frozenset({VideoState.PUBLISHING, VideoState.PUBLISHED, VideoState.REVIEW_FAILED, VideoState.PUBLISH_FAILED})
_GONE = frozenset({VideoState.ABSENT, VideoState.CANCELLED})


class FinishInDoubtError(Exception):
    """The finish was sent, and neither its answer nor the status tells what became of it."""

    def __init__(self, error: VideoCloudError) -> None:
        super().__init__(str(error))
        self.error = error


async def finish(session: Session, endpoints: Endpoints, file_id: str) -> None:
    """Finish an upload (section 1.3).

    Raises:
        FinishInDoubtError: it can't be told whether the service has finished it.
        VideoCloudError: it was not finished, and why.
    """
    in_doubt = False

    async def attempt() -> None:
        nonlocal in_doubt
        if in_doubt and await is_finished(session, endpoints, file_id):
            return
        try:
            await session.exchange(uploads.finish_upload(endpoints, file_id))
        except VideoCloudError as error:
            in_doubt = in_doubt or outcome_unknown(error)
            raise

    def on_retry(error: VideoCloudError, wait: float) -> None:
        logger.info("%s; the status of upload %s is asked for in %.1f s", error, file_id, wait)

    try:
        await session.retries.run(attempt, on_retry=on_retry)
    except UnknownFileError:
        raise
    except VideoCloudError as error:
        if not in_doubt:
            raise
        # No attempt is left, or a second finish was refused, perhaps because the first one has arrived after all.
        asked = error.operation == "get_status" and error.exhausted
        if asked or not await _finished_after_all(session, endpoints, file_id):
            raise FinishInDoubtError(error) from error


async def _finished_after_all(session: Session, endpoints: Endpoints, file_id: str) -> bool:
    try:
        return await is_finished(session, endpoints, file_id)
    except UnknownFileError:
        raise
    except VideoCloudError as error:
        logger.info("what became of upload %s can't be told: %s", file_id, error)
        return False


async def is_finished(session: Session, endpoints: Endpoints, file_id: str) -> bool:
    """Whether the service has taken the upload as a whole already.

    Raises:
        UnknownFileError: it does not know it any more, or it was cancelled.
    """
    status = await session.send(videos.get_status(endpoints, file_id))
    if status.state in _GONE:
        raise UnknownFileError(
            f"the service has dropped the upload ({status.state.value})",
            code=status.code,
            message=status.message,
            operation="get_status",
            file_id=file_id,
        )
    return status.state in FINISHED
