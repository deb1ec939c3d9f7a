"""Whatever a caller gets wrong is said before the first request, as one clear ConfigurationError."""

from __future__ import annotations

import asyncio
import io
import mmap
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import UploadFile

from iqiyi_async import (
    AsyncVideoCloud,
    ConfigurationError,
    Endpoints,
    Metadata,
    RetryPolicy,
    UploadOptions,
    UploadTicket,
)

from .servers import Service
from .tools import NAME, Reader, cloud, in_time

pytestmark = pytest.mark.anyio

TICKET = UploadTicket("f", "http://127.0.0.1:9/upload", 100)


async def _stream() -> AsyncIterator[bytes]:
    yield b"x"


class _Unhelpful:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


Bad = Callable[[AsyncVideoCloud, Path], Awaitable[object]]

#: What is wrong, and words that the error must have.
TABLE: dict[str, tuple[Bad, str]] = {
    "no such file": (lambda c, p: c.upload(p / "none.mp4", NAME), "none.mp4"),
    "folder": (lambda c, p: c.upload(p, NAME, file_type="mp4"), "is a folder.*give the path of each file"),
    "folder without a type": (lambda c, p: c.upload(p / "folder.mp4", NAME), "is a folder"),
    "folder without an ending": (lambda c, p: c.upload(p, NAME), "is a folder"),
    "no such file without an ending": (lambda c, p: c.upload(p / "none", NAME), "No such file"),
    "no path": (lambda c, p: c.upload("", NAME, file_type="mp4"), "give the path of a file"),
    "URL": (lambda c, p: c.upload("https://a/film.mp4?sig=SECRET", NAME), r"give HttpSource\(url\)"),
    "URL of a store": (lambda c, p: c.upload("s3://bucket/film.mp4", NAME), r"give ObjectSource\.from_url\(\"s3://"),
    "URL in capitals": (lambda c, p: c.upload("HTTP://a/film.mp4", NAME), "HttpSource"),
    "URL of a file": (lambda c, p: c.upload("file:///film.mp4", NAME), "give the path of the file"),
    "pipe": (lambda c, p: c.upload("/dev/null", NAME, file_type="mp4"), "regular file"),
    "empty file": (lambda c, p: c.upload(p / "empty.mp4", NAME), "empty"),
    "no extension": (lambda c, p: c.upload(p / "film", NAME), "file_type is needed"),
    "unknown extension": (lambda c, p: c.upload(p / "film.mp-4", NAME), "mp-4"),
    "dotted only": (lambda c, p: c.upload(p / ".mp4", NAME), "file_type is needed"),
    "NUL in path": (lambda c, p: c.upload("fi\0lm.mp4", NAME), "path"),
    "path of bytes": (lambda c, p: c.upload(_Fspath(b"film.mp4"), NAME), "path|source"),
    "wrong size of file": (lambda c, p: c.upload(p / "film.mp4", NAME, size=4), "size"),
    "wrong size of bytes": (lambda c, p: c.upload(b"abc", NAME, file_type="mp4", size=4), "size"),
    "no bytes": (lambda c, p: c.upload(b"", NAME, file_type="mp4"), "file_size"),
    "no contiguous bytes": (
        lambda c, p: c.upload(memoryview(b"abcd")[::2], NAME, file_type="mp4"),
        r"contiguous: give bytes\(view\)",
    ),
    "array": (lambda c, p: c.upload(array("B", b"abc"), NAME, file_type="mp4"), r"give bytes\(source\) or memoryview"),  # type: ignore[arg-type]
    "mapped file": (lambda c, p: c.upload(mmap.mmap(-1, 10), NAME, file_type="mp4"), r"give memoryview\(source\)"),  # type: ignore[arg-type]
    "file opened by the caller": (lambda c, p: _with_open_file(c, p / "film.mp4"), "not async: give its path"),
    "closed upload": (lambda c, p: _with_closed_upload(c), "UploadFile, is closed: upload it before"),
    "read without a size": (
        lambda c, p: c.upload(_ReadsAll(), NAME, file_type="mp4", size=1),  # type: ignore[arg-type]
        "read.. that takes no size: give an async iterable",
    ),
    "view with gaps in a stream": (
        lambda c, p: c.upload(_stream_of(memoryview(b"abcd")[::2]), NAME, file_type="mp4", size=2),  # type: ignore[arg-type]
        r"give bytes\(view\)",
    ),
    "array in a stream": (
        lambda c, p: c.upload(_stream_of(array("B", b"ab")), NAME, file_type="mp4", size=2),  # type: ignore[arg-type]
        r"gave array instead of bytes; give bytes\(piece\)",
    ),
    "None in a stream": (
        lambda c, p: c.upload(_stream_of(None), NAME, file_type="mp4", size=2),  # type: ignore[arg-type]
        "gave NoneType instead of bytes",
    ),
    "range source without a name": (lambda c, p: c.upload(_Ranges(name=5), NAME, file_type="mp4"), "name"),
    "range source without a type": (lambda c, p: c.upload(_Ranges(name="film"), NAME), "file_type is needed"),
    "class of a range source": (
        lambda c, p: c.upload(_Ranges, NAME, file_type="mp4"),  # type: ignore[arg-type]
        "is the class _Ranges: give an object of it",
    ),
    "range source without an identity": (
        lambda c, p: c.upload(_Unhelpful(size=3, read_range=_Ranges("a").read_range), NAME, file_type="mp4"),  # type: ignore[arg-type]
        r"no identity\(\): add an async identity",
    ),
    "range source whose identity is not async": (
        lambda c, p: c.upload(_unasync("film.mp4"), NAME),
        r"identity\(\) of film\.mp4 is not async: make it an async function",
    ),
    "range source of another size": (lambda c, p: c.upload(_Ranges(name="film.mp4"), NAME, size=4), "size is 4"),
    "bytes without a type": (lambda c, p: c.upload(b"abc", NAME), "file_type is needed"),
    "stream without a size": (lambda c, p: c.upload(_stream(), NAME, file_type="mp4"), "size is needed"),
    "stream without a type": (lambda c, p: c.upload(_stream(), NAME, size=1), "file_type is needed"),
    "size 0": (lambda c, p: c.upload(_stream(), NAME, file_type="mp4", size=0), "file_size"),
    "size below 0": (lambda c, p: c.upload(_stream(), NAME, file_type="mp4", size=-1), "file_size"),
    "size True": (lambda c, p: c.upload(_stream(), NAME, file_type="mp4", size=True), "file_size"),
    "size a float": (lambda c, p: c.upload(_stream(), NAME, file_type="mp4", size=1.0), "file_size"),  # type: ignore[arg-type]
    "size a text": (lambda c, p: c.upload(_stream(), NAME, file_type="mp4", size="1"), "file_size"),  # type: ignore[arg-type]
    "size of no file": (lambda c, p: c.upload(_stream(), NAME, file_type="mp4", size=2**64), "file_size"),
    "type unknown": (lambda c, p: c.upload(b"abc", NAME, file_type="g/f"), "g/f"),
    "type empty": (lambda c, p: c.upload(b"abc", NAME, file_type=""), "file_type"),
    "type a number": (lambda c, p: c.upload(b"abc", NAME, file_type=4), "file_type"),  # type: ignore[arg-type]
    "type with a line": (lambda c, p: c.upload(b"abc", NAME, file_type="mp4\r\nX: y"), "file_type"),
    "nothing": (lambda c, p: c.upload(None, NAME, file_type="mp4", size=1), "source"),  # type: ignore[arg-type]
    "number": (lambda c, p: c.upload(5, NAME, file_type="mp4", size=1), "source"),  # type: ignore[arg-type]
    "list": (lambda c, p: c.upload([b"x"], NAME, file_type="mp4", size=1), "source"),  # type: ignore[arg-type]
    "plain iterable": (lambda c, p: c.upload(iter([b"x"]), NAME, file_type="mp4", size=1), "source"),  # type: ignore[arg-type]
    "open file": (lambda c, p: c.upload(io.BytesIO(b"x"), NAME, file_type="mp4", size=1), "not async"),  # type: ignore[arg-type]
    "wrapped file": (
        lambda c, p: c.upload(_Unhelpful(read=io.BytesIO(b"x").read), NAME, file_type="mp4", size=1),  # type: ignore[arg-type]
        "not async",
    ),
    "upload of unknown size": (lambda c, p: c.upload(_sized(None), NAME), "size is needed"),
    "upload of a size that is none": (lambda c, p: c.upload(_sized("3"), NAME), "file_size"),
    "upload without a name": (lambda c, p: c.upload(_Unhelpful(read=Reader(b"x").read, size=1), NAME), "file_type"),  # type: ignore[arg-type]
    "read that is no function": (lambda c, p: c.upload(_Unhelpful(read=5), NAME, file_type="mp4", size=1), "source"),  # type: ignore[arg-type]
    "metadata a text": (lambda c, p: c.upload(b"x", "Title", file_type="mp4"), "metadata"),  # type: ignore[arg-type]
    "metadata nothing": (lambda c, p: c.upload(b"x", None, file_type="mp4"), "metadata"),  # type: ignore[arg-type]
    "listener no function": (lambda c, p: c.upload(b"x", NAME, file_type="mp4", on_progress=5), "on_progress"),  # type: ignore[arg-type]
    "listener that waits": (
        lambda c, p: c.upload(b"x", NAME, file_type="mp4", on_progress=_listener),
        "on_progress",
    ),
    "request: type": (lambda c, p: c.request_upload("g/f", 1), "g/f"),
    "request: nothing": (lambda c, p: c.request_upload("mp4", 0), "file_size"),
    "request: too much": (lambda c, p: c.request_upload("mp4", 2**54), "file_size"),
    "chunk: empty": (lambda c, p: c.upload_chunk(TICKET, 0, b""), "empty"),
    "chunk: beyond": (lambda c, p: c.upload_chunk(TICKET, 99, b"ab"), "outside"),
    "chunk: far beyond": (lambda c, p: c.upload_chunk(TICKET, 10**30, b"ab"), "outside"),
    "chunk: before": (lambda c, p: c.upload_chunk(TICKET, -1, b"ab"), "first"),
    "chunk: half": (lambda c, p: c.upload_chunk(TICKET, 0.5, b"ab"), "first"),  # type: ignore[arg-type]
    "chunk: text": (lambda c, p: c.upload_chunk(TICKET, 0, "ab"), "bytes"),  # type: ignore[arg-type]
    "chunk: not contiguous": (lambda c, p: c.upload_chunk(TICKET, 0, memoryview(b"abcd")[::2]), "contiguous"),
    "chunk: no ticket": (lambda c, p: c.upload_chunk("f", 0, b"ab"), "ticket"),  # type: ignore[arg-type]
    "ticket: scheme": (lambda c, p: c.upload_chunk(UploadTicket("f", "ftp://a/", 9), 0, b"a"), "upload_url"),
    "ticket: user": (lambda c, p: c.upload_chunk(UploadTicket("f", "http://u:p@a/", 9), 0, b"a"), "upload_url"),
    "ticket: no URL": (lambda c, p: c.upload_chunk(UploadTicket("f", 5, 9), 0, b"a"), "upload_url"),  # type: ignore[arg-type]
    "ticket: file_id": (lambda c, p: c.upload_chunk(UploadTicket("f\r\nX: y", "http://a/", 9), 0, b"a"), "file_id"),
    "ticket: size": (lambda c, p: c.upload_chunk(UploadTicket("f", "http://a/", 0), 0, b"a"), "file_size"),
    "wait: below 0": (lambda c, p: c.wait_until_published("f", timeout=-1), "timeout"),
    "wait: no number": (lambda c, p: c.wait_until_published("f", timeout=float("nan")), "timeout"),
    "wait: True": (lambda c, p: c.wait_until_published("f", timeout=True), "timeout"),
    "list: page 0": (lambda c, p: c.list_videos(page=0), "page"),
    "list: no page": (lambda c, p: c.list_videos(page_size=0), "page_size"),
    "list: page of 101": (lambda c, p: c.list_videos(page_size=101), "page_size"),
    "list: half a page": (lambda c, p: c.list_videos(page=1.5), "page"),  # type: ignore[arg-type]
    "list: a text": (lambda c, p: c.list_videos("abc"), "file_ids"),
    "list: 101 ids": (lambda c, p: c.list_videos([f"f{n}" for n in range(101)]), "100"),
    "list: empty id": (lambda c, p: c.list_videos([""]), "file_id"),
    "iterate: page of 101": (lambda c, p: _all(c.iter_videos(page_size=101)), "page_size"),
    "iterate: a text": (lambda c, p: _all(c.iter_videos("abc")), "file_ids"),
    "delete: nothing": (lambda c, p: c.delete_videos([]), "at least one"),
    "delete: a text": (lambda c, p: c.delete_videos("abc"), "file_ids"),
    "delete: no collection": (lambda c, p: c.delete_videos(5), "file_ids"),  # type: ignore[arg-type]
    "delete: None": (lambda c, p: c.delete_videos([None]), "file_id"),  # type: ignore[list-item]
    "delete: a late bad one": (lambda c, p: c.delete_videos([*(f"f{n}" for n in range(150)), "a,b"]), "file_id"),
    "delete: bytes": (lambda c, p: c.delete_videos(b"abc"), "file_id"),  # type: ignore[arg-type]
    "resolve: nothing": (lambda c, p: c.resolve_url(""), "url|URL"),
    "resolve: a number": (lambda c, p: c.resolve_url(5), "url"),  # type: ignore[arg-type]
    "resolve: scheme": (lambda c, p: c.resolve_url("file:///etc/passwd"), "URL"),
    "resolve: user": (lambda c, p: c.resolve_url("http://u@a/"), "URL"),
    "drain: below 0": (lambda c, p: c.drain(-1), "timeout"),
    "drain: a text": (lambda c, p: c.drain("1"), "timeout"),  # type: ignore[arg-type]
}  # fmt: skip

