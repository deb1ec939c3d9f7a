"""Objects in stores: in memory, in a folder, and in S3 as moto plays it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import ConfigurationError, ObjectSource, RetryPolicy, SourceChangedError, UploadError, UploadItem
from iqiyi_async.batch import Manifest
from iqiyi_async.sources._attempts import Attempts

from ..engine.tools import NAME, content
from .servers import Asked, answer, serving

obstore = pytest.importorskip("obstore")
from obstore.store import HTTPStore, LocalStore, MemoryStore, S3Store  # noqa: E402

pytestmark = pytest.mark.anyio

DATA = content(300_000)
SECRET = "hush-secret-key"


def quick() -> Attempts:
    return Attempts(RetryPolicy(max_attempts=3, initial_backoff=0.001, max_backoff=0.001))


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "objects").mkdir()
    return {"memory": MemoryStore(), "folder": LocalStore(tmp_path / "objects")}


@pytest.mark.parametrize("kind", ["memory", "folder"])
async def test_an_object_is_read_by_ranges(stores: dict[str, Any], kind: str) -> None:
    store = stores[kind]
    await obstore.put_async(store, "films/film.mp4", DATA)
    film = ObjectSource(store, "films/film.mp4", attempts=quick())
    assert film.size == 0
    identity = await film.identity()
    assert film.size == len(DATA)
    assert identity
    ranges = [(first, min(70_000, len(DATA) - first)) for first in range(0, len(DATA), 70_000)]
    assert b"".join(await asyncio.gather(*[film.read_range(*each) for each in ranges])) == DATA
    assert await film.identity() == identity


@pytest.mark.parametrize("kind", ["memory", "folder"])
async def test_an_object_that_was_replaced(stores: dict[str, Any], kind: str) -> None:
    store = stores[kind]
    await obstore.put_async(store, "film.mp4", DATA)
    film = ObjectSource(store, "film.mp4", attempts=quick())
    identity = await film.identity()
    await asyncio.sleep(0.02)
    await obstore.put_async(store, "film.mp4", DATA[::-1])
    with pytest.raises(SourceChangedError, match="another version"):
        await film.read_range(0, 10)
    assert await film.identity() != identity


async def test_a_range_past_the_end_is_an_error() -> None:
    """The library answers it with fewer bytes, and says nothing."""
    store = MemoryStore()
    await obstore.put_async(store, "film.mp4", b"0123456789")
    film = ObjectSource(store, "film.mp4", attempts=quick())
    with pytest.raises(UploadError, match="cut off"):
        await film.read_range(5, 10)


async def test_an_empty_object() -> None:
    store = MemoryStore()
    await obstore.put_async(store, "films/film.mp4", b"")
    with pytest.raises(ConfigurationError, match=r"films/film\.mp4 is empty: nothing can be published of it"):
        await ObjectSource(store, "films/film.mp4", attempts=quick()).identity()


async def test_an_object_that_is_not_there() -> None:
    film = ObjectSource(MemoryStore(), "film.mp4", attempts=quick())
    with pytest.raises(ConfigurationError, match="is not there"):
        await film.identity()


@pytest.mark.parametrize(
    ("store", "path"), [(None, "a"), ("s3://bucket", "a"), (MemoryStore(), ""), (MemoryStore(), 1)]
)
def test_what_is_no_store_or_path(store: Any, path: Any) -> None:
    with pytest.raises(ConfigurationError):
        ObjectSource(store, path)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/film.mp4",
        "film.mp4",
        "s3://bucket",
        "s3:///film.mp4",
        "s3://bucket/a?X-Signature=hush",
        "s3://key:hush@bucket/film.mp4",
        "oss://bucket/film.mp4",
        7,
    ],
)
def test_what_is_no_url(url: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        ObjectSource.from_url(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/film.mp4?versionId=hush", "'s3://bucket/film.mp4' has a ? or a # behind it"),
        ("s3://bucket/film.mp4#hush", "%3F and %23"),
        ("s3://key:hush@bucket/film.mp4", "'s3://bucket/film.mp4' holds a user name"),
        ("s3://bucket/", "is not like s3://bucket/path"),
    ],
)
def test_what_is_wrong_with_a_url_is_told_before_a_batch_begins(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ObjectSource.from_url(url)
    (problem,) = Manifest.read([UploadItem(url, NAME, "mp4")]).check().problems
    for text in (str(caught.value), problem):
        assert said in text
        assert "hush" not in text


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/a%20b/film.mp4", "s3://bucket/a b/film.mp4"),
        ("gs://bucket/film.mp4", "gs://bucket/film.mp4"),
        ("az://container/film.mp4", "az://container/film.mp4"),
        ("oss://bucket/film.mp4", "oss://bucket/film.mp4"),
    ],
)
def test_urls(url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    options = {"endpoint": "https://oss-cn-hangzhou.aliyuncs.com"} if url.startswith("oss") else {}
    film = ObjectSource.from_url(url, **options)
    assert film.name == name
    assert repr(film) == f"ObjectSource({name!r})"


def test_oss_finds_its_buckets_by_the_host() -> None:
    film = ObjectSource.from_url("oss://bucket/film.mp4", endpoint="https://oss-cn-hangzhou.aliyuncs.com")
    assert film._store.config["endpoint"] == "https://bucket.oss-cn-hangzhou.aliyuncs.com"


def test_names_tell_stores_apart_and_no_secret() -> None:
    options = {"access_key_id": "key-id", "secret_access_key": SECRET}
    one = ObjectSource(S3Store("one", **options), "film.mp4")
    two = ObjectSource(S3Store("two", prefix="films", **options), "film.mp4")
    assert one.name != two.name
    assert "one" in one.name
    assert "films/film.mp4" in two.name
    assert not any(SECRET in text or "key-id" in text for text in (one.name, two.name, repr(one)))


async def test_a_store_that_fails_is_tried_again_and_its_errors_hold_no_query() -> None:
    replies: list[bytes] = []

    def unsteady(asked: Asked) -> bytes:
        if replies:
            return replies.pop()
        return answer(400, b"denied")

    async with serving(unsteady) as server:
        store = HTTPStore(
            f"{server.url}/film.mp4?X-Signature={SECRET}",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        film = ObjectSource(store, "film.mp4", attempts=quick())
        with pytest.raises(UploadError) as caught:
            await film.identity()
        assert len(server.asked) == 3
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    pytest.importorskip("moto.server")
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "Running on http://" in line:
                yield "http://" + line.partition("http://")[2].split()[0].strip()
                return
        pytest.skip("moto did not start")
    finally:
        process.terminate()
        process.stderr.close()
        process.wait(10)


def _s3(url: str, bucket: str) -> Any:
    return S3Store(
        bucket,
        endpoint=url,
        region="us-east-1",
        access_key_id="key-id",
        secret_access_key=SECRET,
        client_options={"allow_http": True},
    )


async def _bucket(url: str, name: str) -> None:
    from urllib.parse import urlsplit

    import httpx

    where = urlsplit(url)
    async with httpx.AsyncHTTPTransport() as transport:
        request = httpx.Request("PUT", f"{url}/{name}", headers={"Host": where.netloc, "Content-Length": "0"})
        response = await transport.handle_async_request(request)
        await response.aread()
        assert response.status_code == 200


async def test_s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await _bucket(moto, "bucket")
    store = _s3(moto, "bucket")
    await obstore.put_async(store, "films/film.mp4", DATA)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    films = [
        ObjectSource(store, "films/film.mp4"),
        ObjectSource.from_url("s3://bucket/films/film.mp4"),
        ObjectSource.from_url("oss://bucket/films/film.mp4"),
    ]
    identities = {await film.identity() for film in films}
    assert len(identities) == 1
    for film in films:
        assert bytes(await film.read_range(1000, 70_000)) == DATA[1000:71_000]
    await obstore.put_async(store, "films/film.mp4", DATA[::-1])
    for film in films:
        with pytest.raises(SourceChangedError):
            await film.read_range(0, 1000)
    with pytest.raises(ConfigurationError, match="is not there"):
        await ObjectSource(store, "films/other.mp4").identity()


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ImportError, match=r"iqiyi-async\[objects\]"):
        ObjectSource.from_url("s3://bucket/film.mp4")
