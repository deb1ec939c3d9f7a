"""The public face is locked: what outsiders rely on changes on purpose only, and then here too."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import iqiyi_async
from iqiyi_async import (
    AsyncVideoCloud,
    ChunkReceipt,
    Endpoints,
    Metadata,
    PlayUrls,
    RetryPolicy,
    Token,
    UploadOptions,
    UploadProgress,
    UploadReceipt,
    UploadTicket,
    Video,
    VideoPage,
    VideoStatus,
)

NAMES: list[str] = sorted(
    """
    AsyncVideoCloud AuthorizationError Bottleneck Category ChunkReceipt ConfigurationError DuplicateVideoError
    Endpoints FileTokenStore HttpSource IntegrityError InvalidParameterError MemoryJournal MemoryTokenStore Metadata
    ObjectSource PlayUrls PostgresJournal Quality QuotaExceededError RangeSource RedisTokenStore ResponseError
    RetryPolicy ServiceError ServiceUnavailableError SourceChangedError SqliteJournal Timetable Token TokenStore
    TransportError UnknownFileError UploadError UploadEvent UploadItem UploadJournal UploadOptions UploadOutcome
    UploadProgress UploadReceipt UploadState UploadTicket Video VideoCloudError VideoPage VideoState VideoStatus
    parse_rate
    """.split()  # noqa: SIM905 - as it is read
)

_MAKING = (
    "*, token_store: TokenStore | None = None, journal: UploadJournal | None = None,"
    " endpoints: Endpoints | None = None, options: UploadOptions | None = None, retry: RetryPolicy | None = None,"
    " call_retry: RetryPolicy | None = None, transport: httpx.AsyncBaseTransport | None = None,"
    " ssl_context: ssl.SSLContext | None = None, pool: AsyncVideoCloud | None = None"
)

#: As the design has them.
SIGNATURES = {
    "__init__": f"(self, app_key: str, app_secret: str, {_MAKING}) -> None",
    "from_env": f"({_MAKING}) -> Self",
    "upload": "(self, source: UploadInput, metadata: Metadata, *, file_type: str | None = None,"
    " size: int | None = None, on_progress: OnProgress | None = None, key: str | None = None, again: bool = False,"
    " group: str | None = None, priority: int = 0) -> UploadReceipt",
    "upload_many": "(self, items: Items, *, concurrency: int = 32, wait_until_published: bool = False)"
    " -> AsyncIterator[UploadOutcome]",
    "set_bandwidth": "(self, bytes_per_second: int | None) -> None",
    "start_upload": "(self, source: UploadInput, metadata: Metadata, *, file_type: str | None = None,"
    " size: int | None = None, key: str | None = None, again: bool = False, group: str | None = None,"
    " priority: int = 0) -> UploadHandle",
    "iter_unfinished": "(self) -> AsyncIterator[UnfinishedUpload]",
    "stats": "(self) -> ClientStats",
    "request_upload": "(self, file_type: str, file_size: int) -> UploadTicket",
    "upload_chunk": "(self, ticket: UploadTicket, first: int, data: bytes | bytearray | memoryview) -> ChunkReceipt",
    "set_metadata": "(self, file_id: str, metadata: Metadata) -> None",
    "finish_upload": "(self, file_id: str) -> None",
    "cancel_upload": "(self, file_id: str) -> None",
    "authorize": "(self) -> Token",
    "refresh_token": "(self) -> Token",
    "get_status": "(self, file_id: str) -> VideoStatus",
    "wait_until_published": "(self, file_id: str, *, timeout: float | None = None) -> VideoStatus",
    "wait_all_published": "(self, file_ids: Iterable[str], *, timeout: float | None = None) ->"
    " AsyncIterator[VideoStatus]",
    "list_videos": "(self, file_ids: Iterable[str] | None = None, *, page: int = 1, page_size: int = 20) -> VideoPage",
    "iter_videos": "(self, file_ids: Iterable[str] | None = None, *, page_size: int = 100) -> AsyncIterator[Video]",
    "get_urls": "(self, file_id: str) -> PlayUrls",
    "resolve_url": "(self, url: str) -> str",
    "delete_videos": "(self, file_ids: Iterable[str]) -> None",
    "delete_all_videos": "(self) -> None",
    "drain": "(self, timeout: float) -> None",
    "aclose": "(self) -> None",
}

FIELDS: dict[type[Any], str] = {
    Metadata: "name description tags category",
    UploadTicket: "file_id upload_url file_size",
    ChunkReceipt: "first last md5 attempts",
    UploadReceipt: "file_id size chunks retries resumed_bytes elapsed tuning time_by_cause",
    UploadProgress: "file_id total sent accepted chunks_done chunks_in_flight retries elapsed",
    Token: "access_token refresh_token obtained_at expires_at",
    VideoStatus: "file_id state code message urls image thumbnail flash_url duplicate_of",
    Video: "file_id name description size state created_at play_count duration image original_image thumbnail page_url",
    VideoPage: "videos total page page_size",
    PlayUrls: "mp4 m3u8 expires_at",
    Endpoints: "api upload backups forms fallbacks metadata urls",
    RetryPolicy: "max_attempts initial_backoff max_backoff retry_after_cap budget outage_patience",
}

OPTIONS = {"max_workers": 8, "chunk_size": 4 * 1024 * 1024, "parameters": "headers", "on_failure": "keep"}


def test_names() -> None:
    assert sorted(iqiyi_async.__all__) == NAMES


def test_every_name_is_there() -> None:
    pytest.importorskip("redis", reason="RedisTokenStore needs its library")
    for name in NAMES:
        assert getattr(iqiyi_async, name).__name__ == name
    assert set(NAMES) <= set(dir(iqiyi_async))


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'iqiyi_async' has no attribute 'Nonsense'"):
        _ = iqiyi_async.Nonsense


@pytest.mark.parametrize("method", SIGNATURES)
def test_signatures(method: str) -> None:
    signature = str(inspect.signature(getattr(AsyncVideoCloud, method))).replace("'", "")
    assert signature == SIGNATURES[method]


def test_there_is_no_other_method() -> None:
    public = {name for name in vars(AsyncVideoCloud) if not name.startswith("_")}
    assert public == set(SIGNATURES) - {"__init__"}
    assert not hasattr(AsyncVideoCloud, "__del__")


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_fields(kind: type[Any]) -> None:
    fields = attrs.fields(kind)
    assert [field.name for field in fields] == FIELDS[kind].split()
    # attrs marks a frozen class by the method that refuses.
    assert "Frozen" in repr(kind.__setattr__) or "frozen" in repr(kind.__setattr__)


def test_options() -> None:
    options = UploadOptions()
    assert {name: getattr(options, name) for name in OPTIONS} == OPTIONS
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        options.max_workers = 3  # type: ignore[misc]


def _public_methods() -> list[Callable[..., Any]]:
    return [getattr(AsyncVideoCloud, name) for name in SIGNATURES if name != "__init__"]


@pytest.mark.parametrize("method", _public_methods(), ids=lambda method: method.__name__)
def test_docstrings(method: Callable[..., Any]) -> None:
    """Each says what it does and, where it asks the service, which section of the document it is."""
    text = inspect.getdoc(method) or ""
    assert text.split("\n")[0].strip()
    without_section = {"from_env", "drain", "aclose", "iter_unfinished", "stats", "start_upload", "upload_many"}
    if method.__name__ not in {*without_section, "set_bandwidth"}:
        assert "section" in text.lower()
    for name, parameter in inspect.signature(method).parameters.items():
        explained = name in text or name in ("self", "file_id", "file_ids", "metadata")
        alike = method.__name__ in ("from_env", "start_upload") and "like all others" in text
        assert explained or (alike and parameter.kind is parameter.KEYWORD_ONLY), name


def test_importing_is_cheap() -> None:
    """The package alone imports no server, no terminal, and no optional library."""
    heavy = ["starlette", "uvicorn", "python_multipart", "rich", "cyclopts", "redis", "sqlite3", "pytest"]
    assert _loaded("import iqiyi_async", heavy) == "[]"


def _loaded(program: str, names: list[str]) -> str:
    """Which of some modules a program has loaded at its end."""
    script = f"{program}\nimport sys; print([name for name in {names} if name in sys.modules])"
    # A program that is measured has loaded what measures it.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
