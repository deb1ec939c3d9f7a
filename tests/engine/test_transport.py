"""The door, against servers that behave badly: early, half, endless, poisoned and hostile answers."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    AuthorizationError,
    ConfigurationError,
    Endpoints,
    ResponseError,
    ServiceError,
    ServiceUnavailableError,
    TransportError,
    UploadOptions,
    UploadTicket,
    VideoCloudError,
)
from iqiyi_async.protocol.uploads import finish_upload
from iqiyi_async.protocol.wire import MisdirectedSecretError

from .servers import Asked, Cut, Service, answer
from .tools import KEY, NAME, ONCE, QUICK, SECRET, cloud, content, in_time, until

PEM = Path(__file__).with_name("loopback.pem")
MIB = 1024 * 1024

pytestmark = pytest.mark.anyio


@contextmanager
def at_most(most: int) -> Generator[None, None, None]:
    """So many bytes of memory, beyond what there was before, at any moment of the block."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


async def test_what_goes_out_and_nothing_else(service: Service) -> None:
    async with cloud(service.url) as client:
        await client.upload(content(10), NAME, file_type="mp4")
    (chunk,) = service.calls("upload_chunk")
    host = service.url.removeprefix("http://")
    boundary = chunk.headers["content-type"].removeprefix("multipart/form-data; boundary=")
    assert chunk.headers == {
        "host": host,
        "user-agent": "iqiyi-async",
        "accept-encoding": "identity",
        "file_id": "file0",
        "file_size": "10",
        "range": "0-9",
        "content-type": f"multipart/form-data; boundary={boundary}",
        "content-length": str(len(chunk.body)),
    }
    assert chunk.target == "/upload"
    for asked in service.asked:
        assert "cookie" not in asked.headers
        assert asked.method == "GET" or "content-length" in asked.headers
        assert "transfer-encoding" not in asked.headers
        assert asked.method == "POST" or "content-length" not in asked.headers


async def test_connection_is_kept(service: Service) -> None:
    async with cloud(service.url) as client:
        for _ in range(5):
            await client.get_status("f")
    assert service.connections == 1


