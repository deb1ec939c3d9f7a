"""The asyncio client library for the iQIYI open-platform video cloud.

    async with AsyncVideoCloud(app_key, app_secret, token_store=FileTokenStore()) as cloud:
        receipt = await cloud.upload("holiday.mp4", Metadata("Holiday")) status = await
        cloud.wait_until_published(receipt.file_id)

What is listed here is the public face; everything else may change.
"""

from typing import TYPE_CHECKING

from .client import AsyncVideoCloud
from .config import Endpoints, RetryPolicy, UploadOptions
from .errors import (
    AuthorizationError,
    ConfigurationError,
    IntegrityError,
    InvalidParameterError,
    QuotaExceededError,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    SourceChangedError,
    TransportError,
    UnknownFileError,
    UploadError,
    VideoCloudError,
)
from .models import (
    Category,
    ChunkReceipt,
    Metadata,
    PlayUrls,
    Quality,
    Token,
    UploadProgress,
    UploadReceipt,
    UploadTicket,
    Video,
    VideoPage,
    VideoState,
    VideoStatus,
)
from .stores import (
    FileTokenStore,
    MemoryJournal,
    MemoryTokenStore,
    SqliteJournal,
    TokenStore,
    UploadJournal,
)

if TYPE_CHECKING:
    from .stores import RedisTokenStore

__all__ = [
    "AsyncVideoCloud",
    "AuthorizationError",
    "Category",
    "ChunkReceipt",
    "ConfigurationError",
    "Endpoints",
    "FileTokenStore",
    "IntegrityError",
    "InvalidParameterError",
    "MemoryJournal",
    "MemoryTokenStore",
    "Metadata",
    "PlayUrls",
    "Quality",
    "QuotaExceededError",
    "RedisTokenStore",
    "ResponseError",
    "RetryPolicy",
    "ServiceError",
    "ServiceUnavailableError",
    "SourceChangedError",
    "SqliteJournal",
    "Token",
    "TokenStore",
    "TransportError",
    "UnknownFileError",
    "UploadError",
    "UploadJournal",
    "UploadOptions",
    "UploadProgress",
    "UploadReceipt",
    "UploadTicket",
    "Video",
    "VideoCloudError",
    "VideoPage",
    "VideoState",
    "VideoStatus",
]


def __getattr__(name: str) -> type:
    # Its library is an extra: looked up when it is named, not when the package is imported.
    if name == "RedisTokenStore":
        from .stores import RedisTokenStore

        return RedisTokenStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