FILE_IDS: dict[str, Bad] = {
    "metadata": lambda c, file_id: c.set_metadata(file_id, NAME),  # type: ignore[arg-type]
    "finish": lambda c, file_id: c.finish_upload(file_id),  # type: ignore[arg-type]
    "cancel": lambda c, file_id: c.cancel_upload(file_id),  # type: ignore[arg-type]
    "status": lambda c, file_id: c.get_status(file_id),  # type: ignore[arg-type]
    "wait": lambda c, file_id: c.wait_until_published(file_id),  # type: ignore[arg-type]
    "urls": lambda c, file_id: c.get_urls(file_id),  # type: ignore[arg-type]
    "list": lambda c, file_id: c.list_videos([file_id]),  # type: ignore[list-item]
    "delete": lambda c, file_id: c.delete_videos([file_id]),  # type: ignore[list-item]
}
BAD_IDS = ["", " ", "a b", "a,b", "a;b", "a&b=c", "a\r\nX: y", "a\0", "ä", "a/../b", "x" * 257, None, 5, b"abc", ["a"]]


async def _stream_of(piece: object) -> AsyncIterator[object]:
    yield piece


class _ReadsAll:
    async def read(self) -> bytes:
        return b"x"


class _Ranges:
    """An object that is read by ranges."""

    size = 3

    def __init__(self, name: Any) -> None:
        self.name = name

    async def read_range(self, first: int, size: int) -> bytes:
        return b"abc"[first : first + size]

    async def identity(self) -> str:
        return "1"


