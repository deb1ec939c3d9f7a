"""The whole public face in use: never run, but read by both type checkers. What fails here would fail in users'
code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import assert_type

import httpx
from starlette.requests import Request

from iqiyi_async import (
    AsyncVideoCloud,
    AuthorizationError,
    Category,
    ChunkReceipt,
    ConfigurationError,
    Endpoints,
    FileTokenStore,
    IntegrityError,
    InvalidParameterError,
    MemoryJournal,
    MemoryTokenStore,
    Metadata,
    PlayUrls,
    PostgresJournal,
    Quality,
    QuotaExceededError,
    RedisTokenStore,
    ResponseError,
    RetryPolicy,
    ServiceError,
    ServiceUnavailableError,
    SourceChangedError,
    SqliteJournal,
    Token,
    TokenStore,
    TransportError,
    UnknownFileError,
    UploadError,
    UploadJournal,
    UploadOptions,
    UploadProgress,
    UploadReceipt,
    UploadTicket,
    Video,
    VideoCloudError,
    VideoPage,
    VideoState,
    VideoStatus,
)
from iqiyi_async.web import BrowserUpload, Spool, TusGateway, UploadGrant


def on_progress(progress: UploadProgress) -> None:
    assert_type(progress.sent, int)
    assert_type(progress.elapsed, float)


async def stream() -> AsyncIterator[bytes]:
    yield b""


class Reader:
    """What a web framework hands over."""

    async def read(self, size: int = -1, /) -> bytes:
        return b"" * size


def stores(path: Path) -> tuple[list[TokenStore], list[UploadJournal]]:
    tokens: list[TokenStore] = [
        MemoryTokenStore(),
        FileTokenStore(),
        FileTokenStore(path),
        RedisTokenStore("redis://127.0.0.1:6379"),
    ]
    journals: list[UploadJournal] = [
        MemoryJournal(),
        SqliteJournal(),
        SqliteJournal(path),
        PostgresJournal("postgresql://user@host/films"),
    ]
    return tokens, journals


async def everything(path: Path) -> None:
    tokens, journals = stores(path)
    options = UploadOptions(
        max_workers=8, chunk_size=4 * 1024 * 1024, parameters="body", on_failure="cancel", stall_timeout=10
    )
    auto = UploadOptions(max_workers="auto", chunk_size="auto")
    async with AsyncVideoCloud(
        "key",
        "secret",
        token_store=tokens[0],
        journal=journals[0],
        endpoints=Endpoints.single("http://127.0.0.1:8000"),
        options=options,
        retry=RetryPolicy(max_attempts=3, budget=10),
        transport=httpx.MockTransport(lambda request: httpx.Response(200)),
    ) as cloud:
        await by_hand(cloud)
        await whole(cloud, path)
        await look(cloud)
    other = AsyncVideoCloud.from_env(options=auto, endpoints=Endpoints(api="https://a", upload="http://b", backups={}))
    assert_type(other, AsyncVideoCloud)
    await other.drain(timeout=20)
    await other.aclose()


async def whole(cloud: AsyncVideoCloud, path: Path) -> None:
    metadata = Metadata("Holiday", description="Hainan", tags=["beach"], category=Category.TRAVEL)
    assert_type(metadata.tags, tuple[str, ...])
    receipt = await cloud.upload(path, metadata, on_progress=on_progress)
    assert_type(receipt, UploadReceipt)
    assert_type((receipt.file_id, receipt.size, receipt.tuning), tuple[str, int, str])
    await cloud.upload("a.mp4", metadata)
    await cloud.upload(b"", metadata, file_type="mp4")
    await cloud.upload(stream(), metadata, file_type="mp4", size=1)
    await cloud.upload(Reader(), metadata, file_type="mp4", size=1)
    status = await cloud.wait_until_published(receipt.file_id, timeout=60)
    assert_type(status, VideoStatus)
    assert_type(status.state, VideoState)
    assert_type(status.duplicate_of, str | None)


async def by_hand(cloud: AsyncVideoCloud) -> None:
    assert_type(await cloud.authorize(), Token)
    token = await cloud.refresh_token()
    assert_type(token.expires_at, datetime)
    ticket = await cloud.request_upload("mp4", 1)
    assert_type(ticket, UploadTicket)
    chunk = await cloud.upload_chunk(ticket, 0, b"x")
    assert_type(chunk, ChunkReceipt)
    await cloud.set_metadata(ticket.file_id, Metadata("Holiday"))
    await cloud.finish_upload(ticket.file_id)
    await cloud.cancel_upload(ticket.file_id)


async def look(cloud: AsyncVideoCloud) -> None:
    page = await cloud.list_videos(["id"], page=1, page_size=20)
    assert_type(page, VideoPage)
    assert_type(page.videos, tuple[Video, ...])
    async for video in cloud.iter_videos(page_size=100):
        assert_type(video, Video)
    urls = await cloud.get_urls("id")
    assert_type(urls, PlayUrls)
    assert_type(urls.mp4, Mapping[str, str])
    assert_type(await cloud.resolve_url(urls.mp4[Quality.HIGH]), str)
    await cloud.delete_videos(["id"])
    await cloud.delete_all_videos()


async def failures(cloud: AsyncVideoCloud) -> str | None:
    try:
        await cloud.upload("a.mp4", Metadata("Holiday"))
    except ConfigurationError as error:
        as_value_error: ValueError = error
        return str(as_value_error)
    except AuthorizationError as error:
        return error.code
    except (QuotaExceededError, InvalidParameterError, UnknownFileError) as error:
        return error.message
    except ServiceUnavailableError as error:
        assert_type(error.retry_after, float | None)
    except ServiceError as error:
        return error.code
    except (SourceChangedError, IntegrityError) as error:
        assert_type(error.accepted, int)
    except UploadError as error:
        assert_type(error.resumable, bool)
    except ResponseError as error:
        return error.excerpt
    except TransportError as error:
        assert_type(error.sent, bool)
    except VideoCloudError as error:
        assert_type(error.operation, str | None)
        assert_type(error.file_id, str | None)
        assert_type(error.retryable, bool)
    return None


async def gateway(cloud: AsyncVideoCloud) -> None:
    """The gateway of web back ends."""

    async def authenticate(request: Request) -> str:
        return request.headers["x-user"]

    async def on_create(request: Request, upload: BrowserUpload) -> UploadGrant:
        assert_type(upload.size, int | None)
        assert_type(upload.metadata, Mapping[str, str])
        return UploadGrant(
            Metadata(upload.metadata["filename"]), owner="7", group="tenant", max_size=5, file_type="mp4"
        )

    async def bare(request: Request, upload: BrowserUpload) -> Metadata:
        return Metadata("Film")

    async def on_finish(upload: BrowserUpload, receipt: UploadReceipt) -> None:
        assert_type(receipt.file_id, str)

    TusGateway(lambda: cloud, on_create=bare)
    made = TusGateway(
        cloud,
        on_create=on_create,
        authenticate=authenticate,
        on_finish=on_finish,
        max_size=10**10,
        expires=3600,
        spool=Spool("folder", 10**9),
    )
    await made.aclose()
