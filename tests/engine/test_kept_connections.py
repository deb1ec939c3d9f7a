"""Connections that are kept: looked at before they are used again, and never a reason to fail."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from iqiyi_async import (
    AsyncVideoCloud,
    ConfigurationError,
    Endpoints,
    RetryPolicy,
    TransportError,
    UploadOptions,
    UploadTicket,
    VideoCloudError,
)

from .servers import Asked, Cut, Service, answer
from .tools import KEY, NAME, ONCE, QUICK, SECRET, cloud, content, in_time, until

PEM = Path(__file__).with_name("loopback.pem")

pytestmark = pytest.mark.anyio


def closing(service: Service) -> None:
    """Have a service close each connection after one answer, without a word about it."""

    async def last_words(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.body = await reader.readexactly(asked.length)
        writer.write(service.usual(asked))

    for operation in ("authorize", "request_upload", "upload_chunk", "set_metadata", "finish_upload", "get_status"):
        service.early[operation] = last_words


@pytest.mark.parametrize("at_once", [1, 8])
async def test_server_that_closes_after_each_answer(service: Service, at_once: int) -> None:
    closing(service)
    async with cloud(service.url) as client:
        for _ in range(3):
            await in_time(
                asyncio.gather(*(client.upload(content(200_000), NAME, file_type="mp4") for _ in range(at_once))), 10
            )
    assert len(service.published) == 3 * at_once
    assert not service.count("get_status"), "no finish was in doubt"


async def test_connection_that_was_closed_while_the_loop_was_busy() -> None:
    """The end of the connection waits in the socket; the loop has had no turn to read it."""
    token = {"access_token": "access-1", "expires_in": 3600, "refresh_token": "refresh-1"}
    paths: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                line, _ = listening.accept()
                with line:
                    paths.append(line.recv(65536).split(b" ")[1].partition(b"?")[0])
                    line.sendall(answer({"code": "A00000", "data": token}))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        async with cloud(f"http://127.0.0.1:{listening.getsockname()[1]}", retry=ONCE) as client:
            for _ in range(3):
                await client.authorize()
                time.sleep(0.05)
                # Never sent twice: only a look can tell.
                await client.delete_all_videos()
                time.sleep(0.05)
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert len(paths) == 6


@pytest.mark.parametrize("operation", ["request_upload", "upload_chunk", "set_metadata", "get_status", "authorize"])
async def test_request_that_meets_a_connection_just_closed_is_sent_once_more(service: Service, operation: str) -> None:
    """The server closes when the request is on its way already: no look can tell."""
    seen: Counter[int] = Counter()

    async def closed(asked: Asked, reader: Any, writer: asyncio.StreamWriter) -> None:
        seen[asked.connection] += 1
        if len(seen) == 1:
            raise Cut
        asked.body = await reader.readexactly(asked.length)
        writer.write(service.usual(asked))

    async with cloud(service.url, retry=ONCE, max_workers=1) as client:
        await client.upload(content(10), NAME, file_type="mp4")
        service.early[operation] = closed
        if operation == "get_status":
            await client.get_status("f")
        elif operation == "authorize":
            await client.authorize()
        else:
            await client.upload(content(10), NAME, file_type="mp4")
    assert len(seen) == 2


@pytest.mark.parametrize("status", ["408 Request Timeout", "421 Misdirected Request"])
async def test_server_that_gives_a_kept_connection_up_in_words(service: Service, status: str) -> None:
    """As HAProxy and Apache do it when the time of an idle connection is over: the answer meets the next request."""
    seen: set[int] = set()

    def given_up(operation: str) -> None:
        async def last_words(asked: Asked) -> bytes | None:
            again, _ = asked.connection in seen, seen.add(asked.connection)
            return answer(status=status, headers="Connection: close\r\n", body=b"") if again else None

        service.hooks[operation] = last_words

    for operation in ("authorize", "request_upload", "upload_chunk", "set_metadata", "finish_upload", "get_status"):
        given_up(operation)
    slow = RetryPolicy(initial_backoff=60, max_backoff=60)
    async with cloud(service.url, retry=slow, max_workers=2) as client:
        for number in range(3):
            await in_time(client.upload(content(200_000 + number), NAME, file_type="mp4"))
    assert len(service.published) == 3


async def test_finish_that_meets_a_connection_just_closed_waits_for_nothing(service: Service) -> None:
    """The status tells at once what became of it, and nothing of it speaks against the service."""
    told: list[asyncio.StreamWriter] = []

    async def closed(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(told) < 8:
            told.append(writer)
            raise Cut
        asked.body = await reader.readexactly(asked.length)
        writer.write(service.usual(asked))

    slow = RetryPolicy(initial_backoff=60, max_backoff=60)
    async with cloud(service.url, retry=slow) as client:
        await client.upload(content(10), NAME, file_type="mp4")
        service.early["finish_upload"] = closed
        uploads = (client.upload(content(10 + number), NAME, file_type="mp4") for number in range(16))
        for receipt in await in_time(asyncio.gather(*uploads)):
            assert service.states[receipt.file_id] == "finished"
        assert not client.stats().outage
    assert len(told) == 8


@pytest.mark.parametrize("reset", [True, False])
async def test_delete_all_is_never_sent_twice(service: Service, reset: bool) -> None:
    async def cut(asked: Asked) -> bytes:
        raise Cut(reset=reset)

    async with cloud(service.url) as client:
        await client.get_status("f")
        service.hooks["delete_videos"] = cut
        with pytest.raises(TransportError) as caught:
            await client.delete_all_videos()
    assert caught.value.sent
    assert not caught.value.retryable
    assert "not known" in str(caught.value)
    assert service.count("delete_videos") == 1


@pytest.mark.parametrize(
    "said",
    [
        answer(status="500 Broken", body=b""),
        answer(status="504 Late", body=b"<html>"),
        answer(status="408 Late", body=b"{}"),
        answer(status="302 Found", headers="Location: /x\r\n", body=b""),
        answer(body=b"<html>busy</html>"),
        answer(body=b'{"msg": "no code"}'),
    ],
)
async def test_delete_all_whose_outcome_is_not_known_says_so(service: Service, said: bytes) -> None:
    async def strange(asked: Asked) -> bytes:
        return said

    async with cloud(service.url) as client:
        service.hooks["delete_videos"] = strange
        with pytest.raises(VideoCloudError, match="whether the service has done it is not known") as caught:
            await client.delete_all_videos()
    # A loop of the caller's that repeats what is retryable must not delete what came in between.
    assert not caught.value.retryable
    assert service.count("delete_videos") == 1


async def test_delete_all_that_was_turned_away_is_sent_again(service: Service) -> None:
    said = [answer(status="503 Busy", body=b""), answer(status="429 Slow", body=b"")]

    async def busy(asked: Asked) -> bytes | None:
        return said.pop() if said else None

    async with cloud(service.url) as client:
        service.hooks["delete_videos"] = busy
        await client.delete_all_videos()
    assert service.count("delete_videos") == 3


async def test_late_end_is_not_taken_for_a_closed_connection(service: Service) -> None:
    """After a second the server may well have done what was asked."""

    async def late(asked: Asked) -> bytes:
        await asyncio.sleep(1.1)
        raise Cut

    async with cloud(service.url, retry=ONCE) as client:
        await client.get_status("f")
        service.hooks["get_status"] = late
        with pytest.raises(TransportError):
            await client.get_status("f")
    assert service.count("get_status") == 2


async def test_what_the_server_says_of_its_patience_is_obeyed(service: Service) -> None:
    async def short(asked: Asked) -> bytes:
        return service.usual(asked).replace(b"\r\n", b"\r\nKeep-Alive: timeout=1, max=100\r\n", 1)

    service.hooks["get_status"] = short
    async with cloud(service.url) as client:
        await client.get_status("f")
        await client.get_status("f")
        assert service.connections == 1
        await asyncio.sleep(0.6)
        await client.get_status("f")
        assert service.connections == 2


async def test_connections_are_kept_by_origin(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    """As by default: the API over TLS, the upload host apart."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    async with Service(tls=context, upload_host=service.url) as api:
        async with AsyncVideoCloud(
            KEY, SECRET, endpoints=Endpoints(api=api.url, upload=service.url, forms=service.url, fallbacks=())
        ) as client:
            for _ in range(10):
                await client.upload(content(10), NAME, file_type="mp4")
        assert api.connections == 1
        assert service.connections == 2, "one for calls, one for ranges"


