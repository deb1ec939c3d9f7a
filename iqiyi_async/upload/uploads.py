"""All uploads of one client: how they are started, counted, drained and ended."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import cast

import anyio
import attrs

from .. import _validation
from .._clocks import boottime
from .._fair_queue import Turn
from ..errors import ConfigurationError, ServiceUnavailableError, UploadError
from ..models import ChunkReceipt, Fingerprint, JournalEntry, Metadata, UploadReceipt, UploadState, UploadTicket
from ..protocol.uploads import doubt_about, metadata_digest
from ..stores import MemoryJournal
from ..stores.base import UploadJournal
from ..stores.gateway import GatewayJournal, gateway_journal
from .handle import UploadHandle
from .journal.session import JournalSession
from .progress import OnProgress, check_on_progress
from .range_attempt import send_range
from .range_writer import RangeWriter
from .reading.resources import SourceResources
from .reading.sources import UploadInput, check_source, make_source
from .routes import Route
from .upload import Service, Upload

logger: logging.Logger = logging.getLogger(__name__)

#: So long a closed client waits for those who write uploads piece by piece, in seconds.
ABORT_SECONDS = 5.0


@attrs.frozen
class UnfinishedUpload:
    """An upload that was begun and is neither finished nor cancelled.

    Attributes:
        file_id: its name at the service.
        name: what a person knows its source by: a path, or the caller's key.
        size: of the source, in bytes.
        accepted: bytes that the service holds.
        group: as it was given, or None.
        changed: when it last came further (Unix time, seconds).
        key: its name in the journal.
    """

    file_id: str
    name: str
    size: int
    accepted: int
    group: str | None
    changed: float
    key: str


@attrs.frozen
class Wish:
    """What a caller wants to be uploaded, checked as far as that needs no waiting."""

    source: UploadInput
    metadata: Metadata
    file_type: str | None = None
    size: int | None = None
    key: str | None = None
    again: bool = False
    turn: Turn = attrs.field(factory=Turn)

    def __attrs_post_init__(self) -> None:
        check_source(self.source)
        _validation.kind("metadata", self.metadata, Metadata)
        _validation.boolean("again", self.again)
        if self.key is not None:
            _validation.text("key", self.key, limit=512)
        if self.turn.group is not None:
            _validation.text("group", self.turn.group, limit=512)
        _validation.whole("priority", self.turn.priority, least=-1000, most=1000)


class Uploads:
    """All uploads of one client.

    Args:
        service: what they have in common.
        resources: threads, open files and memory for their sources.
        journal: what lets them go on after a crash, or None.
        account: whose uploads they are.
        lease_clock: seconds, also in suspend.
    """

    def __init__(
        self,
        service: Service,
        *,
        resources: SourceResources,
        journal: UploadJournal | None,
        account: str,
        lease_clock: Callable[[], float] = boottime,
    ) -> None:
        self._service = service
        self._resources = resources
        self._journal = journal
        self._account = account
        self._lease_clock = lease_clock
        self._handles: set[UploadHandle] = set()
        self._writers: set[RangeWriter] = set()
        #: Owners of leases that could not be given back, by key.
        self._unreleased: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._handles) + len(self._writers)

    @property
    def waiting(self) -> int:
        """How many have not sent a byte yet."""
        return sum(handle.state is UploadState.WAITING for handle in self._handles)

    @property
    def rate(self) -> float:
        """Bytes a second that the service accepts of all uploads under way, on the average of each one's life."""
        return sum(handle.counts.rate for handle in self._handles) + sum(writer.rate for writer in self._writers)

    def start(
        self,
        wish: Wish,
        on_progress: OnProgress | None = None,
        journal: UploadJournal | None = None,
        lease_seconds: float | None = None,
    ) -> UploadHandle:
        """Start an upload.

        Args:
            wish: what is to be uploaded.
            on_progress: called with an `UploadProgress` up to ten times a second.
            journal: in place of the client's.
            lease_seconds: of that journal, in place of the option.

        Raises:
            ConfigurationError: `on_progress` is no plain function.
            ServiceUnavailableError: too many uploads are under way already (``max_pending_uploads``).
        """
        check_on_progress(on_progress)
        self.check_room()
        kept = self._journal if journal is None else journal
        lease = self._service.options.lease_seconds if lease_seconds is None else lease_seconds

        async def work(handle: UploadHandle) -> UploadReceipt:
            try:
                return await self._upload(wish, kept, lease, handle)
            finally:
                self._handles.discard(handle)

        handle = UploadHandle(
            work,
            on_progress=on_progress,
            clock=asyncio.get_running_loop().time,
            event_seconds=self._service.event_seconds,
        )
        self._handles.add(handle)
        handle.when_ended(self._handles.discard)
        return handle

    def check_room(self) -> None:
        """Look whether one more upload may be begun.

        Raises:
            ServiceUnavailableError: too many uploads are under way already (``max_pending_uploads``).
        """
        most = self._service.options.max_pending_uploads
        if most is not None and len(self) >= most:
            raise ServiceUnavailableError(
                f"{len(self)} uploads are under way, as many as max_pending_uploads allows; try again later",
                code="max_pending_uploads",
                operation="upload",
            )

    def gateway_journal(self) -> GatewayJournal:
        """The journal, for a gateway; one in memory if the client has none.

        Raises:
            ConfigurationError: it can't keep the records of a gateway.
        """
        if self._journal is not None:
            return gateway_journal(self._journal)
        logger.warning(
            "the client has no journal: browsers' uploads are kept in this process only, and lost with it; give the"
            " client a SqliteJournal (one machine) or a PostgresJournal (several)"
        )
        return MemoryJournal()

    def writer(
        self,
        key: str,
        metadata: Metadata,
        *,
        size: int,
        file_type: str,
        name: str,
        group: str | None,
        journal: UploadJournal,
        on_stop: Callable[[UploadError], None],
    ) -> RangeWriter:
        """A writer of one upload, for a gateway (see `RangeWriter`).

        Args:
            key: the upload's name in the journal.
            metadata: what the video is called and about.
            size: bytes.
            file_type: such as ``"mp4"``.
            name: what a person knows it by.
            group: whose upload it is.
            journal: where it is kept.
            on_stop: called when it has to end: its lease is lost, or the client is shutting down.
        """
        options = self._service.options
        page = JournalSession(
            journal,
            key,
            strict=True,
            lease_seconds=options.lease_seconds,
            on_lost=on_stop,
            clock=self._lease_clock,
            unreleased=self._unreleased,
        )
        entry = JournalEntry(
            file_id="",
            upload_url="",
            fingerprint=Fingerprint(size, 0, 0, ""),
            name=name,
            account=self._account,
            group=group or "",
            file_type=file_type,
            metadata=metadata_digest(metadata),
            remember=options.remember,
        )
        return RangeWriter(
            self._service,
            resources=self._resources,
            journal=page,
            entry=entry,
            metadata=metadata,
            turn=Turn(group, 0),
            on_stop=on_stop,
            writers=self._writers,
        )

    async def unfinished(self) -> AsyncIterator[UnfinishedUpload]:
        """What earlier runs have left (see `AsyncVideoCloud.iter_unfinished`)."""
        list_them = getattr(self._journal, "unfinished", None)
        if list_them is None:
            raise ConfigurationError(
                "uploads that were left behind are known to a journal only: give the client one that has unfinished()"
            )
        for key, entry in await list_them(self._account):
            page = cast("JournalEntry", entry)
            yield UnfinishedUpload(
                page.file_id,
                page.name,
                page.fingerprint.size,
                sum(chunk.size for chunk in page.accepted),
                page.group or None,
                page.changed,
                key,
            )

    async def send_range(self, ticket: UploadTicket, first: int, data: bytes | bytearray | memoryview) -> ChunkReceipt:
        """Send one range by hand (see `AsyncVideoCloud.upload_chunk`)."""
        service = self._service
        route = Route((ticket.upload_url,), service.backups, asyncio.get_running_loop().time)
        return await send_range(
            service.session,
            service.pool,
            route,
            ticket,
            first,
            data,
            parameters=service.options.parameters,
            hashed=self._resources.hashed,
        )

    async def drain(self, timeout: float) -> None:
        """Let those finish that can within `timeout` seconds; stop the others where they can go on."""
        waiting = list(self._handles)
        for handle in waiting:
            handle.stop(timeout)
        with anyio.move_on_after(timeout):
            for handle in waiting:
                await handle.wait()
            await self._stop_writers("the client is shutting down")
        await self.abort()

    async def abort(self) -> None:
        """End all of them, and wait for it."""
        ending = list(self._handles)
        for handle in ending:
            handle.abort(UploadError("the upload was stopped because the client was closed", retryable=True))
        for handle in ending:
            await handle.wait()
        for writer in tuple(self._writers):
            writer.abort()
        with anyio.move_on_after(ABORT_SECONDS):
            await self._stop_writers("the client was closed")

    async def _stop_writers(self, why: str) -> None:
        """Let writers send what they have been given, and end."""
        writers = tuple(self._writers)
        for writer in writers:
            writer.stop(UploadError(f"the upload was stopped because {why}", resumable=True, retryable=True))
        for writer in writers:
            await writer.ended.wait()

    async def _upload(
        self, wish: Wish, journal: UploadJournal | None, lease_seconds: float, handle: UploadHandle
    ) -> UploadReceipt:
        options = self._service.options
        by_itself = journal is not None and wish.key is None
        source = await make_source(
            wish.source,
            size=wish.size,
            file_type=wish.file_type,
            resources=self._resources,
            turn=wish.turn,
            findable=by_itself,
        )
        try:
            doubt = doubt_about(source.file_type)
            if doubt is not None:
                logger.warning("%s: %s", source.name, doubt)
            handle.counts.begin(source.size)
            identity = await source.identify() if by_itself else f"key:{wish.key}"
            kept = None if identity is None else journal
            page = JournalSession(
                kept,
                "" if kept is None else _journal_key(self._account, wish.turn.group, identity or ""),
                required=options.journal_required,
                lease_seconds=lease_seconds,
                on_lost=handle.abort,
                clock=self._lease_clock,
                unreleased=self._unreleased,
            )
            upload = Upload(
                self._service,
                source=source,
                metadata=wish.metadata,
                entry=self._entry(wish, source.name, source.file_type),
                journal=page,
                progress=handle.counts,
                turn=wish.turn,
                again=wish.again,
                running=handle.running,
            )
            handle.attach(upload)
            telemetry = self._service.session.telemetry
            with telemetry.upload(size=source.size, file_type=source.file_type) as span:
                receipt = await upload.run()
                span.set(file_id=receipt.file_id, retries=receipt.retries, resumed_bytes=receipt.resumed_bytes)
            for cause, share in receipt.time_by_cause.items():
                telemetry.waited(cause.value, share * receipt.elapsed)
            return receipt
        finally:
            await source.aclose()

    def _entry(self, wish: Wish, name: str, file_type: str) -> JournalEntry:
        return JournalEntry(
            file_id="",
            upload_url="",
            fingerprint=Fingerprint(0, 0, 0, ""),
            name=wish.key if wish.key is not None else name,
            account=self._account,
            group=wish.turn.group or "",
            file_type=file_type,
            metadata=metadata_digest(wish.metadata),
            remember=self._service.options.remember,
        )


def _journal_key(account: str, group: str | None, identity: str) -> str:
    """The name of one source in one account and group: a short digest, which gives nothing of them away."""
    parts = json.dumps([account, group or "", identity])
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
