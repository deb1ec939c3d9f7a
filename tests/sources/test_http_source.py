"""Files behind HTTP: a real nginx, and servers that do it wrongly."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import ConfigurationError, HttpSource, RetryPolicy, SourceChangedError, UploadError, VideoCloudError
from iqiyi_async.sources import _attempts, http_source

from ..engine.tools import content
from .servers import Asked, answer, nginx, part, serving

pytestmark = pytest.mark.anyio

DATA = content(300_000)
ETAG = '"one"'
QUERY = "X-Amz-Signature=5ec2e7f1a9"


def source(url: str, **options: Any) -> HttpSource:
    quick = _attempts.Attempts(RetryPolicy(max_attempts=3, initial_backoff=0.001, max_backoff=0.001))
    return HttpSource(url, attempts=quick, **options)


def good(asked: Asked) -> bytes:
    return part(asked, DATA, ETag=ETAG)


async def test_nginx_is_read_by_ranges(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "a film.mp4").write_bytes(DATA)
    with nginx(tmp_path / "nginx", files) as url:
        film = source(f"{url}/a%20film.mp4")
        identity = await film.identity()
        assert film.size == len(DATA)
        assert "etag" in identity
        ranges = [(first, min(70_000, len(DATA) - first)) for first in range(0, len(DATA), 70_000)]
        parts = await asyncio.gather(*[film.read_range(*each) for each in ranges])
        assert b"".join(parts) == DATA
        assert await film.identity() == identity


async def test_a_file_that_nginx_has_another_version_of(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    film_path = files / "film.mp4"
    film_path.write_bytes(DATA)
    with nginx(tmp_path / "nginx", files) as url:
        film = source(f"{url}/film.mp4")
        identity = await film.identity()
        await film.read_range(0, 1000)
        film_path.write_bytes(DATA[::-1])
        os.utime(film_path, (1_700_000_000, 1_700_000_000))
        with pytest.raises(SourceChangedError, match="another version"):
            await film.read_range(1000, 1000)
        assert await film.identity() != identity
        assert bytes(await film.read_range(0, 1000)) == DATA[::-1][:1000]


async def test_a_file_that_nginx_does_not_have(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    with nginx(tmp_path / "nginx", files) as url:
        with pytest.raises(ConfigurationError, match="404"):
            await source(f"{url}/film.mp4").identity()


async def test_a_presigned_url_refuses_head_and_is_sent_as_it_is() -> None:
    query = "sig=a'b!(c)%2f~d&Expires=1"

    def presigned(asked: Asked) -> bytes:
        if asked.method != "GET" or asked.target != f"/b/../film.mp4?{query}":
            return answer(403)
        return good(asked)

    async with serving(presigned) as server:
        film = source(f"{server.url}/b/../film.mp4?{query}")
        assert await film.identity()
        assert await film.read_range(10, 20) == DATA[10:30]
        assert server.asked[0].headers["range"] == "bytes=0-0"
        assert server.asked[1].headers["if-match"] == ETAG


async def test_queries_and_headers_are_in_no_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[str] = []

    def away(asked: Asked) -> bytes:
        if asked.target.startswith("/film"):
            return answer(302, Location=f"/moved.mp4?{QUERY}")
        return answer(403, f"denied: {asked.target}".encode())

    async with serving(away) as server:
        film = source(f"{server.url}/film.mp4?{QUERY}", headers={"Authorization": "Bearer hush"})
        for attempt in (film.identity(), film.read_range(0, 1)):
            with pytest.raises(VideoCloudError) as caught:
                await attempt
            errors += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
        assert film.name == f"{server.url}/film.mp4"
    for text in [*errors, repr(film), str(film), film.name, caplog.text]:
        assert QUERY not in text
        assert "5ec2e7f1a9" not in text
        assert "hush" not in text


async def test_a_server_that_ignores_ranges() -> None:
    async with serving(lambda asked: answer(200, DATA, ETag=ETAG)) as server:
        with pytest.raises(ConfigurationError, match="ignores them"):
            await source(f"{server.url}/film.mp4").identity()


async def test_a_server_that_ignores_ranges_from_the_second_on() -> None:
    async with serving(lambda asked: good(asked) if asked.range == (0, 0) else answer(200, DATA, ETag=ETAG)) as server:
        film = source(f"{server.url}/film.mp4")
        await film.identity()
        with pytest.raises(SourceChangedError):
            await film.read_range(0, 1000)


def _short(asked: Asked) -> bytes:
    first, last = asked.range
    return answer(206, DATA[first:last], ETag=ETAG, Content_Range=f"bytes {first}-{last}/{len(DATA)}")


def _cut(asked: Asked) -> bytes:
    first, last = asked.range
    return answer(
        206, DATA[first:last], length=last + 1 - first, Content_Range=f"bytes {first}-{last}/{len(DATA)}", ETag=ETAG
    )


def _shifted(asked: Asked) -> bytes:
    first, last = asked.range
    return answer(206, DATA[first + 1 : last + 2], ETag=ETAG, Content_Range=f"bytes {first + 1}-{last + 1}/{len(DATA)}")


def _long(asked: Asked) -> bytes:
    first, last = asked.range
    return answer(206, DATA[first : last + 2], ETag=ETAG, Content_Range=f"bytes {first}-{last}/{len(DATA)}")


def _grown(asked: Asked) -> bytes:
    first, last = asked.range
    return answer(206, DATA[first : last + 1], ETag=ETAG, Content_Range=f"bytes {first}-{last}/{len(DATA) + 1}")


def _compressed(asked: Asked) -> bytes:
    return part(asked, DATA, ETag=ETAG, Content_Encoding="gzip")


def _nothing_said(asked: Asked) -> bytes:
    first, last = asked.range
    return answer(206, DATA[first : last + 1], ETag=ETAG)


@pytest.mark.parametrize(
    ("wrong", "error", "times"),
    [
        (_short, UploadError, 3),
        (_cut, UploadError, 3),
        (_shifted, UploadError, 1),
        (_long, UploadError, 1),
        (_grown, SourceChangedError, 1),
        (_compressed, UploadError, 1),
        (_nothing_said, SourceChangedError, 1),
        (lambda asked: part(asked, DATA, ETag='"two"'), SourceChangedError, 1),
        (lambda asked: answer(412), SourceChangedError, 1),
        (lambda asked: answer(416), SourceChangedError, 1),
        (lambda asked: answer(403), UploadError, 1),
        (lambda asked: answer(404), UploadError, 1),
        (lambda asked: answer(503, Retry_After="0"), UploadError, 3),
    ],
)
async def test_what_is_not_the_range_that_was_asked_for(
    wrong: Callable[[Asked], bytes], error: type[Exception], times: int
) -> None:
    async with serving(lambda asked: good(asked) if asked.range == (0, 0) else wrong(asked)) as server:
        film = source(f"{server.url}/film.mp4")
        await film.identity()
        with pytest.raises(error) as caught:
            await film.read_range(100, 1000)
        assert isinstance(caught.value, error)
        assert (type(caught.value) is SourceChangedError) == (error is SourceChangedError)
        assert len(server.asked) == 1 + times


async def test_what_passes_is_tried_again() -> None:
    failures = [b"", answer(503), _cut, b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"]

    def unsteady(asked: Asked) -> bytes:
        if asked.range == (0, 0) or not failures:
            return good(asked)
        failure = failures.pop()
        if failure == b"":
            return b"HTTP/1.1 206 Partial\r\nContent-Length: 1000\r\n\r\n"
        return failure(asked) if callable(failure) else failure

    async with serving(unsteady) as server:
        film = HttpSource(
            f"{server.url}/film.mp4",
            attempts=_attempts.Attempts(RetryPolicy(max_attempts=5, initial_backoff=0, max_backoff=0)),
        )
        assert await film.read_range(5, 1000) == DATA[5:1005]


async def test_no_server_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UploadError, match="did not answer") as caught:
        await source(f"http://127.0.0.1:{port}/film.mp4").identity()
    assert type(caught.value) is UploadError, "a class that users know"
    assert caught.value.retryable


async def test_an_empty_file() -> None:
    async with serving(lambda asked: answer(416, Content_Range="bytes */0")) as server:
        with pytest.raises(ConfigurationError, match="is empty"):
            await source(f"{server.url}/film.mp4").identity()


@pytest.mark.parametrize(
    ("headers", "strong"),
    [
        ({"ETag": '"a"'}, True),
        ({"ETag": 'W/"a"'}, False),
        ({"ETag": "a"}, False),
        ({}, False),
        ({"Last_Modified": "Mon, 04 May 2026 10:00:00 GMT", "Date": "Mon, 04 May 2026 10:00:05 GMT"}, True),
        ({"Last_Modified": "Mon, 04 May 2026 10:00:00 GMT", "Date": "Mon, 04 May 2026 10:00:00 GMT"}, False),
        ({"Last_Modified": "Mon, 04 May 2026 10:00:00 GMT"}, False),
        ({"Last_Modified": "yesterday", "Date": "Mon, 04 May 2026 10:00:05 GMT"}, False),
    ],
)
async def test_only_strong_validators_are_an_identity(headers: dict[str, str], strong: bool) -> None:
    async with serving(lambda asked: part(asked, DATA, **headers)) as server:
        film = source(f"{server.url}/film.mp4")
        assert bool(await film.identity()) is strong
        assert await film.read_range(0, 10) == DATA[:10]
        conditions = {name for name in server.asked[-1].headers if name.startswith("if-")}
        assert bool(conditions) is strong


async def test_weak_validators_that_differ_tell_that_it_has_changed() -> None:
    tags = ['W/"a"', 'W/"b"']
    async with serving(lambda asked: part(asked, DATA, ETag=tags.pop(0))) as server:
        film = source(f"{server.url}/film.mp4")
        assert await film.identity() == ""
        with pytest.raises(SourceChangedError):
            await film.read_range(0, 10)


async def test_redirects_are_followed() -> None:
    def moved(asked: Asked) -> bytes:
        if asked.target == "/film.mp4":
            return answer(302, Location="/somewhere/else.mp4?token=1")
        return good(asked)

    async with serving(moved) as server:
        film = source(f"{server.url}/film.mp4", headers={"X-Key": "k"})
        assert await film.read_range(0, 10) == DATA[:10]
        assert film.name == f"{server.url}/film.mp4"
        assert all(each.headers["x-key"] == "k" for each in server.asked)


async def test_redirects_to_another_origin_take_no_headers_along() -> None:
    async with serving(good) as other, serving(lambda asked: answer(307, Location=f"{other.url}/b.mp4")) as server:
        film = source(f"{server.url}/film.mp4", headers={"Authorization": "Bearer hush"})
        assert await film.read_range(0, 10) == DATA[:10]
        assert all("authorization" in each.headers for each in server.asked)
        assert not any("authorization" in each.headers for each in other.asked)
        assert other.asked[-1].headers["if-match"] == ETAG


async def test_headers_that_were_dropped_do_not_come_back() -> None:
    """A redirect back home may come from the other origin: what it asks for is not what the caller meant."""
    home = ""

    async with serving(lambda asked: answer(302, Location=f"{home}/final.mp4")) as other:
        async with serving(
            lambda asked: good(asked) if asked.target == "/final.mp4" else answer(302, Location=f"{other.url}/x")
        ) as server:
            home = server.url
            await source(f"{server.url}/film.mp4", headers={"X-Key": "k"}).identity()
            assert "x-key" not in server.asked[-1].headers


async def test_redirects_without_end() -> None:
    async with serving(lambda asked: answer(302, Location="/film.mp4")) as server:
        with pytest.raises(UploadError, match="redirect"):
            await source(f"{server.url}/film.mp4").identity()
        assert len(server.asked) <= 10


@pytest.mark.parametrize("location", ["ftp://example.com/x", "http://user:pw@example.com/x", "file:///etc/passwd"])
async def test_redirects_that_are_not_followed(location: str) -> None:
    async with serving(lambda asked: answer(302, Location=location)) as server:
        with pytest.raises(UploadError, match="not followed") as caught:
            await source(f"{server.url}/film.mp4").identity()
        assert "pw" not in str(caught.value)


@pytest.mark.parametrize("target", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "inside.example"])
async def test_a_public_url_does_not_lead_into_private_networks(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are made up here: public.example leads to the test's server, and counts as public."""
    from iqiyi_async.protocol import hosts

    async with serving(lambda asked: answer(302, Location=f"http://{target}/x?{QUERY}")) as server:
        port = server.url.rpartition(":")[2]
        film = source(f"http://public.example:{port}/film.mp4")
        public = {("public.example", int(port)): "127.0.0.1", ("inside.example", 80): "10.0.0.1"}

        async def look_up(host: str, port: int) -> list[Any]:
            address = public.get((host, port), host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(film._names, "look_up", look_up)
        private = hosts.is_private_address
        monkeypatch.setattr(
            http_source.hosts, "is_private_address", lambda text: text != "127.0.0.1" and private(text), raising=True
        )
        with pytest.raises(UploadError, match="private") as caught:
            await film.identity()
        assert "5ec2e7f1a9" not in str(caught.value)
        assert len(server.asked) == 1


async def test_connections_are_kept_while_something_is_read_and_closed_then() -> None:
    async with serving(good) as server:
        film = source(f"{server.url}/film.mp4")
        await film.identity()
        await asyncio.gather(*[film.read_range(first, 10) for first in range(20)])
        assert server.connections <= 1 + 20
        await _until(lambda: not server.open)


async def test_a_reader_that_is_cancelled_leaves_nothing_behind() -> None:
    async with serving(lambda asked: good(asked) if asked.range == (0, 0) else b"") as server:
        film = source(f"{server.url}/film.mp4")
        await film.identity()
        reading = asyncio.create_task(film.read_range(0, 10))
        await _until(lambda: len(server.asked) == 2)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await _until(lambda: not server.open)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/film.mp4",
        "film.mp4",
        "http://user:secret@example.com/film.mp4",
        "http:///film.mp4",
        "https://example.com/фильм.mp4",
        "https://example.com/a film.mp4",
        "https://example.com/a\r\nX: y",
        b"https://example.com/film.mp4",
        None,
    ],
)
async def test_what_is_no_url(url: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpSource(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"A": "b\r\nC: d"},
        {"A b": "c"},
        {"Range": "bytes=0-1"},
        {"host": "x"},
        {"A": 1},
        {1: "a"},
        [("a", "b")],
        {"": ""},
    ],
)
async def test_what_are_no_headers(headers: Any) -> None:
    with pytest.raises(ConfigurationError, match="headers"):
        HttpSource("https://example.com/film.mp4", headers=headers)


async def test_a_source_is_used_in_one_loop_after_another() -> None:
    async def once(film_of: Callable[[str], HttpSource]) -> Awaitable[None] | None:
        async with serving(good) as server:
            assert await film_of(server.url).read_range(0, 5) == DATA[:5]
        return None

    await once(lambda url: source(f"{url}/film.mp4"))
    await asyncio.to_thread(lambda: asyncio.run(once(lambda url: source(f"{url}/film.mp4"))))