async def test_ranges_of_two_hosts_keep_their_connections() -> None:
    async with Service() as one, Service() as other, Service() as api:
        async with cloud(api.url, max_workers=4) as client:
            tickets = []
            for host in (one, other):
                host.files["f"] = bytearray(64_000)
                tickets.append(UploadTicket("f", f"{host.url}/upload", 64_000))
            for first in range(0, 64_000, 1000):
                for ticket in tickets:
                    await client.upload_chunk(ticket, first, bytes(1000))
        assert (one.connections, other.connections) == (1, 1)


async def test_control_calls_have_as_many_connections_as_callers_keep_busy(service: Service) -> None:
    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.1)

    service.hooks["get_status"] = slow  # type: ignore[assignment]
    async with cloud(service.url) as client:
        await client.authorize()
        began = time.perf_counter()
        await asyncio.gather(*(client.get_status(f"f{number}") for number in range(64)))
        assert time.perf_counter() - began < 0.6
        assert service.most["get_status"] == 64


async def test_control_connections_are_bounded(service: Service) -> None:
    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.01)

    service.hooks["get_status"] = slow  # type: ignore[assignment]
    async with cloud(service.url, max_control_connections=3) as client:
        await asyncio.gather(*(client.get_status(f"f{number}") for number in range(20)))
    assert service.most["get_status"] == 3
    assert service.connections <= 4


