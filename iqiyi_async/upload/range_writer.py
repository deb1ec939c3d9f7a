"""One upload whose bytes are handed in, in order, by a caller that may stop at any byte and go on later, elsewhere.

This is what the web gateway uses of the engine. The rules of this file:

- Bytes are held in the memory that all streams share, and nothing is to be received while there is no room for any.
- What counts is what the service has accepted without a gap from the beginning on, and what the journal knows of it.
- An error of a range is raised where the next bytes are handed in; no range is under way after `settle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

import attrs

from .._concurrency import run_to_completion
from .._fair_queue import Turn
from ..errors import UnknownFileError, UploadError, VideoCloudError
from ..models import ChunkReceipt, JournalEntry, Metadata, Phase, UploadReceipt, UploadTicket
from ..protocol import uploads
from .finish import FinishInDoubtError
from .journal.session import JournalSession
from .prefix import Prefix
from .range_attempt import send_range, unless_cancelled_within
from .reading.base import AlreadyHeldError
from .reading.gathering import Gathering
from .reading.resources import SourceResources
from .routes import Route
from .upload import Service

__all__ = ["AlreadyHeldError", "RangeWriter"]


class RangeWriter:
    """Writes one upload, range by range.

    Args:
        service: what all uploads of the client have in common.
        resources: threads and memory.
        journal: the upload's page in the journal.
        entry: what the upload is in the journal, but for its file_id; its fingerprint holds the size.
        metadata: what the video is called and about.
        turn: whose upload it is.
        on_stop: called when the writer has to end.
        writers: those that hold a lease; it is among them while it does.
    """

    def __init__(
        self,
        service: Service,
        *,
        resources: SourceResources,
        journal: JournalSession,
        entry: JournalEntry,
        metadata: Metadata,
        turn: Turn,
        on_stop: Callable[[UploadError], None],
        writers: set[RangeWriter],
    ) -> None:
        self._service = service
        self._session = service.session
        self._resources = resources
        self._journal = journal
        self._entry = entry
        self._metadata = metadata
        self._turn = turn
        self._on_stop = on_stop
        self._writers = writers
        self.ended: asyncio.Event = asyncio.Event()
        self._route: Route | None = None
        self._ticket: UploadTicket | None = None
        self._described: asyncio.Task[None] | None = None
        self._window = asyncio.Semaphore(service.pool.tuner.most_workers)
        self._began = time.monotonic()
        self._resumed = 0
        self._retries = 0
        self._sent = 0
        self._prefix = Prefix()
        # The run of bytes that is being handed in.
        self._gathering: Gathering | None = None
        self._at = 0
        self._held_back: list[ChunkReceipt] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._problem: BaseException | None = None

    # What is there

    @property
    def size(self) -> int:
        """Bytes of the whole upload."""
        return self._entry.fingerprint.size

    @property
    def file_id(self) -> str:
        """The upload's name at the service; empty while it has none."""
        return self._entry.file_id

    @property
    def phase(self) -> Phase:
        """How far the journal knows the upload to be."""
        return self._entry.phase

    @property
    def fence(self) -> int:
        """The number of the lease, for what else is guarded by it."""
        return self._journal.fence

    @property
    def accepted(self) -> Sequence[ChunkReceipt]:
        """The ranges that the service has accepted, in order and without a gap from the beginning on."""
        return self._prefix.ranges

    @property
    def offset(self) -> int:
        """How many bytes the service has accepted from the beginning on, without a gap."""
        return self._prefix.end

    @property
    def rate(self) -> float:
        """Bytes a second that the service has accepted of this writer, on the average of its life."""
        return self._sent / max(time.monotonic() - self._began, 1e-6)

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncGenerator[RangeWriter, None]:
        """Be the only one who writes this upload; what an earlier writer has left is known from then on.

        Raises:
            AlreadyHeldError: another writer, here or in another process, holds it.
            UploadError: the journal can't be asked.
        """
        async with self._journal.lease() as entry:
            self._writers.add(self)
            try:
                if entry is not None:
                    self._entry = attrs.evolve(entry, accepted=())
                    self._journal.resume(entry)
                    self._prefix = Prefix(entry.accepted)
                    self._open(UploadTicket(entry.file_id, entry.upload_url, self.size))
                    self._resumed = self.offset
                with self._session.telemetry.active():
                    yield self
            finally:
                await run_to_completion(self._stop())
                self._writers.discard(self)
                self.ended.set()

    def stop(self, why: UploadError) -> None:
        """Ask the caller to hand in nothing more and to give the lease back."""
        self._on_stop(why)

    def abort(self) -> None:
        """End the ranges under way: the client is closed."""
        self._problem = self._problem or UploadError(
            "the upload was stopped because the client was closed", resumable=True, retryable=True
        )
        for task in self._tasks:
            task.cancel()

    async def begin(self) -> None:
        """Ask the service for the upload, if that was not done before, and drop ranges that lie behind a gap.

        Raises:
            VideoCloudError: the service refused, or could not be asked.
            UploadError: the journal can't be written, or the lease is lost.
        """
        if self._ticket is None:
            service = self._service
            call = uploads.request_upload(service.endpoints, self._entry.file_type, self.size, **service.form)
            ticket = await self._session.send(call, interactive=True)
            self._entry = attrs.evolve(self._entry, file_id=ticket.file_id, upload_url=ticket.upload_url)
            await self._journal.begin(self._entry)
            self._prefix = Prefix()
            self._open(ticket)
        elif len(accepted := self.accepted) != len(self._journal.accepted):
            await self._keep(accepted)
        self._describing()

    async def drop_last(self) -> None:
        """Let the last accepted range count no more: its bytes are handed in again."""
        await self._keep(self.accepted[:-1])

    async def restart(self) -> None:
        """The service has dropped the upload: it begins again, from its first byte."""
        await self._journal.forget()
        self._entry = attrs.evolve(self._entry, file_id="", upload_url="", phase=Phase.SENDING)
        self._ticket, self._route, self._prefix = None, None, Prefix()
        await self._forget_description()

    # Bytes

    def start(self, length: int | None, *, hold_back: bool = False) -> None:
        """Bytes are handed in from now on, from `offset` on.

        Args:
            length: how many there will be, so that they are cut evenly; None if that is not known.
            hold_back: they count only after `commit`.
        """
        self._problem = None
        self._at = self.offset
        options = self._service.options
        self._gathering = Gathering(
            self._resources.memory,
            self._turn,
            self.size - self._at if length is None else length,
            most=lambda: self._service.pool.tuner.chunk_size,
            flush_after=options.flush_after,
            send=self._begin_range,
        )
        self._held_back = [] if hold_back else None

    async def room(self) -> None:
        """Wait until there is memory for more bytes; before that, none are to be received.

        Raises:
            VideoCloudError: a range that was handed in before could not be sent.
        """
        self._check()
        if self._gathering is not None:
            await self._gathering.room()
        self._check()

    async def write(self, data: bytes) -> None:
        """Take bytes; they are sent as soon as they are a range.

        Raises:
            VideoCloudError: a range that was handed in before could not be sent.
        """
        self._check()
        if self._gathering is not None:
            await self._gathering.write(memoryview(data))

    async def settle(self) -> None:
        """Send what there is, and wait until no range is under way.

        Raises:
            VideoCloudError: one of them could not be sent; the others have ended too.
        """
        if self._gathering is not None:
            self._gathering.close()
            self._gathering = None
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._check()

    async def commit(self) -> None:
        """What was held back counts from now on.

        Raises:
            UploadError: the journal can't be written, or the lease is lost.
        """
        held_back, self._held_back = self._held_back, None
        for chunk in sorted(held_back or (), key=lambda each: each.first):
            await self._record(chunk)

    # The end

    async def finish(self) -> None:
        """Set the metadata and have the video published; every byte is accepted.

        Raises:
            UnknownFileError: the service has dropped the upload.
            UploadError: whether it has become a video can't be told now (`resumable`), or the lease is lost.
            VideoCloudError: it was refused, or the service could not be asked.
        """
        said_before = self.phase is Phase.FINISHING
        finisher = self._service.finisher
        try:
            if said_before and await finisher.is_finished(self.file_id, in_doubt=True):
                await self._published()
                return
            await asyncio.shield(self._describing())
            await self._journal.announce(Phase.FINISHING)
            self._entry = attrs.evolve(self._entry, phase=Phase.FINISHING)
            await finisher.finish(self.file_id, said_before=said_before)
        except FinishInDoubtError as doubt:
            raise UploadError(
                f"whether the upload has become a video can't be told now: {doubt.error}",
                file_id=self.file_id,
                resumable=True,
                retryable=True,
            ) from doubt.error
        except VideoCloudError:
            # Refused, and not in doubt.
            if self.phase is Phase.FINISHING and not said_before and not self._journal.lost:
                await self._journal.retract()
                self._entry = attrs.evolve(self._entry, phase=Phase.SENDING)
            raise
        await self._published()

    async def cancel(self) -> bool:
        """Cancel the upload at the service, and forget it.

        Returns:
            False if it has become a video before.

        Raises:
            VideoCloudError: the service could not be told.
            UploadError: the journal can't be written, or the lease is lost.
        """
        if self.phase is Phase.FINISHED:
            return False
        if self._ticket is not None:
            service = self._service
            try:
                if self.phase is Phase.FINISHING and await service.finisher.is_finished(self.file_id, in_doubt=True):
                    await self._published()
                    return False
                await self._journal.announce(Phase.CANCELLING)
                call = uploads.cancel_upload(service.endpoints, self.file_id, **service.form)
                await self._session.send(call, interactive=True)
            except UnknownFileError:
                pass  # dropped already
            except FinishInDoubtError as doubt:
                raise doubt.error from doubt.error.__cause__
            await self._journal.forget()
        return True

    def receipt(self) -> UploadReceipt:
        """What became of the upload, once it is finished."""
        return UploadReceipt(
            file_id=self.file_id,
            size=self.size,
            chunks=len(self._journal.accepted),
            retries=self._retries,
            resumed_bytes=self._resumed,
            elapsed=time.monotonic() - self._began,
        )

    # Inside

    def _open(self, ticket: UploadTicket) -> None:
        self._ticket = ticket
        self._route = self._service.route(ticket.upload_url)

    async def _keep(self, accepted: Sequence[ChunkReceipt]) -> None:
        await self._journal.begin(attrs.evolve(self._entry, accepted=tuple(accepted)))
        self._prefix = Prefix(accepted)

    def _describing(self) -> asyncio.Task[None]:
        """The metadata is being set, or was."""
        if self._described is None:
            self._described = asyncio.create_task(
                unless_cancelled_within(self._describe()), name="iqiyi-async metadata"
            )
        return self._described

    async def _describe(self) -> None:
        await self._journal.confirm()
        call = uploads.set_metadata(self._service.endpoints, self.file_id, self._metadata)
        await self._session.send(call, interactive=True)

    async def _published(self) -> None:
        await self._journal.finished()
        self._entry = attrs.evolve(self._entry, phase=Phase.FINISHED)

    def _check(self) -> None:
        if self._problem is not None:
            raise self._problem
        described = self._described
        if described is None or not described.done():
            return
        problem = described.exception()
        if isinstance(problem, VideoCloudError) and problem.retryable:
            self._described = None  # set before finish
        elif problem is not None:
            raise problem

    def _begin_range(self, view: memoryview) -> None:
        task = asyncio.create_task(unless_cancelled_within(self._send(self._at, view)), name="iqiyi-async range")
        self._tasks.add(task)
        # Not in the task itself: one that is cancelled before its first step never reaches its own `finally`.
        task.add_done_callback(partial(self._ended, len(view)))
        self._at += len(view)

    async def _send(self, first: int, view: memoryview) -> None:
        ticket, route = self._ticket, self._route
        assert ticket is not None
        assert route is not None
        async with self._window:
            self._journal.check()
            with self._session.telemetry.range(first, len(view)):
                receipt = await send_range(
                    self._session,
                    self._service.pool,
                    route,
                    ticket,
                    first,
                    view,
                    parameters=self._service.options.parameters,
                    hashed=self._resources.hashed,
                    turn=self._turn,
                    retries=self._session.call_retries,
                    on_moved=self._moved,
                )
        self._session.telemetry.accepted(len(view))
        self._sent += len(view)
        self._retries += receipt.attempts - 1
        if self._held_back is None:
            await self._record(receipt)
        else:
            self._held_back.append(receipt)

    async def _moved(self, upload_url: str) -> None:
        """The ranges go to another address: who writes the upload next begins there."""
        self._entry = attrs.evolve(self._entry, upload_url=upload_url)
        await self._journal.change(self._entry)

    async def _record(self, receipt: ChunkReceipt) -> None:
        try:
            await self._journal.record(receipt)
        except VideoCloudError:
            raise
        except Exception as problem:
            # What the journal does not know does not count.
            self._journal.accepted.remove(receipt)
            raise UploadError(
                f"the upload journal can't be written ({type(problem).__name__}: {problem})",
                file_id=self.file_id,
                resumable=True,
                retryable=True,
            ) from problem
        self._prefix.add(receipt)

    def _ended(self, size: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._resources.memory.release(size)
        # Of several errors the first is raised; all count as seen.
        problem = None if task.cancelled() else task.exception()
        self._problem = self._problem or problem

    async def _stop(self) -> None:
        """Nothing is under way any more when this is over."""
        if self._gathering is not None:
            self._gathering.drop()
            self._gathering = None
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._forget_description()

    async def _forget_description(self) -> None:
        described, self._described = self._described, None
        if described is not None:
            described.cancel()
            await asyncio.wait([described])
            if not described.cancelled():
                described.exception()  # counts as seen
