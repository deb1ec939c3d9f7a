"""An upload in hand: awaited, watched, paused, cancelled, from any task of its event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Self

from .._concurrency import run_to_completion
from ..errors import UploadError, VideoCloudError
from ..models import UploadEvent, UploadProgress, UploadReceipt, UploadState
from .progress import ListenerCancelledError, OnProgress, Progress
from .range_attempt import cancelled_within
from .upload import Upload

logger: logging.Logger = logging.getLogger(__name__)


class UploadHandle:
    """An upload that has been started.

    ``await handle`` is its receipt, or raises its error; cancelling one who awaits it does not cancel the upload. As an
    async context manager it cancels, at the end of the block, what has not ended. Its task belongs to the client: a
    handle that is forgotten runs to its end, and its error is logged.
    """

    def __init__(
        self,
        work: Callable[[UploadHandle], Awaitable[UploadReceipt]],
        *,
        on_progress: OnProgress | None,
        clock: Callable[[], float],
        event_seconds: float,
    ) -> None:
        self._latest: UploadEvent | None = None
        self._changed = asyncio.Event()
        self.running: asyncio.Event = asyncio.Event()
        self.running.set()
        self.counts: Progress = Progress(clock, on_progress, self._on_event, event_seconds)
        self._upload: Upload | None = None
        self._stop_within: float | None = None
        self._why: UploadError | None = None
        self._cancelled = False
        self._awaited = False
        self._scope = asyncio.timeout(None)
        self._entered = False
        self._task = asyncio.get_running_loop().create_task(self._run(work), name="iqiyi-async upload")
        self._task.add_done_callback(self._log_forgotten)

    @property
    def file_id(self) -> str | None:
        """The upload's name at the service, once it has one."""
        return self.counts.file_id or None

    @property
    def state(self) -> UploadState:
        """Where the upload stands."""
        return self.counts.state

    @property
    def progress(self) -> UploadProgress:
        """How far the upload is: absolute numbers, those of earlier runs among them."""
        return self.counts.snapshot()

    def pause(self) -> None:
        """Send no further ranges; those under way are finished, and their workers given back.

        The state is `paused` when the last of them has ended. Without effect once the upload is finishing or over.
        """
        if not self.state.ended and self.state is not UploadState.FINISHING:
            self.running.clear()
            if self._upload is not None:
                self._upload.paused()

    def resume(self) -> None:
        """Go on after `pause`."""
        self.running.set()
        if self._upload is not None:
            self._upload.resumed()

    async def cancel(self, *, at_service: bool = False) -> None:
        """Stop the upload and wait for its end. Awaiting the handle raises `UploadError` then.

        Args:
            at_service: cancel it at the service too; otherwise the option ``on_failure`` decides.
        """
        if at_service and self._upload is not None:
            # Before that there is nothing at the service yet.
            self._upload.cancel_at_service()
        self._cancelled = True
        self.abort(UploadError("the upload was cancelled", retryable=True))
        await self.wait()

    async def events(self) -> AsyncIterator[UploadEvent]:
        """The upload's events, at most ten a second, from the latest on. The last one has its receipt or its error.

        Any number of tasks may listen; a slow one misses events in between, and never the last.
        """
        self.counts.watch()
        seen: UploadEvent | None = None
        while True:
            changed, latest = self._changed, self._latest
            if latest is not None and latest is not seen:
                seen = latest
                yield latest
                if latest.state.ended:
                    return
            elif latest is None:
                seen = UploadEvent(self.state, self.progress)
                yield seen
                await changed.wait()
            else:
                await changed.wait()

    def __await__(self) -> Generator[object, None, UploadReceipt]:
        self._awaited = True
        return asyncio.shield(self._task).__await__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._awaited = True
        if not self._task.done():
            self._cancelled = True
            self.abort(UploadError("the upload was cancelled", retryable=True))
            await run_to_completion(self.wait())

    def __repr__(self) -> str:
        return f"<UploadHandle {self.file_id or '-'} {self.state.value}>"

    # For the client

    def attach(self, upload: Upload) -> None:
        """The source is known and the upload begins: from here on it can be stopped in order."""
        self._upload = upload
        if self._stop_within is not None:
            upload.stop(self._stop_within)

    def stop(self, within: float) -> None:
        """Take no new ranges, unless the upload will be done within `within` seconds; finish those under way."""
        self._stop_within = within
        if self._upload is not None:
            self._upload.stop(within)

    def abort(self, why: UploadError) -> None:
        """Stop at once, as if cancelled; the upload then ends with `why`."""
        if self._why is None and not self._task.done():
            self._why = why
            if self._entered and not self._scope.expired():
                self._scope.reschedule(asyncio.get_running_loop().time())

    def when_ended(self, call: Callable[[UploadHandle], object]) -> None:
        """Call something with this handle when the upload has ended."""
        self._task.add_done_callback(lambda _: call(self))

    async def wait(self) -> None:
        """Wait for the end, whatever it is."""
        self._awaited = True
        await asyncio.wait([self._task])

    async def _run(self, work: Callable[[UploadHandle], Awaitable[UploadReceipt]]) -> UploadReceipt:
        try:
            async with self._scope:
                self._entered = True
                self._check_stopped()
                receipt = await work(self)
        except TimeoutError as problem:
            if self._why is None or not self._scope.expired():
                self.counts.ended(UploadState.FAILED)
                raise
            error = self._stopped(self._why)
            self._end_with(error)
            raise error from (None if isinstance(problem.__cause__, asyncio.CancelledError) else problem.__cause__)
        except VideoCloudError as error:
            self._end_with(error)
            raise
        except ListenerCancelledError as listener:
            self.counts.ended(UploadState.FAILED)
            raise listener.problem from None
        except asyncio.CancelledError as problem:
            ending = cancelled_within(problem)
            self.counts.ended(UploadState.FAILED, error=ending if isinstance(ending, UploadError) else None)
            raise ending  # noqa: B904 - it has its cause, or is the same
        except BaseException:
            self.counts.ended(UploadState.FAILED)
            raise
        finally:
            # It refers to this handle too (see `Upload._send`).
            self._upload = None
        self.counts.ended(UploadState.FINISHED, receipt)
        return receipt

    def _check_stopped(self) -> None:
        """Before its first step it may have been stopped already."""
        if self._why is not None:
            raise self._stopped(self._why)

    def _stopped(self, why: UploadError) -> UploadError:
        return why if self._upload is None else self._upload.stopped(why)

    def _end_with(self, error: VideoCloudError) -> None:
        self.counts.ended(UploadState.CANCELLED if self._cancelled else UploadState.FAILED, error=error)

    def _on_event(self, event: UploadEvent) -> None:
        self._latest = event
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _log_forgotten(self, task: asyncio.Task[UploadReceipt]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._awaited:
            logger.error("upload %s failed: %s", self.file_id or "-", error, extra={"file_id": self.file_id or ""})