def _unasync(name: str) -> Any:
    ranges: Any = _Ranges(name)
    ranges.identity = lambda: "1"
    return ranges


async def _with_open_file(client: AsyncVideoCloud, path: Path) -> None:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        await client.upload(file, NAME)  # type: ignore[arg-type]
    finally:
        await asyncio.to_thread(file.close)


async def _with_closed_upload(client: AsyncVideoCloud) -> None:
    upload = UploadFile(io.BytesIO(b"abc"), size=3, filename="film.mp4")
    await upload.close()
    await client.upload(upload, NAME)


class _Fspath:
    def __init__(self, path: Any) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        return self._path


def _sized(size: Any) -> Reader:
    reader = Reader(b"x")
    reader.size = size
    return reader


async def _listener(progress: object) -> None:
    await asyncio.sleep(0)


async def _all(iterator: AsyncIterator[object]) -> None:
    async for _ in iterator:
        pass


@pytest.mark.parametrize("case", TABLE)
async def test_table(service: Service, tmp_path: Path, case: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "empty.mp4").touch()
    for name in ("film", "film.mp-4", "film.mp4", ".mp4"):
        (tmp_path / name).write_bytes(b"abc")
    call, words = TABLE[case]
    async with cloud(service.url) as client:
        with pytest.raises(ConfigurationError, match=words) as caught:
            await in_time(call(client, tmp_path))
    assert isinstance(caught.value, ValueError)
    assert not service.asked, "the service was asked all the same"
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("file_id", BAD_IDS, ids=repr)
@pytest.mark.parametrize("method", FILE_IDS)
async def test_file_ids(service: Service, method: str, file_id: Any) -> None:
    async with cloud(service.url) as client:
        with pytest.raises(ConfigurationError, match="file_id"):
            await in_time(FILE_IDS[method](client, file_id))
    assert not service.asked


