"""One range: under way, answered, and the answer compared with what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from .. import _validation
from .._concurrency import is_cancellation
from .._fair_queue import Turn
from .._retry import Retries
from .._session import Session
from ..errors import IntegrityError, UploadError, VideoCloudError
from ..models import Bottleneck, ChunkReceipt, UploadTicket
from ..protocol import uploads
from ..protocol.uploads import check_range
from .ranges import Range
from .routes import Route
from .sharing.workers import Worker, WorkerPool

T = TypeVar("T")

_NOBODY = Turn(None, 0)


class RangeAttempt:
    """One range under way.

    Attributes:
        range: which.
        number: how often it was sent.
        cause: what it waits for.
        since: when it was last sent (loop time, seconds), or None while it is not being sent.
        hedge: the second sending, if there was one; there is never a third.
        hedged_md5: the MD5 under which the second sending has arrived before the first.
    """

    def __init__(self, part: Range, worker: Worker | None, cause: Bottleneck) -> None:
        self.range = part
        self._worker = worker
        self.number = 0
        self.cause: Bottleneck = cause
        self.since: float | None = None
        self.hedge: asyncio.Task[None] | None = None
        self.hedged_md5: str | None = None
        self._scope: asyncio.Timeout | None = None

    def take_worker(self) -> Worker | None:
        """The worker that it was begun with; once."""
        worker, self._worker = self._worker, None
        return worker

    def sending(self, now: float) -> asyncio.Timeout:
        """The range is being sent from now on. What comes back ends with a `TimeoutError` when the second sending was
        faster, and never otherwise."""
        self.since, self.cause = now, Bottleneck.NETWORK
        self._scope = asyncio.timeout(None)
        return self._scope

    def not_sending(self, cause: Bottleneck) -> None:
        """The range waits for something else."""
        self.since, self.cause = None, cause

    def completed_by_hedge(self, md5: str) -> None:
        """The second sending was faster: the first one is called off."""
        self.hedged_md5 = md5
        if self.since is not None and self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())


async def send_range(
    session: Session,
    pool: WorkerPool,
    route: Route,
    ticket: UploadTicket,
    first: int,
    data: bytes | bytearray | memoryview,
    *,
    parameters: str,
    hashed: Callable[[memoryview], Awaitable[str]],
    turn: Turn = _NOBODY,
    retries: Retries | None = None,
    on_moved: Callable[[str], Awaitable[None]] | None = None,
) -> ChunkReceipt:
    """Send one range by hand until it is accepted (section 1.2): the same workers, checks and retries as in a whole
    upload. `on_moved` is called with the new address when the ranges go elsewhere.

    Raises:
        ConfigurationError: an empty range, or one outside of the file.
        VideoCloudError: it was refused, or no answer came.
    """
    view = _validation.octets("data", data)
    part = Range(first, len(view))
    check_range(ticket, part.first, part.size)
    md5 = await hashed(view)
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        address = route.address()
        worker = await pool.acquire(turn, part.size)
        try:
            call = uploads.upload_chunk(
                attrs.evolve(ticket, upload_url=address), first, view, parameters=parameters, boundary=pool.boundary
            )
            stored = await session.exchange(call)
        except VideoCloudError as error:
            if route.failed(address, error) and on_moved is not None:
                await on_moved(route.upload_url)
            raise
        finally:
            pool.release(worker)
        check_stored(stored, ticket.file_id, part, md5)

    await (retries or session.retries).run(attempt, progress=lambda: route.moves)
    return ChunkReceipt(part.first, part.end - 1, md5, attempts)


def check_stored(stored: uploads.RangeAnswer, file_id: str, part: Range, md5: str) -> str:
    """Compare what the service says it stored with what was sent: the MD5 of both.

    Raises:
        IntegrityError: they differ; sending the range again puts it right.
    """
    if stored.accepted != part.size:
        problem = f"the service accepted {stored.accepted} of {part.size} bytes"
    elif stored.md5 != md5:
        problem = "the service's MD5 differs from that of the bytes sent"
    elif stored.file_id not in (None, file_id):
        problem = "the service stored it under another file_id"
    else:
        return md5
    raise IntegrityError(
        f"range {part.first}-{part.end - 1}: {problem}", file_id=file_id, operation="upload_chunk", retryable=True
    )


def cancelled_within(problem: asyncio.CancelledError) -> BaseException:
    """What a task of the upload ends with that was cancelled: an error, if nobody has asked it to end."""
    if is_cancellation(problem):
        return problem
    error = UploadError(
        "something that the upload waited for was cancelled: by its source, a transport, a journal or a token store",
        retryable=True,
    )
    error.__cause__ = problem
    return error


async def unless_cancelled_within(work: Awaitable[T]) -> T:
    """The result of `work`, in a task of its own.

    Raises:
        UploadError: it was cancelled, and nobody has asked this task to end.
    """
    try:
        return await work
    except asyncio.CancelledError as problem:
        raise cancelled_within(problem)  # noqa: B904 - it has its cause, or is the same
