"""The transport of one connection, as any client of HTTP uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from iqiyi_async.transport.connection.dial import Connector, NameService
from iqiyi_async.transport.lane import LaneTransport

from .servers import Service

pytestmark = pytest.mark.anyio


async def test_bodies_that_are_not_ours(service: Service) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"two"):
            yield piece

    def blocking() -> Iterator[bytes]:
        yield b"three"

    transport = LaneTransport(Connector(NameService(1)))
    async with httpx.AsyncClient(transport=transport, base_url=service.url, trust_env=False) as client:
        answer = await client.post("/elsewhere", content=b"whole")
        assert answer.status_code == 200
        assert answer.headers["content-length"] == str(len(answer.content))
        assert answer.json()["code"] == "A00000"
        await client.post("/elsewhere", content=pieces(), headers={"Content-Length": "7"})
        request = httpx.Request("POST", f"{service.url}/elsewhere", content=blocking())
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(request)
    assert [asked.body for asked in service.asked] == [b"whole", b"one two"]
    assert not transport.reusable


async def test_an_answer_does_not_print_itself(service: Service) -> None:
    transport = LaneTransport(Connector(NameService(1)))
    answer = await transport.handle_async_request(httpx.Request("GET", f"{service.url}/elsewhere?secret"))
    await transport.aclose()
    assert repr(answer) == "<an answer with HTTP 200>"