@pytest.mark.parametrize("limit", [{"max_control_connections": 1}, {"max_requests_per_second": 100.0}])
async def test_groups_share_control_connections_and_requests(service: Service, limit: dict[str, Any]) -> None:
    """One clip of somebody else does not wait for thirty that came before it."""
    ended: list[str] = []
    async with cloud(service.url, **limit) as client:
        await client.authorize()

        async def upload(number: int, group: str) -> None:
            await client.upload(content(100 + number), NAME, file_type="mp4", group=group)
            ended.append(group)

        first = [asyncio.create_task(upload(number, "many")) for number in range(30)]
        await until(lambda: len(service.asked) > 3)
        await in_time(asyncio.gather(*first, upload(50, "one")))
    assert ended.index("one") <= 8


@pytest.mark.parametrize("status", ["401 Unauthorized", "413 Too Large"])
async def test_answer_that_came_before_a_write_failed_is_heard(status: str) -> None:
    """The server answers early and closes with the body unread: the system tells of a reset."""
    refused = answer({}, status=status, headers="Connection: close\r\n")

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refused)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1024)
    async with server, Service() as service:
        service._upload_host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with cloud(service.url, retry=ONCE) as client:
            ticket = await client.request_upload("mp4", 16_000_000)
            for _ in range(40):
                with pytest.raises(VideoCloudError) as caught:
                    await client.upload_chunk(ticket, 0, bytes(4_000_000))
                assert not isinstance(caught.value, TransportError), caught.value


async def test_pool_is_shared(service: Service) -> None:
    """Clients of two app keys, one bounded pool of workers."""

    async def slow(asked: Asked) -> None:
        await asyncio.sleep(0.005)

    service.hooks["upload_chunk"] = slow  # type: ignore[assignment]
    async with cloud(service.url, max_workers=2) as lender:
        async with AsyncVideoCloud(
            "another-key",
            SECRET,
            endpoints=Endpoints.single(service.url),
            options=UploadOptions(chunk_size=64 * 1024),
            retry=QUICK,
            pool=lender,
        ) as borrower:
            await asyncio.gather(
                *(client.upload(content(640_000), NAME, file_type="mp4") for client in (lender, borrower) * 2)
            )
        await lender.upload(content(10), NAME, file_type="mp4")
    assert service.most["upload_chunk"] == 2
    assert len(service.published) == 5


async def test_a_shared_pool_outlives_the_client_that_lends_it(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content(200_000))
    lender = cloud(service.url, max_workers=2)
    borrower = AsyncVideoCloud("another", SECRET, endpoints=Endpoints.single(service.url), retry=QUICK, pool=lender)
    await lender.upload(content(10), NAME, file_type="mp4")
    handle = borrower.start_upload(path, NAME)
    await lender.aclose()
    assert (await handle).size == 200_000
    await borrower.upload(content(200_000), NAME, file_type="mp4")
    await borrower.aclose()
    with pytest.raises(ConfigurationError, match="pool is a client that is closed"):
        AsyncVideoCloud("another", SECRET, pool=lender)


async def test_a_shared_pool_belongs_to_one_event_loop(service: Service) -> None:
    lender = cloud(service.url)
    borrower = AsyncVideoCloud("another", SECRET, endpoints=Endpoints.single(service.url), retry=QUICK, pool=lender)

    def elsewhere() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            asyncio.run(borrower.get_status("f"))

    await lender.get_status("f")
    await asyncio.to_thread(elsewhere)
    await borrower.aclose()
    await lender.aclose()
