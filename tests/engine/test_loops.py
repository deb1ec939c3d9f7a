"""Every event loop that people use: the same journey, cancelled and not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, UploadOptions, VideoCloudError
from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Fault, FaultPlan, ThreadedEmulatorServer

from .servers import Service, answer
from .servers import ok as success
from .tools import ONCE
from .tools import cloud as client_of

PEM = Path(__file__).with_name("loopback.pem")
VIDEO = bytes(range(256)) * 2048


def loops() -> list[object]:
    uvloop = pytest.importorskip("uvloop") if _has_uvloop() else None
    return [asyncio.new_event_loop, *([uvloop.new_event_loop] if uvloop else [])]


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture(params=loops(), ids=lambda make: make.__module__.partition(".")[0])
def make_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return request.param


def cloud(server: ThreadedEmulatorServer) -> AsyncVideoCloud:
    return AsyncVideoCloud(
        DEFAULT_APP_KEY,
        DEFAULT_APP_SECRET,
        endpoints=Endpoints.single(server.endpoint_url),
        options=UploadOptions(chunk_size=64 * 1024),
    )


def test_a_whole_journey(
    make_loop: Callable[[], asyncio.AbstractEventLoop], iqiyi_emulator: ThreadedEmulatorServer
) -> None:
    async def journey() -> None:
        async with cloud(iqiyi_emulator) as client:
            receipt = await client.upload(VIDEO, Metadata("Holiday"), file_type="mp4")
            assert iqiyi_emulator.content(receipt.file_id) == VIDEO
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(journey())


@pytest.mark.iqiyi_end_check(False)
def test_cancelled_in_the_middle(
    make_loop: Callable[[], asyncio.AbstractEventLoop], iqiyi_emulator: ThreadedEmulatorServer
) -> None:
    iqiyi_emulator.faults = FaultPlan(faults=(Fault(operation="upload_chunk", call=3, stall=30),))

    async def journey() -> None:
        async with cloud(iqiyi_emulator) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.upload(VIDEO, Metadata("Holiday"), file_type="mp4")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(journey())


@contextmanager
def answering_unread(said: bytes) -> Iterator[str]:
    """A server behind TLS that reads the head of each request, answers, and closes with the body unread; its
    address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            # The answer must not wait for what the client confirms: the end of the connection would overtake it.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as peer:
                head = b""
                while b"\r\n\r\n" not in head and (more := peer.recv(1024)):
                    head += more
                peer.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "refusal",
    [answer({}, status="413 Too Large"), b"HTTP/1.0 413 Too Large\r\n\r\n<html>"],
    ids=["whole", "until the end"],
)
def test_answer_behind_tls_that_came_before_a_write_failed_is_heard(
    make_loop: Callable[[], asyncio.AbstractEventLoop], refusal: bytes
) -> None:
    """What is encrypted is still with the system when the write fails."""
    trusting = ssl.create_default_context(cafile=PEM)

    async def journey() -> None:
        async with Service() as service, client_of(service.url, retry=ONCE, ssl_context=trusting) as client:
            service._upload_host = url
            ticket = await client.request_upload("mp4", 16_000_000)
            for _ in range(40):
                with pytest.raises(VideoCloudError, match="HTTP 413"):
                    await client.upload_chunk(ticket, 0, bytes(4_000_000))

    with answering_unread(refusal) as url, asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(journey())


def test_answer_behind_tls_that_ends_with_its_connection(
    make_loop: Callable[[], asyncio.AbstractEventLoop], iqiyi_emulator: ThreadedEmulatorServer
) -> None:
    """Many servers close the connection without a word of TLS."""
    until_the_end = success().replace(b"Content-Length", b"X-Was")
    trusting = ssl.create_default_context(cafile=PEM)

    async def journey() -> None:
        service = Endpoints.single(iqiyi_emulator.endpoint_url)
        async with AsyncVideoCloud(
            DEFAULT_APP_KEY,
            DEFAULT_APP_SECRET,
            endpoints=Endpoints(api=service.api, upload=service.api, metadata=url),
            ssl_context=trusting,
            retry=ONCE,
        ) as client:
            await client.set_metadata("any", Metadata("Holiday"))

    with answering_unread(until_the_end) as url, asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(journey())