@pytest.mark.parametrize("how", ["header", "silently", "1.0"])
async def test_connection_that_is_closed_between_requests(service: Service, how: str) -> None:
    async def last_words(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        words = service.usual(asked)
        if how == "header":
            words = words.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        writer.write(words.replace(b"HTTP/1.1", b"HTTP/1.0") if how == "1.0" else words)

    service.early["get_status"] = last_words
    async with cloud(service.url, retry=ONCE) as client:
        for _ in range(5):
            await client.get_status("f")
            await until(lambda: not service.open, "the server has closed")
            await asyncio.sleep(0)  # one turn of the loop, in which the client hears of it
    assert service.connections == 5


async def test_answer_that_nobody_asked_for_is_never_taken(service: Service) -> None:
    """A second answer in the same segment must not become the answer of the next request."""
    poison = answer({"code": "A00000", "data": {"img": "poison"}})

    async def two(asked: Asked) -> bytes:
        return service.usual(asked) + poison

    service.hooks["get_status"] = two
    async with cloud(service.url) as client:
        for _ in range(3):
            assert (await client.get_status("f")).image is None


async def test_bytes_after_the_answer_close_the_connection(service: Service) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def late(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(service.usual(asked))
        await reader.read()

    async with cloud(service.url, retry=ONCE) as client:
        await client.authorize()
        service.early["get_status"] = late
        await client.get_status("f")
        writers[0].write(answer({"code": "A00000", "data": {"img": "poison"}}))
        await until(lambda: not service.open, "the client hangs up on whoever speaks unasked")
        del service.early["get_status"]
        assert (await client.get_status("f")).image is None


@pytest.mark.parametrize("size", [1, MIB, 8 * MIB])
async def test_early_refusal_with_close_is_heard(service: Service, size: int) -> None:
    """The server says no as soon as it has the head, and hangs up: that is an answer, not a broken connection."""

    async def refuse(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer({}, status="401 Unauthorized", headers="Connection: close\r\n"))
        await writer.drain()
        writer.write_eof()
        await reader.read()

    service.early["upload_chunk"] = refuse
    async with cloud(service.url) as client:
        ticket = await client.request_upload("mp4", size)
        with pytest.raises(AuthorizationError) as caught:
            await in_time(client.upload_chunk(ticket, 0, bytes(size)))
    assert caught.value.code == "HTTP 401"


async def test_early_refusal_is_heard_while_the_server_takes_no_more(service: Service) -> None:
    """The body no longer moves and the connection stays open: the answer is there all the same."""
    done = asyncio.Event()

    async def refuse(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)  # until the client's buffers are full
        writer.write(answer({"code": "A00010"}, status="400 Bad Request"))
        await done.wait()

    service.early["upload_chunk"] = refuse
    async with cloud(service.url, stall_timeout=30) as client:
        ticket = await client.request_upload("mp4", 64 * MIB)
        with pytest.raises(ServiceError, match="A00010"):
            await in_time(client.upload_chunk(ticket, 0, bytes(64 * MIB)), 5)
    done.set()


@pytest.mark.parametrize("rate", [2**40, 200_000], ids=["faster than the peer", "slower than the peer"])
async def test_early_refusal_of_a_body_that_is_held_back(service: Service, rate: int) -> None:
    """The rest of it is not sent: neither what the system has no room for, nor what the limit does not allow yet."""

    async def refuse(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10_000)
        writer.write(answer({"code": "A00010"}))
        await writer.drain()

    service.early["upload_chunk"] = refuse
    async with cloud(service.url, chunk_size=16 * MIB, max_bandwidth=rate) as client:
        with pytest.raises(VideoCloudError, match="A00010"):
            await in_time(client.upload(bytes(16 * MIB), NAME, file_type="mp4"))


async def test_a_body_that_may_go_faster_than_the_peer_takes_it_arrives_whole(service: Service) -> None:
    film = content(1 * MIB) * 16

    async def receive(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.body = await reader.readexactly(asked.length)
        writer.write(service.usual(asked))
        await writer.drain()

    service.early["upload_chunk"] = receive
    async with cloud(service.url, chunk_size=16 * MIB, max_bandwidth=2**40) as client:
        receipt = await in_time(client.upload(film, NAME, file_type="mp4"), 20)
    assert service.files[receipt.file_id] == film


async def test_early_refusal_and_reset_ends_in_one_typed_error(service: Service) -> None:
    """With a reset right behind it the answer may be lost on the way; either way the caller hears of it, typed."""

    async def refuse(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer({}, status="401 Unauthorized"))
        await writer.drain()
        raise Cut(reset=True)

    service.early["upload_chunk"] = refuse
    async with cloud(service.url, retry=ONCE) as client:
        ticket = await client.request_upload("mp4", 8 * MIB)
        for _ in range(5):
            with pytest.raises((AuthorizationError, TransportError)):
                await in_time(client.upload_chunk(ticket, 0, bytes(8 * MIB)))


@pytest.mark.parametrize("size", [10, 32 * MIB])
async def test_interim_answers_are_passed_over(service: Service, size: int) -> None:
    """RFC 9110, 15.2: a client reads 1xx answers even if it did not ask for one; they are not the answer."""
    seen: list[int] = []

    async def interim(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
        asked.body = await reader.readexactly(asked.length)
        seen.append(len(asked.body))
        writer.write(service.usual(asked))

    service.early["upload_chunk"] = interim
    async with cloud(service.url, retry=ONCE) as client:
        ticket = await client.request_upload("mp4", size)
        await in_time(client.upload_chunk(ticket, 0, b"a" * size))
    assert service.files[ticket.file_id] == b"a" * size
    assert len(seen) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\x7fb\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
async def test_what_is_no_answer(service: Service, raw: bytes) -> None:
    async def say(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    service.early["get_status"] = say
    async with cloud(service.url, retry=ONCE) as client:
        with pytest.raises(TransportError) as caught:
            await in_time(client.get_status("f"))
        assert caught.value.sent
        assert caught.value.retryable
        assert (caught.value.operation, caught.value.file_id) == ("get_status", "f")
        del service.early["get_status"]
        await client.get_status("f")


@pytest.mark.parametrize("reset", [True, False])
async def test_server_that_hangs_up(service: Service, reset: bool) -> None:
    async def cut(asked: Asked) -> bytes:
        raise Cut(reset=reset)

    service.hooks["get_status"] = cut
    async with cloud(service.url, retry=ONCE) as client:
        with pytest.raises(TransportError, match=r"no whole answer from http://127\.0\.0\.1"):
            await in_time(client.get_status("f"))


async def test_nobody_listens() -> None:
    async with cloud("http://127.0.0.1:9", retry=ONCE) as client:
        with pytest.raises(TransportError) as caught:
            await in_time(client.get_status("f"))
    assert not caught.value.sent


@pytest.mark.parametrize("stage", ["nothing", "head", "body"])
async def test_silence_ends_after_the_stall_timeout(service: Service, stage: str) -> None:
    held = asyncio.Event()
    said = {"nothing": b"", "head": b"HTTP/1.1 200 OK\r\nX", "body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"}

    async def stop(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(said[stage])
        await held.wait()

    service.early["get_status"] = stop
    async with cloud(service.url, retry=ONCE, stall_timeout=0.1) as client:
        began = time.perf_counter()
        with pytest.raises(TransportError):
            await client.get_status("f")
        assert 0.09 < time.perf_counter() - began < 1.5
        await until(lambda: not service.open or held.set() is None)


async def test_silence_in_the_middle_of_a_body_ends_after_the_stall_timeout(service: Service) -> None:
    held = asyncio.Event()

    async def stop(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        await held.wait()

    service.early["upload_chunk"] = stop
    async with cloud(service.url, retry=ONCE, stall_timeout=0.1) as client:
        ticket = await client.request_upload("mp4", 64 * MIB)
        began = time.perf_counter()
        with pytest.raises(TransportError) as caught:
            await client.upload_chunk(ticket, 0, bytes(64 * MIB))
        assert caught.value.sent
        assert 0.09 < time.perf_counter() - began < 3
        held.set()


@pytest.mark.parametrize("where", ["head", "body"])
async def test_answer_in_single_bytes_ends_too(service: Service, where: str) -> None:
    """Each byte is a sign of life, so the stall timer never strikes; the bound on the whole exchange does."""

    async def drip(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nX: " if where == "head" else b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
        writer.write(head)
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)

    service.early["get_status"] = drip
    async with cloud(service.url, retry=ONCE, stall_timeout=0.1, connect_timeout=0.1) as client:
        with pytest.raises(TransportError, match=r"no whole answer|within"):
            await in_time(client.get_status("f"), 3)


@pytest.mark.parametrize("framing", ["chunked", "length", "until closed"])
async def test_endless_json_does_not_fill_memory(service: Service, framing: str) -> None:
    """10 GB are announced; 2 MiB are taken."""
    sent = 0

    async def flood(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = {"chunked": "Transfer-Encoding: chunked\r\n", "length": "Content-Length: 10000000000\r\n"}
        writer.write(f"HTTP/1.1 200 OK\r\n{head.get(framing, '')}\r\n".encode())
        piece = b'{"a":"' + b"a" * 262_138
        while True:
            writer.write(b"40000\r\n%s\r\n" % piece if framing == "chunked" else piece)
            await writer.drain()
            sent += len(piece)

    service.early["get_status"] = flood
    async with cloud(service.url) as client:
        await client.authorize()
        with at_most(24 * MIB), pytest.raises(ResponseError, match=r"longer than 2097152 bytes"):
            await in_time(client.get_status("f"))
    assert sent < 64 * MIB


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 262_144),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a" * 262_144),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"a" * 262_144),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 1000),
    ],
    ids=["head", "interim answers", "trailer", "chunk extension", "small chunks"],
)
async def test_flood_besides_the_body_ends(service: Service, begin: bytes, more: bytes) -> None:
    async def flood(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(more)
            await writer.drain()

    service.early["get_status"] = flood
    async with cloud(service.url, retry=ONCE) as client:
        await client.authorize()
        with at_most(8 * MIB), pytest.raises(TransportError, match=r"not HTTP|too much besides its body"):
            await in_time(client.get_status("f"))


async def test_flood_instead_of_reading_does_not_fill_memory(service: Service) -> None:
    """The server answers without end and takes nothing: nobody reads while a body is sent, so the sending must
    end."""

    async def flood(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            writer.write(b"a" * 262_144)
            await writer.drain()

    service.early["upload_chunk"] = flood
    async with cloud(service.url) as client:
        ticket = await client.request_upload("mp4", 32 * MIB)
        data = bytes(32 * MIB)
        with at_most(64 * MIB), pytest.raises(ResponseError, match="longer than"):
            await in_time(client.upload_chunk(ticket, 0, data))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(service: Service, status: int) -> None:
    async with Service() as elsewhere:

        async def redirect(asked: Asked) -> bytes:
            return answer({}, status=f"{status} Moved", headers=f"Location: {elsewhere.url}{asked.target}\r\n")

        service.hooks["get_status"] = redirect
        async with cloud(service.url) as client:
            with pytest.raises(ResponseError, match="redirect"):
                await client.get_status("f")
        assert not elsewhere.asked
        assert service.count("get_status") == 1


async def test_compressed_answer_is_refused_not_unpacked(service: Service) -> None:
    async def packed(asked: Asked) -> bytes:
        return answer(headers="Content-Encoding: gzip\r\n", body=gzip.compress(b'{"code":"A00000"}' + b" " * 10**6))

    service.hooks["get_status"] = packed
    async with cloud(service.url) as client:
        with pytest.raises(ResponseError, match="compressed"):
            await client.get_status("f")


@pytest.mark.parametrize("coding", ["identity", "none", "", "UTF-8", "chunked"])
async def test_coding_that_packs_nothing_is_passed_over(service: Service, coding: str) -> None:
    async def labelled(asked: Asked) -> bytes:
        return answer({"code": "A00001"}, headers=f"Content-Encoding: {coding}\r\n")

    service.hooks["get_status"] = labelled
    async with cloud(service.url, retry=ONCE) as client:
        assert (await client.get_status("f")).code == "A00001"


async def test_hostile_headers_are_only_headers(service: Service) -> None:
    hostile = "Set-Cookie: a=b\r\nRetry-After: \xb2\r\nX-Very: " + "é" * 3000 + "\r\nContent-Type: =/?\r\n"

    async def dressed(asked: Asked) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n" + hostile.encode("latin-1") + b'\r\n{"code":"A00001"}'

    service.hooks["get_status"] = dressed
    async with cloud(service.url) as client:
        assert (await client.get_status("f")).code == "A00001"
        await client.get_status("f")
    assert "cookie" not in service.asked[-1].headers


# Over TLS


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context; its certificate is trusted by clients of this test."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


async def test_api_over_tls_and_upload_without(trusting: ssl.SSLContext, service: Service) -> None:
    """As the document has it. One connection serves both in turn, so neither may shape it for the other."""
    async with Service(tls=trusting, upload_host=service.url) as api:
        client = AsyncVideoCloud(
            KEY,
            SECRET,
            endpoints=Endpoints(api=api.url, upload=service.url, forms=service.url, fallbacks=()),
            retry=QUICK,
        )
        async with client:
            for _ in range(2):
                await client.upload(content(100_000), NAME, file_type="mp4")
                await client.get_status("file0")
        assert {asked.operation for asked in api.asked} == {"authorize", "set_metadata", "get_status"}
        operations = {asked.operation for asked in service.asked}
        assert operations == {"request_upload", "upload_chunk", "finish_upload"}


async def test_upload_over_tls(trusting: ssl.SSLContext) -> None:
    async with Service(tls=trusting) as service:
        service._upload_host = service.url
        async with cloud(service.url, chunk_size=300_000) as client:
            receipt = await client.upload(content(2 * MIB), NAME, file_type="mp4")
        assert service.files[receipt.file_id] == content(2 * MIB)


async def test_certificate_that_is_not_trusted() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    # In its debug mode the server's loop tells of the handshake that the client broke off.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with Service(tls=context) as service:
        async with cloud(service.url, retry=ONCE) as client:
            with pytest.raises(TransportError, match="certificate verify failed") as caught:
                await client.get_status("f")
        assert not caught.value.sent
        assert not service.asked


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_authorities_that_are_missing_are_named_at_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "/nowhere/authorities.pem")
    async with AsyncVideoCloud(KEY, SECRET, endpoints=Endpoints.single("https://127.0.0.1:9")) as client:
        with pytest.raises(ConfigurationError, match=r"/nowhere/authorities\.pem"):
            await in_time(client.get_status("f"), 2)


async def test_certificate_that_is_not_trusted_is_not_tried_again(trusting: ssl.SSLContext) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    authorities = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with Service(tls=trusting) as service, cloud(service.url, ssl_context=authorities) as client:
        with pytest.raises(TransportError, match="certificate verify failed") as caught:
            await in_time(client.get_status("f"), 2)
        assert not caught.value.retryable
        assert service.connections <= 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_certificate_of_the_client_that_is_missing_is_told_at_once(version: ssl.TLSVersion) -> None:
    """In TLS 1.3 the client hears of it only after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(PEM)

    def refuse(listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as peer:
                with suppress(ssl.SSLError):
                    peer.do_handshake()
                # Until the client has hung up: what is left unread would reset the connection before the alert.
                with suppress(OSError):
                    while os.read(peer.fileno(), 4096):
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        try:
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            async with cloud(url, ssl_context=ssl.create_default_context(cafile=PEM)) as client:
                with pytest.raises(TransportError, match=r"(?i)certificate|handshake failure") as caught:
                    await client.authorize()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert caught.value.retryable == (version is ssl.TLSVersion.TLSv1_2)


async def test_a_context_of_the_callers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's authorities."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(PEM)
    async with Service(tls=server) as service:
        authorities = ssl.create_default_context(cafile=str(PEM))
        async with cloud(service.url, ssl_context=authorities, retry=ONCE) as client:
            await client.get_status("f")
            await client.get_status("f")
        assert service.connections == 1, "session tickets are not taken for the end"


# Where requests may go


class Recorder(httpx.AsyncBaseTransport):
    """A caller's own transport: whatever host is meant, one answer; everything that came is kept."""

    def __init__(self, service: Service, upload_url: str | None = None) -> None:
        self.seen: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.closed = False
        self.fails: dict[str, int] = {}
        self._service = service
        self._upload_url = upload_url

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        self.seen.append(request)
        self.bodies.append(body)
        if self.fails.get(request.url.host, 0) > 0:
            self.fails[request.url.host] -= 1
            raise httpx.ConnectError("down")
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.url.path
        operation = {"/openupload": "request_upload", "/upload": "upload_chunk"}.get(path, path)
        operation = {"/api/iqiyi/authorize": "authorize", "/uploadfinish": "finish_upload"}.get(path, operation)
        raw = self._service.usual(
            Asked(operation, request.method, str(request.url), headers, b"", connection=0, body=body)
        )
        content = raw.split(b"\r\n\r\n", 1)[1]
        if operation == "request_upload" and self._upload_url is not None:
            content = content.replace(b"http://upload.iqiyi.com/upload", self._upload_url.encode())
        return httpx.Response(200, content=content)

    async def aclose(self) -> None:
        self.closed = True


def public(transport: Recorder, **options: Any) -> AsyncVideoCloud:
    return AsyncVideoCloud(KEY, SECRET, transport=transport, retry=QUICK, options=UploadOptions(**options))


async def test_token_goes_to_the_api_hosts_only(service: Service) -> None:
    recorder = Recorder(service, "http://qichuan.iqiyi.com/upload")
    async with public(recorder, chunk_size=10) as client:
        await client.upload(content(30), NAME, file_type="mp4")
        with pytest.raises(ResponseError):  # the answer holds no URL
            await client.resolve_url("http://data.video.iqiyi.com/videos/x.mp4?k=1")
    hosts = {request.url.host for request in recorder.seen}
    assert hosts == {"openapi.iqiyi.com", "upload.iqiyi.com", "qichuan.iqiyi.com", "data.video.iqiyi.com"}
    for request, body in zip(recorder.seen, recorder.bodies, strict=True):
        wire = str(request.url).encode() + b"".join(name + value for name, value in request.headers.raw) + body
        named = request.url.host in ("openapi.iqiyi.com", "upload.iqiyi.com")
        assert (b"access-1" in wire or SECRET.encode() in wire) == named
        assert request.url.host != "openapi.iqiyi.com" or request.url.scheme == "https"
    assert not recorder.closed, "a transport that was given stays open"


@pytest.mark.parametrize(
    "upload_url",
    [
        "ftp://qichuan.iqiyi.com/upload",
        "file:///etc/passwd",
        "//qichuan.iqiyi.com/upload",
        "http://user@qichuan.iqiyi.com/upload",
        "http://user:word@qichuan.iqiyi.com/upload",
        "http://127.0.0.1/upload",
        "http://127.1/upload",
        "http://2130706433/upload",
        "http://0x7f000001/upload",
        "http://localhost:8000/upload",
        "http://[::1]/upload",
        "http://[::ffff:127.0.0.1]/upload",
        "http://10.0.0.1/upload",
        "http://192.168.1.1/upload",
        "http://172.16.5.5/upload",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/upload",
        "http://0.0.0.0/upload",
        "http://printer.local/upload",
        "http://qichuan.iqiyi.com/up load",
        "http:///upload",
        "",
    ],
)
async def test_upload_urls_that_are_refused(service: Service, upload_url: str) -> None:
    recorder = Recorder(service, upload_url)
    async with public(recorder) as client:
        with pytest.raises(ResponseError) as caught:
            await client.upload(b"x", NAME, file_type="mp4")
    assert caught.value.operation == "request_upload"
    assert [request.url.path for request in recorder.seen] == ["/api/iqiyi/authorize", "/openupload"]


async def test_bare_public_address_is_accepted(service: Service) -> None:
    """The document's own example names one."""
    recorder = Recorder(service, "http://101.227.22.221/upload")
    async with public(recorder) as client:
        await client.upload(b"x", NAME, file_type="mp4")
    assert "101.227.22.221" in {request.url.host for request in recorder.seen}


async def test_ranges_go_to_the_backup_while_the_host_is_down(service: Service) -> None:
    recorder = Recorder(service, "http://qichuan.iqiyi.com/upload")
    recorder.fails["qichuan.iqiyi.com"] = 1000
    async with public(recorder, chunk_size=10, max_workers=1) as client:
        receipt = await client.upload(content(100), NAME, file_type="mp4")
        hosts = [request.url.host for request in recorder.seen if request.url.path == "/upload"]
        assert hosts == ["qichuan.iqiyi.com"] + ["qc.iqiyi.com"] * 10, "one failure is enough to know"
        assert service.files[receipt.file_id] == content(100)
        assert receipt.retries == 1
        recorder.seen.clear()
        recorder.fails = {"qc.iqiyi.com": 1000}
        await client.upload(content(20), NAME, file_type="mp4")
        hosts = [request.url.host for request in recorder.seen if request.url.path == "/upload"]
        assert hosts == ["qc.iqiyi.com", "qichuan.iqiyi.com", "qichuan.iqiyi.com"], "and back, should it fail too"


async def test_name_that_leads_to_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is public, and names a host whose name leads inside: found out before anything is sent there."""

    def inside(host: str, *_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("10.1.2.3", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    ticket = UploadTicket("f", "http://looks-public.example.com/upload", 3)
    async with AsyncVideoCloud(KEY, SECRET, retry=ONCE) as client:
        with pytest.raises(ResponseError, match="private"):
            await client.upload_chunk(ticket, 0, b"abc")


async def test_name_that_is_never_found_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    known = threading.Event()

    def silence(host: str, *_: Any, **__: Any) -> list[Any]:
        known.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silence)
    ticket = UploadTicket("f", "http://looks-public.example.com/upload", 3)
    options = UploadOptions(connect_timeout=0.05, stall_timeout=0.05)
    async with AsyncVideoCloud(KEY, SECRET, retry=ONCE, options=options) as client:
        with pytest.raises(TransportError):
            await in_time(client.upload_chunk(ticket, 0, b"abc"), 3)
    known.set()


async def test_secret_for_a_foreign_host_never_leaves(service: Service) -> None:
    """The last lock, should a call ever be built wrongly."""
    async with Service() as elsewhere, cloud(service.url) as client:
        call = finish_upload(Endpoints.single(elsewhere.url), "f")
        with pytest.raises(MisdirectedSecretError):
            await client._runtime.session.send(call)
        assert not elsewhere.asked


async def test_proxies_of_the_environment_are_not_followed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten variable must not carry the token to somebody else."""
    async with Service() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with cloud(service.url) as client:
            await client.get_status("f")
        assert not proxy.asked


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", ServiceError),
        ("403 Forbidden", ServiceError),
        ("404 Not Found", ServiceError),
        ("413 Too Large", ServiceError),
        ("429 Slow Down", ServiceUnavailableError),
        ("500 Broken", ServiceUnavailableError),
        ("503 Busy", ServiceUnavailableError),
    ],
)
async def test_statuses_without_words_of_the_service(service: Service, status: str, kind: type[ServiceError]) -> None:
    async def refuse(asked: Asked) -> bytes:
        return answer(status=status, body=b"<html>no</html>")

    service.hooks["get_status"] = refuse
    async with cloud(service.url, retry=ONCE) as client:
        with pytest.raises(kind) as caught:
            await client.get_status("f")
    assert type(caught.value) is kind
    assert caught.value.code == f"HTTP {status[:3]}"


async def test_borrowed_transport_whose_errors_are_its_own(service: Service) -> None:
    """Whatever httpx can raise for a broken exchange is one typed error here, with its cause."""

    class Broken(httpx.AsyncBaseTransport):
        def __init__(self, problem: Exception) -> None:
            self.problem = problem

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise self.problem

    for problem, sent in [
        (httpx.ConnectTimeout("t"), False),
        (httpx.PoolTimeout("t"), False),
        (httpx.ReadError("t"), True),
        (httpx.WriteTimeout("t"), True),
        (httpx.RemoteProtocolError("t"), True),
        (httpx.ProxyError("t"), True),
        (ConnectionResetError("t"), True),
    ]:
        async with cloud(service.url, transport=Broken(problem), retry=ONCE) as client:
            with pytest.raises(TransportError) as caught:
                await client.get_status("f")
        assert caught.value.sent is sent
        assert caught.value.__cause__ is problem


async def test_borrowed_transport_sees_no_body_where_there_is_none(service: Service) -> None:
    """Some send any other stream in chunks, even if nothing comes out of it."""

    class Looking(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self._real = httpx.AsyncHTTPTransport()
            self.without: list[str] = []

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if isinstance(request.stream, httpx.ByteStream) and request.content == b"":
                self.without.append(request.url.path)
            return await self._real.handle_async_request(request)

        async def aclose(self) -> None:
            await self._real.aclose()

    async with Looking() as transport, cloud(service.url, transport=transport) as client:
        await client.upload(content(10), NAME, file_type="mp4")
    assert transport.without == [one.target.partition("?")[0] for one in service.asked if not one.body]
    assert len(transport.without) == 4


async def test_streaming_answer_of_a_borrowed_transport_is_bounded_too(service: Service) -> None:
    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"a" * 65_536

    class Flood(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Endless())

    async with cloud(service.url, transport=Flood(), retry=ONCE) as client:
        with pytest.raises(VideoCloudError, match="longer than"):
            await in_time(client.get_status("f"))
