"""The asyncio client library for the iQIYI open-platform video cloud.

    async with AsyncVideoCloud(app_key, app_secret, token_store=FileTokenStore()) as cloud:
        receipt = await cloud.upload("holiday.mp4", Metadata("Holiday"))
        status = await cloud.wait_until_published(receipt.file_id)

What is listed here is the public face; everything else may change. A room is entered when one of its names is first
asked for: who only wants an error's class does not pay for an HTTP library, nor for Redis who has none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import AsyncVideoCloud
    from .config import Endpoints, RetryPolicy, UploadOptions
    from .errors import (
        AuthorizationError,
        ConfigurationError,
        DuplicateVideoError,
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
        Bottleneck,
        Category,
        ChunkReceipt,
        Metadata,
        PlayUrls,
        Quality,
        Token,
        UploadEvent,
        UploadItem,
        UploadOutcome,
        UploadProgress,
        UploadReceipt,
        UploadState,
        UploadTicket,
        Video,
        VideoPage,
        VideoState,
        VideoStatus,
    )
    from .sources import HttpSource, ObjectSource
    from .stores import (
        FileTokenStore,
        MemoryJournal,
        MemoryTokenStore,
        PostgresJournal,
        RedisTokenStore,
        SqliteJournal,
        TokenStore,
        UploadJournal,
    )
    from .upload.reading.sources import RangeSource
    from .upload.sharing.timetable import Timetable, parse_rate

__all__ = [
    "AsyncVideoCloud",
    "AuthorizationError",
    "Bottleneck",
    "Category",
    "ChunkReceipt",
    "ConfigurationError",
    "DuplicateVideoError",
    "Endpoints",
    "FileTokenStore",
    "HttpSource",
    "IntegrityError",
    "InvalidParameterError",
    "MemoryJournal",
    "MemoryTokenStore",
    "Metadata",
    "ObjectSource",
    "PlayUrls",
    "PostgresJournal",
    "Quality",
    "QuotaExceededError",
    "RangeSource",
    "RedisTokenStore",
    "ResponseError",
    "RetryPolicy",
    "ServiceError",
    "ServiceUnavailableError",
    "SourceChangedError",
    "SqliteJournal",
    "Timetable",
    "Token",
    "TokenStore",
    "TransportError",
    "UnknownFileError",
    "UploadError",
    "UploadEvent",
    "UploadItem",
    "UploadJournal",
    "UploadOptions",
    "UploadOutcome",
    "UploadProgress",
    "UploadReceipt",
    "UploadState",
    "UploadTicket",
    "Video",
    "VideoCloudError",
    "VideoPage",
    "VideoState",
    "VideoStatus",
    "parse_rate",
]

_ROOMS = {
    "client": {"AsyncVideoCloud"},
    "config": {"Endpoints", "RetryPolicy", "UploadOptions"},
    "stores": {name for name in __all__ if name.endswith(("Store", "Journal"))},
    "sources": {"HttpSource", "ObjectSource"},
    "upload.reading.sources": {"RangeSource"},
    "upload.sharing.timetable": {"Timetable", "parse_rate"},
    "errors": {name for name in __all__ if name.endswith("Error")},
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = next((room for room, names in _ROOMS.items() if name in names), "models")
    value: object = getattr(import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