METADATA: list[dict[str, Any]] = [
    {"name": ""},
    {"name": " \t"},
    {"name": None},
    {"name": 5},
    {"name": b"title"},
    {"name": "x" * 5000},
    {"name": "half \ud800"},
    {"name": "bell \x07"},
    {"name": "n", "description": None},
    {"name": "n", "description": 5},
    {"name": "n", "description": "x" * 5000},
    {"name": "n", "tags": "beach"},
    {"name": "n", "tags": ["a,b"]},
    {"name": "n", "tags": [""]},
    {"name": "n", "tags": [5]},
    {"name": "n", "tags": 5},
    {"name": "n", "category": 11},
    {"name": "n", "category": "TRAVEL"},
    {"name": "n", "category": True},
]


@pytest.mark.parametrize("fields", METADATA, ids=repr)
def test_metadata(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Metadata(**fields)


SETTINGS: list[Callable[[], object]] = [
    lambda: UploadOptions(max_workers=0),
    lambda: UploadOptions(max_workers=257),
    lambda: UploadOptions(max_workers=True),
    lambda: UploadOptions(max_workers=2.0),  # type: ignore[arg-type]
    lambda: UploadOptions(chunk_size=0),
    lambda: UploadOptions(chunk_size=2**31),
    lambda: UploadOptions(chunk_size="4M"),  # type: ignore[arg-type]
    lambda: UploadOptions(parameters="query"),  # type: ignore[arg-type]
    lambda: UploadOptions(on_failure="retry"),  # type: ignore[arg-type]
    lambda: UploadOptions(connect_timeout=0),
    lambda: UploadOptions(stall_timeout=float("inf")),
    lambda: UploadOptions(stall_timeout=-1),
    lambda: RetryPolicy(max_attempts=0),
    lambda: RetryPolicy(budget=-1),
    lambda: RetryPolicy(initial_backoff=-0.1),
    lambda: RetryPolicy(max_backoff=float("nan")),
    lambda: RetryPolicy(retry_after_cap="1"),  # type: ignore[arg-type]
    lambda: Endpoints(api="openapi.iqiyi.com"),
    lambda: Endpoints(api="ftp://a"),
    lambda: Endpoints(upload="http://u:p@a"),
    lambda: Endpoints(upload="http://"),
    lambda: Endpoints(backups={"http://a": "b"}),
    lambda: Endpoints(backups=[("http://a", "http://b")]),  # type: ignore[arg-type]
    lambda: Endpoints.single("http://a/?b"),
    lambda: Endpoints.single("http://a:0"),
    lambda: Endpoints.single("http://a:99999"),
    lambda: Endpoints.single(5),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("", "s"),
    lambda: AsyncVideoCloud("k", ""),
    lambda: AsyncVideoCloud(None, "s"),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("k", b"s"),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("k ", "s"),
    lambda: AsyncVideoCloud("k", "s\n"),
    lambda: AsyncVideoCloud("k", "s", token_store=5),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("k", "s", journal="x.db"),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("k", "s", endpoints="http://a"),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("k", "s", options={}),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("k", "s", retry=3),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud("k", "s", transport=object()),  # type: ignore[arg-type]
    lambda: AsyncVideoCloud.from_env(),
]


@pytest.mark.parametrize("make", SETTINGS, ids=range(len(SETTINGS)))
def test_settings(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()
