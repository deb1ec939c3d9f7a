"""The facade: `AsyncVideoCloud`, one short method per operation, and the whole journey in `upload`.

What belongs here: checks of what callers hand in, and the words that explain each operation. What must not: any rule
of the protocol, any step of an upload, and any wiring.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import ClassVar, Self, cast

import httpx

from . import _validation
from ._clocks import loop_time
from ._fair_queue import Turn
from ._listing import pages, pages_of_some
from ._publication import Publication
from ._runtime import ClientRuntime, Timing
from .config import Endpoints, RetryPolicy, UploadOptions
from .errors import ConfigurationError, ServiceError, UnknownFileError
from .models import (
    ChunkReceipt,
    ClientStats,
    Metadata,
    PlayUrls,
    Token,
    UploadItem,
    UploadOutcome,
    UploadReceipt,
    UploadTicket,
    Video,
    VideoPage,
    VideoState,
    VideoStatus,
)
from .protocol import hosts, uploads, videos
from .protocol.wire import SecretName, Secrets
from .stores import MemoryTokenStore
from .stores.base import TokenStore, UploadJournal, check_journal
from .upload.finish import FinishInDoubtError
from .upload.handle import UploadHandle
from .upload.many import Items, upload_many
from .upload.progress import OnProgress
from .upload.reading.sources import UploadInput
from .upload.uploads import UnfinishedUpload, Wish

__all__ = ["AsyncVideoCloud"]


class AsyncVideoCloud:
    """The iQIYI video cloud of one application.

    Use it as an async context manager, or call `aclose` at the end. One client serves any number of tasks of one
    event loop; all its uploads share ``options.max_workers`` connections for their chunks.

    Args:
        app_key: the application's key.
        app_secret: the application's secret. It is sent to the configured API host only.
        token_store: where access tokens are kept; in memory unless given.
        journal: what lets an upload go on after a crash; none unless given.
        endpoints: where the service lives.
        options: how files are cut and sent.
        retry: when a request of an upload is sent again.
        call_retry: when a call outside of an upload is sent again: three attempts within a few seconds unless given,
            and no more than `retry` allows.
        transport: carries every request instead of the client's own connections (a proxy, a test); it is not closed.
        ssl_context: for TLS: a company's authorities, client certificates; the usual authorities unless given.
        pool: another client whose workers and connections for ranges are shared, so that clients of several app keys
            are bounded together. They may be closed in any order: the workers are there until the last one is.

    Raises:
        ConfigurationError: a parameter is of the wrong kind or empty.
    """

    _timing: ClassVar[Timing] = Timing()

    def __init__(
        self,
        app_key: str,
        app_secret: str,
        *,
        token_store: TokenStore | None = None,
        journal: UploadJournal | None = None,
        endpoints: Endpoints | None = None,
        options: UploadOptions | None = None,
        retry: RetryPolicy | None = None,
        call_retry: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        pool: AsyncVideoCloud | None = None,
    ) -> None:
        credentials = Secrets({SecretName.APP_KEY: app_key, SecretName.APP_SECRET: app_secret})
        # From here on no frame of this library names them, whatever is raised.
        del app_key, app_secret
        for name, secret in (("app_key", SecretName.APP_KEY), ("app_secret", SecretName.APP_SECRET)):
            _check_credential(name, credentials, secret)
        if journal is not None:
            check_journal(journal)
        if transport is not None:
            _validation.kind("transport", transport, httpx.AsyncBaseTransport)
        if ssl_context is not None:
            _validation.kind("ssl_context", ssl_context, ssl.SSLContext)
        if pool is not None:
            _validation.kind("pool", pool, AsyncVideoCloud)
        retry = _validation.given("retry", retry, RetryPolicy, RetryPolicy)
        endpoints = _validation.given("endpoints", endpoints, Endpoints, Endpoints)
        options = _validation.given("options", options, UploadOptions, UploadOptions)
        if options.parameters == "body" and hosts.forms_leave_home(endpoints):
            raise ConfigurationError(
                f'parameters="body" would send the token to {endpoints.forms} although api and upload are on a private'
                " network: set Endpoints(forms=...) too, or use Endpoints.single"
            )
        self._runtime: ClientRuntime = ClientRuntime(
            credentials,
            self._timing,
            token_store=_validation.given("token_store", token_store, TokenStore, MemoryTokenStore),
            journal=journal,
            endpoints=endpoints,
            options=options,
            retry=retry,
            call_retry=_validation.given("call_retry", call_retry, RetryPolicy, retry.for_calls),
            transport=transport,
            ssl_context=ssl_context,
            shared=None if pool is None else pool._runtime,  # noqa: SLF001 - one of its own class
        )
        self._endpoints = self._runtime.endpoints
        self._form = {"parameters": self._runtime.options.parameters, "boundary": self._runtime.pool.boundary}
        self._publication = Publication(
            self.get_status,
            lambda file_ids: self.list_videos(file_ids, page_size=videos.MAX_PAGE),
            patience=retry.outage_patience,
            sleep=asyncio.sleep,
            clock=loop_time,
            random=self._timing.random,
        )

    @classmethod
    def from_env(
        cls,
        *,
        token_store: TokenStore | None = None,
        journal: UploadJournal | None = None,
        endpoints: Endpoints | None = None,
        options: UploadOptions | None = None,
        retry: RetryPolicy | None = None,
        call_retry: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        pool: AsyncVideoCloud | None = None,
    ) -> Self:
        """A client for ``IQIYI_APP_KEY`` and ``IQIYI_APP_SECRET``, at ``IQIYI_ENDPOINT_URL`` if that is set.

        Args:
            token_store: as for the class, like all others; `endpoints` takes precedence over the environment.

        Raises:
            ConfigurationError: a variable is missing, or an argument is wrong.
        """
        for name in ("IQIYI_APP_KEY", "IQIYI_APP_SECRET"):
            if not os.environ.get(name):
                raise ConfigurationError(f"the environment variable {name} is not set")
        base = os.environ.get("IQIYI_ENDPOINT_URL")
        return cls(
            os.environ["IQIYI_APP_KEY"],
            os.environ["IQIYI_APP_SECRET"],
            token_store=token_store,
            journal=journal,
            endpoints=endpoints or (Endpoints.single(base) if base else None),
            options=options,
            retry=retry,
            call_retry=call_retry,
            transport=transport,
            ssl_context=ssl_context,
            pool=pool,
        )

    async def __aenter__(self) -> Self:
        self._runtime.check_usable()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncVideoCloud {self._endpoints.api} {self._runtime.state}, {len(self._runtime.uploads)} uploads>"

    async def aclose(self) -> None:
        """Close the client. Uploads under way end with `UploadError`; a store, a journal or a transport that was
        given stays open."""
        self._runtime.begin_close()
        await self._publication.aclose()
        await self._runtime.aclose()

    async def drain(self, timeout: float) -> None:
        """Get ready to close: take no new uploads, and end those under way where they can go on later.

        Uploads that will be done in time are finished. The others finish the ranges they are sending, and end with an
        `UploadError` that is `resumable`; with a journal, the next `upload` of the same source goes on from there.

        Args:
            timeout: seconds until what is still under way is cut off.
        """
        await self._runtime.drain(_validation.seconds("timeout", timeout))

    # Section 1: uploads

    async def upload(
        self,
        source: UploadInput,
        metadata: Metadata,
        *,
        file_type: str | None = None,
        size: int | None = None,
        on_progress: OnProgress | None = None,
        key: str | None = None,
        again: bool = False,
        group: str | None = None,
        priority: int = 0,
    ) -> UploadReceipt:
        """Bring a video to the service and have it published (section 1): request, metadata, chunks, finish.

        With a journal, an upload of the same source that was interrupted goes on where it was, with the metadata of
        this call; and one that was finished with the same metadata is not done again.

        Args:
            source: a path; bytes; an async iterable of bytes; an object with an async ``read(n)``; or a `RangeSource`.
            metadata: what the video is called and about.
            file_type: such as ``"mp4"``; taken from the name of the source if there is one.
            size: bytes of the source; needed for streams only.
            on_progress: called with an `UploadProgress` up to ten times a second, and once at the end. It must not
                block. An exception of it ends the upload; once the service was asked to finish, it is only logged.
            key: the caller's own name for the source (1 to 512 characters), in place of its path; a stream that is
                given again under its key goes on.
            again: upload it although its bytes are a video already.
            group: whose upload it is (a user, a tenant): workers are shared between groups first.
            priority: higher goes first within a group; the lowest is never starved.

        Returns:
            The receipt: the service holds every byte, and has been told to publish.

        Raises:
            ConfigurationError: the source or the metadata can't be uploaded; nothing was sent.
            DuplicateVideoError: the bytes are a video already, under another name or with other metadata; nothing was
                sent.
            AuthorizationError: the credentials or the application were refused.
            QuotaExceededError: the application has no room left.
            ServiceUnavailableError: more uploads are under way than ``max_pending_uploads``; or the service is down.
            UploadError: the upload stopped after it had got its file_id; `resumable` says whether it can go on.
            SourceChangedError: the source became shorter, longer or different; nothing was published.
            IntegrityError: the service kept storing other bytes than were sent.
        """
        self._runtime.check_usable(new_upload=True)
        wish = Wish(source, metadata, file_type, size, key, again, Turn(group, priority))
        async with self._runtime.uploads.start(wish, on_progress) as handle:
            return await handle

    def start_upload(
        self,
        source: UploadInput,
        metadata: Metadata,
        *,
        file_type: str | None = None,
        size: int | None = None,
        key: str | None = None,
        again: bool = False,
        group: str | None = None,
        priority: int = 0,
    ) -> UploadHandle:
        """Start an upload and return its handle: a plain function, within a running event loop.

        Args:
            source: as for `upload`, like all others.

        Returns:
            The upload: awaited, watched, paused, cancelled. It belongs to the client: `drain` and `aclose` end it.

        Raises:
            ConfigurationError: an argument is of the wrong kind.
            ServiceUnavailableError: more uploads are under way than ``max_pending_uploads``.
        """
        self._runtime.check_usable(new_upload=True)
        wish = Wish(source, metadata, file_type, size, key, again, Turn(group, priority))
        return self._runtime.uploads.start(wish)

    def upload_many(
        self, items: Items, *, concurrency: int = 32, wait_until_published: bool = False
    ) -> AsyncIterator[UploadOutcome]:
        """Upload any number of items: they are read only as fast as they are sent, and a failure is a result.

        Leaving the loop early cancels what is under way (use `contextlib.aclosing` to have that done at once).

        Args:
            items: `UploadItem` values of a plain or an async iterable.
            concurrency: how many are uploaded at the same time.
            wait_until_published: an item completes when its video is published; it keeps no place meanwhile.

        Returns:
            Outcomes as they complete, not in the order of the items. An error of `items` itself leaves behind the
            outcomes of what was begun.

        Raises:
            ConfigurationError: `concurrency` is no whole number of at least 1, or `items` can't be iterated over.
        """
        self._runtime.check_usable(new_upload=True)
        _validation.whole("concurrency", concurrency, least=1, most=10_000)
        given = cast("object", items)
        if isinstance(given, str | bytes) or not isinstance(given, Iterable | AsyncIterable):
            raise ConfigurationError("items must be an iterable or an async iterable of UploadItem")

        async def upload(item: UploadItem) -> UploadReceipt:
            return await self.upload(item.source, item.metadata, file_type=item.file_type, size=item.size, key=item.key)

        wait = self.wait_until_published if wait_until_published else None
        return upload_many(items, upload=upload, wait=wait, concurrency=concurrency)

    def set_bandwidth(self, bytes_per_second: int | None) -> None:
        """Change the limit of what all uploads of the client send.

        Args:
            bytes_per_second: no limit if None, a pause if 0.

        Raises:
            ConfigurationError: neither None nor a whole number of at least 0.
        """
        self._runtime.pool.set_bandwidth(bytes_per_second)

    def _start(
        self,
        item: UploadItem,
        *,
        journal: UploadJournal,
        lease_seconds: float | None = None,
        group: str | None = None,
    ) -> UploadHandle:
        """Start an upload with a journal of its own: for the ledger of a batch, which is the journal of its items."""
        self._runtime.check_usable(new_upload=True)
        wish = Wish(item.source, item.metadata, item.file_type, item.size, item.key, False, Turn(group, 0))
        return self._runtime.uploads.start(wish, journal=journal, lease_seconds=lease_seconds)

    async def iter_unfinished(self) -> AsyncIterator[UnfinishedUpload]:
        """What was begun by this account and is neither finished nor cancelled: what ``on_failure="keep"`` left.

        `cancel_upload` ends one at the service; the same `upload` goes on with it. They are read from the journal.

        Raises:
            ConfigurationError: there is no journal.
            OSError: the journal can't be read.
        """
        self._runtime.check_usable()
        async for each in self._runtime.uploads.unfinished():
            yield each

    def stats(self) -> ClientStats:
        """What the client is doing at this moment; cheap enough for every request of a readiness probe."""
        return self._runtime.stats()

    async def request_upload(self, file_type: str, file_size: int) -> UploadTicket:
        """Ask for an upload (section 1.1).

        Args:
            file_type: such as ``"mp4"``.
            file_size: bytes.

        Returns:
            The ticket that `upload_chunk` takes; its ``file_id`` is what `finish_upload` and `cancel_upload` take.

        Raises:
            ConfigurationError: the type is not a file extension, or the size is 0.
            AuthorizationError: the application may not upload (yet).
            QuotaExceededError: the application has no room left.
        """
        self._runtime.check_usable()
        return await self._runtime.session.send(
            uploads.request_upload(self._endpoints, file_type, file_size, **self._form), interactive=True
        )

    async def upload_chunk(
        self, ticket: UploadTicket, first: int, data: bytes | bytearray | memoryview
    ) -> ChunkReceipt:
        """Send one range (section 1.2) with a worker of the pool, check its MD5, and repeat it if necessary.

        Args:
            ticket: of `request_upload`.
            first: index of the range's first byte in the file, from 0.
            data: the bytes of the range.

        Returns:
            What the service holds now, after its MD5 and its count were compared with those of `data`.

        Raises:
            ConfigurationError: the range is empty or outside of the file.
            UnknownFileError: the service does not know the upload.
            IntegrityError: the service kept storing other bytes.
        """
        self._runtime.check_usable()
        _validation.kind("ticket", ticket, UploadTicket)
        _validation.text("the ticket's upload_url", ticket.upload_url)
        uploads.check_ticket(ticket, self._endpoints)
        return await self._runtime.uploads.send_range(ticket, first, data)

    async def set_metadata(self, file_id: str, metadata: Metadata) -> None:
        """Describe an upload (section 1.5); before it is finished, or it never enters production.

        Args:
            file_id: the upload.
            metadata: what the video is called and about; it takes the place of what was set before.

        Raises:
            ConfigurationError: no file_id, or no `Metadata`.
            ServiceError: the service refused.
        """
        self._runtime.check_usable()
        _validation.kind("metadata", metadata, Metadata)
        await self._runtime.session.send(uploads.set_metadata(self._endpoints, file_id, metadata), interactive=True)

    async def finish_upload(self, file_id: str) -> None:
        """Finish an upload: every range has been sent (section 1.3). If the answer is lost, the status is asked for
        before the request is repeated.

        Args:
            file_id: the upload. Its metadata must be set before (`set_metadata`).

        Raises:
            ServiceError: the service refused, for instance because a range is missing.
            TransportError: neither an answer nor a status came: the upload may be finished or not.
        """
        self._runtime.check_usable()
        _validation.file_id(file_id)
        try:
            await self._runtime.finisher.finish(file_id)
        except FinishInDoubtError as doubt:
            raise doubt.error from doubt.error.__cause__

    async def cancel_upload(self, file_id: str) -> None:
        """Cancel an upload (section 1.4). Its ranges are dropped; it can't be resumed.

        Args:
            file_id: the upload.

        Raises:
            ServiceError: the service refused.
        """
        self._runtime.check_usable()
        await self._runtime.session.send(
            uploads.cancel_upload(self._endpoints, file_id, **self._form), interactive=True
        )

    # Sections 2 and 3: the token

    async def authorize(self) -> Token:
        """Get a new access token for key and secret (section 2). Normally automatic.

        Returns:
            The token, which the client uses from now on. While it lives, the service gives the same one again.

        Raises:
            AuthorizationError: key or secret are wrong.
        """
        self._runtime.check_usable()
        return await self._runtime.auth.authorize()

    async def refresh_token(self) -> Token:
        """Renew the access token now (section 3), by key and secret if its refresh token is refused. Normally
        automatic.

        Returns:
            The token, which the client uses from now on.

        Raises:
            AuthorizationError: key or secret are wrong.
        """
        self._runtime.check_usable()
        return await self._runtime.auth.refresh()

    # Sections 4 to 7: videos

    async def get_status(self, file_id: str) -> VideoStatus:
        """The status of a video (section 4). A video that is absent or was refused is a state, not an error.

        Args:
            file_id: the video, or the upload that is to become one.

        Returns:
            The status; with play URLs once it is published.

        Raises:
            ServiceError: the service failed.
        """
        self._runtime.check_usable()
        return await self._runtime.session.send(videos.get_status(self._endpoints, file_id), interactive=True)

    async def wait_until_published(self, file_id: str, *, timeout: float | None = None) -> VideoStatus:
        """Look at a video's status (section 4), ever less often, until it is published.

        Failed requests are repeated for up to ``outage_patience``. All waits of a client share one poller.

        Args:
            file_id: the video.
            timeout: seconds to wait at most; forever if None; with 0 there is one look.

        Returns:
            The status of the published video, with its play URLs.

        Raises:
            TimeoutError: it is not published yet.
            UnknownFileError: there is no such video.
            ServiceError: it will never be published: its review or its publishing failed, or it was cancelled.
        """
        self._runtime.check_usable()
        if timeout is not None:
            _validation.seconds("timeout", timeout)
        async with aclosing(self._publication.ended((_validation.file_id(file_id),), timeout)) as ended:
            status = await anext(ended)
        if status.state is not VideoState.PUBLISHED:
            raise _never_published(status)
        return status

    async def wait_all_published(
        self, file_ids: Iterable[str], *, timeout: float | None = None
    ) -> AsyncIterator[VideoStatus]:
        """Wait for several videos: each is given when it is published, or will never be (sections 4 and 5).

        One poller serves all tasks of a client: it lists the published videos by pages of 100, and looks at ten
        others in each round, so that one that failed is noticed later than one that was published.

        Args:
            file_ids: the videos; each is given once, in the order in which they end.
            timeout: seconds to wait at most; forever if None; with 0 there is one round of looks.

        Returns:
            The status of each, of unknown and failed videos too: look at its ``state``.

        Raises:
            TimeoutError: some are still not published; raised after those that have ended.
            ServiceError: a video could not be looked at; raised after all others.
        """
        self._runtime.check_usable()
        if timeout is not None:
            _validation.seconds("timeout", timeout)
        ids = _validation.file_ids(file_ids, empty=True)
        async with aclosing(self._publication.ended(ids, timeout)) as ended:
            async for status in ended:
                yield status

    async def list_videos(
        self, file_ids: Iterable[str] | None = None, *, page: int = 1, page_size: int = 20
    ) -> VideoPage:
        """One page of the videos that are transcoded and approved (section 5).

        Args:
            file_ids: only these, at most 100. None is all of the user's; an empty collection is none, and nothing is
                asked.
            page: which page, from 1.
            page_size: entries of a page, 1 to 100.

        Returns:
            The page. An entry's field that the service spells in a way that can't be read is None.

        Raises:
            ConfigurationError: a number outside of its bounds.
            ServiceError: the service failed.
            ResponseError: the answer can't be read, or it counts videos and holds no list of them.
        """
        self._runtime.check_usable()
        ids = None if file_ids is None else _validation.file_ids(file_ids, empty=True)
        videos.check_page(page, page_size)
        if ids == ():
            return VideoPage((), 0, page, page_size)
        call = videos.list_videos(self._endpoints, ids, page, page_size)
        return await self._runtime.session.send(call, interactive=True)

    async def iter_videos(self, file_ids: Iterable[str] | None = None, *, page_size: int = 100) -> AsyncIterator[Video]:
        """Every video of the list (section 5), page after page, each once.

        Videos may be deleted while the list is read. Pages that fail are asked for again, for up to the policy's
        ``outage_patience``.

        Args:
            file_ids: only these, any number. None is all of the user's; an empty collection is none.
            page_size: entries asked for at once, 1 to 100.

        Returns:
            An async iterator of videos; each page is requested when it is reached.

        Raises:
            ConfigurationError: a number outside of its bounds.
            ServiceError: the service failed.
            ResponseError: a page can't be read.
        """
        self._runtime.check_usable()
        ids = None if file_ids is None else _validation.file_ids(file_ids, empty=True)
        videos.check_page(1, page_size)

        def looks(batch: tuple[str, ...] | None) -> Callable[[int], Awaitable[VideoPage]]:
            return lambda page: self._runtime.patience.outlive(
                lambda: self.list_videos(batch, page=page, page_size=page_size)
            )

        if ids is None:
            async for video in pages(looks(None)):
                yield video
            return
        for batch in videos.batches(tuple(dict.fromkeys(ids))):
            async for video in pages_of_some(looks(batch), batch):
                yield video

    async def get_urls(self, file_id: str) -> PlayUrls:
        """Where a video can be played (section 6). Each URL needs the second exchange before it is played: see
        `resolve_url`.

        Args:
            file_id: the video.

        Returns:
            The URLs by quality. They usually live for 15 minutes: ask for them each time a video is played.

        Raises:
            ServiceError: the service failed, or there is nothing to play.
        """
        self._runtime.check_usable()
        return await self._runtime.session.send(videos.get_urls(self._endpoints, file_id), interactive=True)

    async def resolve_url(self, url: str) -> str:
        """The second exchange of a play URL (note 1 of section 6): the URL of the media itself. No token is sent.

        The service looks at the address that the request comes from, and what it gives may play there only. So
        exchange a URL where the video is played: a web back end hands the URLs of `get_urls` to the player, which
        exchanges them itself; what a back end exchanges may be bound to the back end.

        Args:
            url: one of `get_urls`, not older than about 15 minutes.

        Returns:
            The URL of the media. It is short-lived too.

        Raises:
            ConfigurationError: not an http(s) URL, or one that leads into a private network.
            ResponseError: the answer holds no URL.
        """
        self._runtime.check_usable()
        return await self._runtime.session.send(videos.resolve_url(self._endpoints, url), interactive=True)

    async def delete_videos(self, file_ids: Iterable[str]) -> None:
        """Delete these videos and no others (section 7), 100 at a time.

        Args:
            file_ids: at least one.

        Raises:
            ConfigurationError: none, or something that is no file_id; nothing was deleted.
            ServiceError: the service failed; of more than 100, some may be deleted.
        """
        self._runtime.check_usable()
        for batch in videos.batches(_validation.file_ids(file_ids, empty=False)):
            await self._runtime.session.send(videos.delete_videos(self._endpoints, batch), interactive=True)

    async def delete_all_videos(self) -> None:
        """Delete every video of the user (section 7). Never sent again after an answer that was lost: videos may have
        come in between.

        Raises:
            ServiceError: the service failed.
            TransportError: no answer came; if ``sent``, whether the videos are deleted is not known.
        """
        self._runtime.check_usable()
        await self._runtime.session.send(videos.delete_all_videos(self._endpoints), interactive=True)


def _check_credential(name: str, credentials: Secrets, secret: SecretName) -> None:
    value = cast("object", credentials[secret])
    fine = isinstance(value, str) and value.isprintable() and value.strip() == value and value != ""
    del value
    if not fine:
        raise ConfigurationError(f"{name} must be a non-empty string without spaces around it")


def _never_published(status: VideoStatus) -> ServiceError:
    kind = UnknownFileError if status.state is VideoState.ABSENT else ServiceError
    why = f"it repeats video {status.duplicate_of}" if status.duplicate_of else status.state.value.replace("_", " ")
    words = f": {status.message}" if status.message else ""
    return kind(
        f"video {status.file_id} will not be published ({status.code}): {why}{words}",
        code=status.code,
        message=status.message,
        operation="get_status",
        file_id=status.file_id,
    )
