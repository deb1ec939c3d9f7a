"""The finish of an upload, sent once.

A finish whose answer is lost may have had its effect, so it is never repeated blindly: the status is asked first, over
a fresh connection. After such a finish an absent video is in doubt too: the status may lag behind.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from .._session import Session
from ..config import Endpoints
from ..errors import ServiceError, UnknownFileError, VideoCloudError
from ..models import VideoState, VideoStatus
from ..protocol import uploads, videos
from ..protocol.answers import outcome_unknown

logger: logging.Logger = logging.getLogger(__name__)

#: The first wait between two looks at a video that is absent after a finish of unknown outcome, and the longest.
FIRST_LOOK, LONGEST_LOOK = 0.25, 5.0


class FinishInDoubtError(Exception):
    """The finish was sent, and neither its answer nor the status tells what became of it."""

    def __init__(self, error: VideoCloudError) -> None:
        super().__init__(str(error))
        self.error = error


class Finisher:
    """Says finish for the uploads of one client.

    Args:
        session: sends the calls.
        endpoints: where the service lives.
        parameters: ``"headers"`` or ``"body"``: how finish says what it is about.
        boundary: for the form, if ``"body"``.
        patience: how long an absent video is asked for after a finish of unknown outcome, in seconds.
        sleep: waits so many seconds.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        session: Session,
        endpoints: Endpoints,
        *,
        parameters: str = "headers",
        boundary: str = "",
        patience: float,
        sleep: Callable[[float], Awaitable[object]],
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._endpoints = endpoints
        self._parameters = parameters
        self._boundary = boundary
        self._patience = patience
        self._sleep = sleep
        self._clock = clock

    async def finish(self, file_id: str, *, said_before: bool = False) -> None:
        """Finish an upload (section 1.3).

        Args:
            file_id: the upload.
            said_before: whether an earlier run may have said it.

        Raises:
            FinishInDoubtError: it can't be told whether the service has finished it.
            UnknownFileError: the service does not know the upload, and it was never finished.
            VideoCloudError: it was not finished, and why.
        """
        in_doubt = said_before
        unsure: VideoCloudError | None = None

        async def attempt() -> None:
            nonlocal in_doubt, unsure
            if unsure is not None:
                status = await self._session.retries.run(lambda: self._look_once(file_id))
                if await self._tells(status, in_doubt=True):
                    return
            try:
                call = uploads.finish_upload(
                    self._endpoints, file_id, parameters=self._parameters, boundary=self._boundary
                )
                await self._session.exchange(call, fresh=unsure is not None)
            except VideoCloudError as error:
                if outcome_unknown(error):
                    in_doubt, unsure = True, error
                raise

        def on_retry(error: VideoCloudError, wait: float) -> None:
            logger.info("%s; upload %s is looked at again in %.1f s", error, file_id, wait, extra={"file_id": file_id})

        try:
            await self._session.retries.run(attempt, on_retry=on_retry)
        except VideoCloudError as error:
            if not in_doubt:
                raise
            problem = error
        else:
            return
        # Outside of the handler: the error is raised in place of the doubt, and must not stand in its own chain.
        await self._resolve(file_id, problem)

    async def is_finished(self, file_id: str, *, in_doubt: bool = False) -> bool:
        """Whether the service has taken the upload as a whole already.

        Args:
            file_id: the upload.
            in_doubt: a finish of unknown outcome was sent: a video that is absent may still turn up.

        Raises:
            UnknownFileError: it was cancelled; or the service does not know it, and no finish was sent.
            FinishInDoubtError: a finish was sent, and the video stays absent.
        """
        return await self._tells(await self.look(file_id), in_doubt=in_doubt)

    async def look(self, file_id: str, *, patience: float = 0.0) -> VideoStatus:
        """The status of an upload (section 4), asked for as often as the policy of uploads says.

        Args:
            file_id: the upload.
            patience: how long an absent video is asked for again, in seconds; no longer than the option says.
        """
        status = await self._session.send(videos.get_status(self._endpoints, file_id))
        if status.state is VideoState.ABSENT and patience > 0:
            return await self._until_it_turns_up(file_id, status, min(patience, self._patience))
        return status

    async def _look_once(self, file_id: str) -> VideoStatus:
        """The status, asked for once, over a fresh connection: for a loop that repeats it itself."""
        return await self._session.exchange(videos.get_status(self._endpoints, file_id), fresh=True)

    async def _tells(self, status: VideoStatus, *, in_doubt: bool) -> bool:
        """Whether a status says that the upload is finished."""
        if in_doubt and status.state is VideoState.ABSENT:
            status = await self._until_it_turns_up(status.file_id, status, self._patience)
            if status.state is VideoState.ABSENT:
                raise self._in_doubt(status)
        if status.state in videos.GONE:
            raise _dropped(status)
        return status.state in videos.FINISHED

    async def _until_it_turns_up(self, file_id: str, status: VideoStatus, patience: float) -> VideoStatus:
        deadline, wait = self._clock() + patience, FIRST_LOOK
        while (left := deadline - self._clock()) > 0:
            await self._sleep(min(wait, left))
            wait = min(2 * wait, LONGEST_LOOK)
            try:
                status = await self._look_once(file_id)
            except VideoCloudError as error:
                if not error.retryable:
                    raise
                continue
            if status.state is not VideoState.ABSENT:
                break
        return status

    def _in_doubt(self, status: VideoStatus) -> FinishInDoubtError:
        return FinishInDoubtError(
            ServiceError(
                f"the answer to finish was lost, and the video has not turned up within {self._patience:g} s"
                f" ({status.code}): it may be finished or dropped; the same upload looks again",
                code=status.code,
                message=status.message,
                operation="finish_upload",
                file_id=status.file_id,
                retryable=True,
            )
        )

    async def _resolve(self, file_id: str, problem: VideoCloudError) -> None:
        """No attempt is left, or a second finish was refused, perhaps because the first has arrived after all."""
        asked = problem.operation == "get_status" and problem.exhausted
        if asked or not await self._finished_after_all(file_id):
            raise FinishInDoubtError(problem)

    async def _finished_after_all(self, file_id: str) -> bool:
        try:
            return await self._tells(await self._look_once(file_id), in_doubt=True)
        except (UnknownFileError, FinishInDoubtError):
            raise
        except VideoCloudError as error:
            logger.info("what became of upload %s can't be told: %s", file_id, error, extra={"file_id": file_id})
            return False


def _dropped(status: VideoStatus) -> UnknownFileError:
    return UnknownFileError(
        f"the service has dropped the upload ({status.state.value})",
        code=status.code,
        message=status.message,
        operation="get_status",
        file_id=status.file_id,
    )
