"""What the fault proxy does to a connection, seen from both of its ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iqiyi_async.emulator import Conditions, FaultProxy, Flow

from .steps import Steps, chunk
from .wire import Wire, get, until, wire

pytestmark = pytest.mark.anyio


class Echo:
    """A server that sends back what it gets, and remembers how its connections ended."""

    def __init__(self) -> None:
        self.received = 0
        self.ends: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.hold.wait()
            while data := await reader.read(65536):
                self.received += len(data)
                writer.write(data)
                await writer.drain()
            self.ends.append("end")
        except ConnectionError:
            self.ends.append("reset")
        finally:
            writer.transport.abort()


@asynccontextmanager
async def echo(**conditions: Any) -> AsyncIterator[tuple[Echo, FaultProxy]]:
    server = Echo()
    listener = await asyncio.start_server(server.connection, "127.0.0.1", 0, limit=65536)
    async with listener:
        async with FaultProxy(*listener.sockets[0].getsockname()[:2], Conditions(**conditions)) as proxy:
            yield server, proxy


async def roundtrip(line: Wire, data: bytes) -> bytes:
    await line.send(data)
    return await line.reader.readexactly(len(data))


async def test_it_passes_everything_on() -> None:
    async with echo() as (server, proxy):
        async with wire(proxy.endpoint_url) as line:
            data = bytes(range(256)) * 1000
            assert await roundtrip(line, data) == data
            line.writer.write_eof()
            assert await line.reader.read() == b""
        assert server.ends == ["end"]
        assert (proxy.bytes_up, proxy.bytes_down, proxy.accepted) == (len(data), len(data), 1)
        await until(lambda: proxy.open_connections == 0)


async def test_an_upload_through_it_gets_addresses_that_lead_through_it(steps: Steps) -> None:
    port = int(steps.url.rsplit(":", 1)[1])
    async with FaultProxy("127.0.0.1", port) as proxy, wire(proxy.endpoint_url) as line:
        host = proxy.endpoint_url.removeprefix("http://").encode()
        request = get("/openupload", filetype="mp4", filesize="5", access_token=steps.token)
        data = (await line.ask(request.replace(b"Host: 127.0.0.1", b"Host: " + host))).json["data"]
        assert data["upload_url"] == f"{proxy.endpoint_url}/upload"
        assert (await line.ask(chunk(data["file_id"], 5, 0, b"hello"))).code == "A00000"


@pytest.mark.parametrize("after", [0, 1, 100_000])
async def test_reset_after_bytes_up(after: int) -> None:
    async with echo(up=Flow(reset_after=after)) as (server, proxy):
        async with wire(proxy.endpoint_url) as line:
            with pytest.raises(ConnectionError):
                await line.send(bytes(200_000))
                while await line.reader.read(65536):
                    pass
                raise AssertionError("the connection ended in order")
        assert proxy.bytes_up == after
        await until(lambda: server.ends == ["reset"])


async def test_reset_after_bytes_down() -> None:
    async with echo(down=Flow(reset_after=1000)) as (_, proxy), wire(proxy.endpoint_url) as line:
        with pytest.raises(ConnectionError):
            await roundtrip(line, bytes(5000))
        assert proxy.bytes_down == 1000


async def test_half_close_towards_the_client() -> None:
    async with echo(down=Flow(close_after=10)) as (server, proxy):
        async with wire(proxy.endpoint_url) as line:
            await line.send(bytes(100))
            assert await line.reader.read() == bytes(10)
            # The other direction goes on.
            await line.send(bytes(100))
            await until(lambda: server.received == 200)


async def test_half_close_towards_the_server(steps: Steps) -> None:
    file_id = await steps.open(100_000)
    port = int(steps.url.rsplit(":", 1)[1])
    async with FaultProxy("127.0.0.1", port, Conditions(up=Flow(close_after=50_000))) as proxy:
        async with wire(proxy.endpoint_url) as line:
            await line.send(chunk(file_id, 100_000, 0, bytes(100_000)))
            assert await line.reader.read() == b""
    assert steps.emulator.files[file_id].accepted == 0
    await until(lambda: steps.emulator.history[-1].ending == "disconnected")


async def test_drip() -> None:
    async with echo(down=Flow(drip=10, drip_pause=0.02)) as (_, proxy), wire(proxy.endpoint_url) as line:
        await line.send(bytes(100))
        began, pieces = time.monotonic(), 0
        got = b""
        while len(got) < 100:
            got += await line.reader.read(100)
            pieces += 1
        assert time.monotonic() - began >= 0.17
        assert pieces >= 5


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_latency_delays_but_does_not_narrow(direction: str) -> None:
    async with echo(**{direction: Flow(latency=0.1)}) as (_, proxy), wire(proxy.endpoint_url) as line:
        began = time.monotonic()
        await roundtrip(line, b"x")
        assert time.monotonic() - began >= 0.1
        began = time.monotonic()
        sending = asyncio.create_task(line.send(bytes(2_000_000)))
        await line.reader.readexactly(2_000_000)
        await sending
        # One piece after the other, each late by itself, would take three seconds.
        assert time.monotonic() - began < 1.5


async def test_bandwidth_of_one_connection() -> None:
    async with echo(up=Flow(bandwidth=500_000)) as (_, proxy):

        async def one() -> None:
            async with wire(proxy.endpoint_url) as line:
                await roundtrip(line, bytes(100_000))

        began = time.monotonic()
        await asyncio.gather(*(one() for _ in range(10)))
        # Shared by ten, it would take two seconds.
        assert 0.18 <= time.monotonic() - began < 1.5


async def test_bandwidth_of_all_connections() -> None:
    async with echo() as (_, proxy):
        proxy.total_bandwidth = 1_000_000

        async def one() -> None:
            async with wire(proxy.endpoint_url) as line:
                await roundtrip(line, bytes(50_000))

        began = time.monotonic()
        await asyncio.gather(one(), one(), one())
        # 150,000 bytes, there and back.
        assert time.monotonic() - began >= 0.28


async def test_black_hole_and_back() -> None:
    async with echo() as (server, proxy), wire(proxy.endpoint_url) as old:
        assert await roundtrip(old, b"a") == b"a"
        proxy.apply(Conditions(black_hole=True))
        async with wire(proxy.endpoint_url) as new:
            await old.send(b"b")
            await new.send(b"c")
            for line in (old, new):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await line.reader.readexactly(1)
            assert server.received == 1
            proxy.clear()
            assert await old.reader.readexactly(1) == b"b"
            assert await new.reader.readexactly(1) == b"c"


async def test_refusing_and_taking_again() -> None:
    async with echo() as (_, proxy), wire(proxy.endpoint_url) as old:
        assert await roundtrip(old, b"a") == b"a"
        for _ in range(2):
            await proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                async with wire(proxy.endpoint_url):
                    pass
            assert await roundtrip(old, b"b") == b"b"
            await proxy.refuse(False)
            async with wire(proxy.endpoint_url) as line:
                assert await roundtrip(line, b"c") == b"c"


async def test_one_connection_only() -> None:
    async with echo() as (_, proxy):
        proxy.apply(Conditions(up=Flow(reset_after=0)), connection=2)
        async with wire(proxy.endpoint_url) as one, wire(proxy.endpoint_url) as two, wire(proxy.endpoint_url) as three:
            assert await roundtrip(one, b"a") == b"a"
            with pytest.raises(ConnectionError):
                await roundtrip(two, b"a")
            assert await roundtrip(three, b"a") == b"a"


async def test_cutting_everything_now() -> None:
    async with echo() as (server, proxy), wire(proxy.endpoint_url) as line:
        assert await roundtrip(line, b"a") == b"a"
        await proxy.cut()
        with pytest.raises(ConnectionError):
            await line.reader.readexactly(1)
        await until(lambda: server.ends == ["reset"])
        async with wire(proxy.endpoint_url) as again:
            assert await roundtrip(again, b"a") == b"a"


async def test_the_sender_feels_a_receiver_that_takes_nothing() -> None:
    """Back-pressure: what the proxy holds is bounded, whatever is sent."""
    async with echo() as (server, proxy):
        server.hold.clear()
        async with wire(proxy.endpoint_url) as line:
            line.writer.transport.set_write_buffer_limits(0)
            sent = 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    while True:
                        await line.send(bytes(256 * 1024))
                        sent += 256 * 1024
            assert sent < 32 * 1024 * 1024
            server.hold.set()


async def test_a_server_that_is_not_there() -> None:
    async with FaultProxy("127.0.0.1", 1) as proxy, wire(proxy.endpoint_url) as line:
        with pytest.raises(ConnectionError):
            await line.reader.readexactly(1)
        await until(lambda: proxy.open_connections == 0)


async def test_closing_leaves_no_task_and_frees_the_port() -> None:
    tasks = asyncio.all_tasks()
    proxy = FaultProxy("127.0.0.1", 1, Conditions(black_hole=True))
    await proxy.start()
    async with wire(proxy.endpoint_url) as line:
        await until(lambda: proxy.open_connections == 1)
        await proxy.aclose()
        await proxy.aclose()
        assert asyncio.all_tasks() == tasks
        with pytest.raises(ConnectionError):
            await line.reader.readexactly(1)
    async with FaultProxy("127.0.0.1", 1, port=proxy.port):
        pass


@pytest.mark.parametrize(
    "fields",
    [{"latency": -1}, {"bandwidth": 0}, {"drip": 0}, {"drip_pause": -1}, {"reset_after": -1}, {"close_after": True}],
)
def test_conditions_that_mean_nothing(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        Flow(**fields)
    assert next(iter(fields)) in str(caught.value)
