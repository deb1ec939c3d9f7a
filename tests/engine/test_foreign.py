"""A caller's own transport: never cancelled, never quoted, and shown no secret that it need not see."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from iqiyi_async import AsyncVideoCloud, Endpoints, RetryPolicy, TransportError, VideoCloudError
from iqiyi_async.emulator import ThreadedEmulatorServer

from .servers import Asked, Service, answer
from .tools import KEY, NAME, ONCE, SECRET, cloud, content, in_time

PEM = Path(__file__).with_name("loopback.pem")

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", range(2))
async def test_cancelled_uploads_leave_no_dead_places_in_the_pool(emulator: ThreadedEmulatorServer, seed: int) -> None:
    """httpcore 1.0 loses a place for ever when one of its requests is cancelled at the wrong moment."""
    chance = random.Random(seed)
    limits = httpx.Limits(max_connections=6, max_keepalive_connections=6)
    async with httpx.AsyncHTTPTransport(limits=limits) as transport:
        async with cloud(emulator.endpoint_url, transport=transport, chunk_size=20_000, stall_timeout=3) as client:
            for _ in range(12):
                tasks = [
                    asyncio.ensure_future(client.upload(content(100_000), NAME, file_type="mp4")) for _ in range(12)
                ]
                await asyncio.sleep(chance.random() * 0.05)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await in_time(client.upload(content(100_000), NAME, file_type="mp4"), 10)


async def test_the_exchange_is_never_cancelled(service: Service) -> None:
    ended: list[str] = []

    class Watching(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            ended.append("ended")
            return httpx.Response(200, json={"code": "A00001"})

    async with cloud(service.url, transport=Watching()) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.authorize()
    assert ended == ["ended"]


async def test_body_ends_when_nobody_waits_any_more(service: Service) -> None:
    taken: list[int] = []
    failed: list[BaseException] = []
    begun = asyncio.Event()

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path != "/upload":
                await request.aread()
                path = request.url.path
                operation = {"/openupload": "request_upload", "/api/iqiyi/authorize": "authorize"}.get(path, path)
                raw = service.usual(Asked(operation, "GET", path, dict(request.headers.items()), b"", connection=0))
                return httpx.Response(200, content=raw.split(b"\r\n\r\n")[1])
            try:
                async for piece in request.stream:  # type: ignore[union-attr]
                    taken.append(len(piece))
                    begun.set()
                    await asyncio.sleep(0.05)
            except BaseException as error:
                failed.append(error)
                raise
            return httpx.Response(200)

    async with cloud(service.url, transport=Slow(), chunk_size=4_000_000) as client:
        task = asyncio.ensure_future(client.upload(content(4_000_000), NAME, file_type="mp4"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await in_time(task, 1.5)
    assert len(taken) <= 3
    assert len(failed) == 1
    assert not isinstance(failed[0], asyncio.CancelledError)


async def test_a_transport_that_never_ends_is_given_so_many_chances(service: Service) -> None:
    alive = 0

    class Dead(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal alive
            alive += 1
            await over.wait()
            raise httpx.ReadError("over")

    over = asyncio.Event()
    options: dict[str, Any] = {"max_workers": 2, "stall_timeout": 0.05, "connect_timeout": 0.05}
    client = cloud(service.url, transport=Dead(), retry=ONCE, **options)
    for _ in range(4):
        with pytest.raises(TransportError):
            await in_time(client.authorize(), 5)
    assert alive == 2
    over.set()
    await client.aclose()


class _Broken(httpx.AsyncByteStream):
    """An answer that is whole; closing it fails, or its pieces are no bytes."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        raise OSError("already closed")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (RuntimeError("no proxy for ?client_secret=the-secret"), r"the transport failed \(RuntimeError\)"),
        (httpx.StreamConsumed(), r"the transport failed \(StreamConsumed\)"),
        (None, "the transport gave NoneType instead of an httpx.Response"),
        (httpx.Response(200, stream=httpx.SyncByteStream()), "can't be read in an event loop"),
        (httpx.Response(200, stream=_Broken("text")), r"the transport failed \(TypeError\)"),
    ],
    ids=["own error", "misuse of httpx", "nothing", "answer for threads", "text"],
)
async def test_a_transport_at_fault_is_a_transport_error(service: Service, given: Any, words: str) -> None:
    asked = 0

    class Faulty(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal asked
            asked += 1
            if isinstance(given, Exception):
                raise given
            return given  # type: ignore[no-any-return]

    async with cloud(service.url, transport=Faulty()) as client:
        with pytest.raises(TransportError, match=words) as caught:
            await in_time(client.authorize(), 5)
    assert not caught.value.retryable
    assert asked == 1
    assert "the-secret" not in "".join(traceback.format_exception(caught.value))


async def test_an_answer_that_is_whole_counts_although_closing_it_fails(service: Service) -> None:
    class Faulty(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=_Broken(b'{"code":"A00000","data":{"access_token":"a",', tail))

    tail = b'"expires_in":60,"refresh_token":"r"}}'
    async with cloud(service.url, transport=Faulty(), retry=ONCE) as client:
        assert (await client.authorize()).access_token == "a"


async def test_tokens_are_not_quoted(caplog: pytest.LogCaptureFixture, service: Service) -> None:
    """The service says that its answer is shorter than it is: httpcore's next error on that connection, and its log,
    would cite the rest, a live token."""
    caplog.set_level(logging.DEBUG)

    async def short(asked: Asked) -> bytes:
        raw = service.usual(asked)
        head, body = raw.split(b"\r\n\r\n")
        return head.replace(b"Content-Length: ", b"Content-Length: 3\r\nX-Real: ") + b"\r\n\r\n" + body

    service.hooks["authorize"] = short
    async with httpx.AsyncHTTPTransport() as transport:
        async with cloud(service.url, transport=transport, retry=RetryPolicy(max_attempts=4, initial_backoff=0)) as c:
            for _ in range(4):
                with pytest.raises(VideoCloudError) as caught:
                    await c.authorize()
                text = "".join(traceback.format_exception(caught.value))
                assert "access-" not in text
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    assert "access-" not in caplog.text


async def test_instruments_see_no_secret_in_a_url(service: Service) -> None:
    """Instruments of httpx note the URL of each request that its own transport sends."""
    noted: list[str] = []

    class Instrumented(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            noted.append(str(request.url))
            assert SECRET not in repr(request)
            return await super().handle_async_request(request)

    async with Instrumented() as transport, cloud(service.url, transport=transport) as client:
        await client.upload(content(10), NAME, file_type="mp4")
        await client.get_status("file0")
    assert len(noted) == 6
    assert not any(secret in url for url in noted for secret in (SECRET, KEY, "access-1"))
    assert all(asked.token for asked in service.calls("get_status", "set_metadata"))


async def test_target_goes_out_as_it_came(service: Service) -> None:
    """httpx rewrites URLs; what the service has named is not ours to change."""
    seen: list[str] = []

    async def note(asked: Asked) -> bytes:
        seen.append(asked.target)
        return service.store(asked)

    async with Service() as elsewhere:
        elsewhere.files = service.files
        odd = "/a/../b?q='\"&p=%27x+y"

        async def named(asked: Asked) -> bytes:
            service.usual(asked)
            return answer({"code": "A00000", "data": {"upload_url": service.url + odd, "file_id": "file0"}})

        service.hooks["request_upload"] = named
        service.hooks["elsewhere"] = note
        async with httpx.AsyncHTTPTransport() as transport:
            for given in (None, transport):
                service.files.clear()
                async with cloud(service.url, transport=given) as client:
                    await client.upload(content(10), NAME, file_type="mp4")
    assert seen == [odd, odd]


async def test_other_transports_get_the_whole_url() -> None:
    """A `MockTransport`, an ASGI application: they know nothing of a target."""
    urls: list[httpx.URL] = []

    def handle(request: httpx.Request) -> httpx.Response:
        urls.append(request.url)
        token = {"access_token": "t", "expires_in": 60, "refresh_token": "r"}
        return httpx.Response(200, json={"code": "A00000", "data": token})

    endpoints = Endpoints.single("http://127.0.0.1:9")
    async with AsyncVideoCloud(KEY, SECRET, endpoints=endpoints, transport=httpx.MockTransport(handle)) as client:
        await client.authorize()
        await client.get_status("f")
    assert urls[0].params["client_secret"] == SECRET
    assert urls[1].params["file_id"] == "f"


class Wrapped(httpx.AsyncBaseTransport):
    """A transport around another."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)


@pytest.mark.parametrize("wrapped", [False, True], ids=["httpx", "wrapped"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_http_proxy_is_asked_for_the_whole_address(tls: bool, wrapped: bool) -> None:
    """It is told where to go, by a line of its own: never the path and the secrets of a request behind TLS."""
    lines: list[bytes] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, rest = head.split(b"\r\n", 1)
        lines.append(line)
        there, back = await asyncio.open_connection("127.0.0.1", service.port)
        if line.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            back.write(line.replace(service.url.encode(), b"") + b"\r\n" + rest)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    if context is not None:
        context.load_cert_chain(PEM)
    proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
    async with Service(tls=context) as service, proxy:
        service._upload_host = service.url
        address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        trusting = ssl.create_default_context(cafile=PEM)
        async with httpx.AsyncHTTPTransport(proxy=address, verify=trusting) as transport:
            async with cloud(service.url, transport=Wrapped(transport) if wrapped else transport) as client:
                await client.upload(content(10), NAME, file_type="mp4")
                await client.get_status("file0")
        assert service.published == ["file0"]
    assert all(line.split(b" ")[1].startswith(b"127.0.0.1:" if tls else b"http://127.0.0.1:") for line in lines)
    assert not tls or not any(b"secret" in line for line in lines)


async def test_a_limit_holds_for_it_too(service: Service) -> None:
    async with httpx.AsyncHTTPTransport() as transport:
        async with cloud(service.url, transport=transport, max_bandwidth=1_000_000) as client:
            receipt = await in_time(client.upload(content(500_000), NAME, file_type="mp4"))
    assert service.files[receipt.file_id] == content(500_000)
    assert receipt.elapsed > 0.3


async def test_answer_that_has_begun_is_closed(service: Service) -> None:
    closed = asyncio.Event()

    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

        async def aclose(self) -> None:
            closed.set()

    class Dripping(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Drip())

    async with cloud(service.url, transport=Dripping()) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.authorize()
        assert closed.is_set()


@pytest.mark.parametrize("path", ["upload", "info", "openupload", "uploadfinish"])
async def test_a_transport_whose_own_task_is_cancelled_has_failed(service: Service, path: str) -> None:
    """Its cancellation is not that of the upload: a range was left out for it, and metadata waited for forever."""
    failed: list[str] = []

    class Cancelling(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith(f"/{path}") and not failed:
                failed.append(path)
                raise asyncio.CancelledError
            return await super().handle_async_request(request)

    async with Cancelling() as transport, cloud(service.url, transport=transport) as client:
        try:
            await in_time(client.upload(content(100_000), NAME, file_type="mp4"))
        except VideoCloudError as error:
            failed.append(str(error))
    assert len(failed) + len(service.published) == 2
    assert all("the transport failed (CancelledError)" in text for text in failed[1:])
    for video in service.published:
        assert bytes(service.files[video]) == content(100_000)
