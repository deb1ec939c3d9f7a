"""An upload whose address is unreachable goes on at a fallback of the endpoints, under the same file_id."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from iqiyi_async import AsyncVideoCloud, Endpoints, UploadError, UploadOptions

from .servers import Asked, Service, answer, ok
from .tools import KEY, NAME, QUICK, SECRET, cloud, content, in_time

pytestmark = pytest.mark.anyio


async def test_an_address_that_is_dead_is_left_for_a_fallback(service: Service) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/upload"

        async def ticket(asked: Asked) -> bytes:
            service.files["f"] = bytearray(int(asked.headers["filesize"]))
            return ok(data={"upload_url": dead, "file_id": "f"})

        service.hooks["request_upload"] = ticket
        endpoints = Endpoints(
            api=service.url, upload=service.url, forms=service.url, backups={}, fallbacks=(service.url,)
        )
        options = UploadOptions(chunk_size=64 * 1024, max_workers=2)
        async with AsyncVideoCloud(KEY, SECRET, endpoints=endpoints, retry=QUICK, options=options) as client:
            receipt = await in_time(client.upload(content(200_000), NAME, file_type="mp4"), 20)
    assert receipt.file_id == "f"
    assert bytes(service.files["f"]) == content(200_000)
    assert service.count("request_upload") == 1


@pytest.mark.parametrize("status", ["500 Broken", "502 Bad Gateway", "507 Full"])
async def test_an_address_that_only_fails_is_left_for_a_fallback(service: Service, status: str) -> None:
    """Alone there: no other upload tells that it is not about the range."""

    async def broken(asked: Asked) -> bytes:
        return answer(status=status, body=b"<html>")

    async with Service(upload_host=None) as node:
        node.hooks["upload_chunk"] = broken
        service._upload_host = node.url
        endpoints = Endpoints(
            api=service.url, upload=service.url, forms=service.url, backups={}, fallbacks=(service.url,)
        )
        options = UploadOptions(chunk_size=64 * 1024, max_workers=2)
        async with AsyncVideoCloud(KEY, SECRET, endpoints=endpoints, retry=QUICK, options=options) as client:
            receipt = await in_time(client.upload(content(200_000), NAME, file_type="mp4"), 20)
        assert bytes(service.files[receipt.file_id]) == content(200_000)
        assert 3 <= node.count("upload_chunk") <= 8


@pytest.mark.parametrize("status", ["500 Broken", "502 Bad Gateway"])
async def test_where_all_addresses_fail_the_upload_ends(service: Service, status: str) -> None:
    async def broken(asked: Asked) -> bytes:
        return answer(status=status, body=b"<html>")

    service.hooks["upload_chunk"] = broken
    async with Service() as fallback:
        fallback.hooks["upload_chunk"] = broken
        endpoints = Endpoints(
            api=service.url, upload=service.url, forms=service.url, backups={}, fallbacks=(fallback.url,)
        )
        async with AsyncVideoCloud(KEY, SECRET, endpoints=endpoints, retry=QUICK) as client:
            with pytest.raises(UploadError, match="HTTP 50"):
                await in_time(client.upload(content(200_000), NAME, file_type="mp4"), 20)
        # No address gets more attempts than the policy says.
        assert service.count("upload_chunk") <= QUICK.max_attempts
        assert fallback.count("upload_chunk") <= QUICK.max_attempts


async def test_uploads_that_come_later_do_not_try_a_host_that_is_known_to_be_down(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/upload"

        async def ticket(asked: Asked) -> bytes:
            name = f"f{service.count('request_upload')}"
            service.files[name] = bytearray(int(asked.headers["filesize"]))
            return ok(data={"upload_url": dead, "file_id": name})

        service.hooks["request_upload"] = ticket
        endpoints = Endpoints(
            api=service.url, upload=service.url, forms=service.url, backups={}, fallbacks=(service.url,)
        )
        options = UploadOptions(chunk_size=64 * 1024, max_workers=8)
        async with AsyncVideoCloud(KEY, SECRET, endpoints=endpoints, retry=QUICK, options=options) as client:
            first = [client.upload(content(300_000 + number), NAME, file_type="mp4") for number in range(4)]
            await in_time(asyncio.gather(*first), 20)
            receipt = await in_time(client.upload(content(400_000), NAME, file_type="mp4"), 20)
    assert bytes(service.files[receipt.file_id]) == content(400_000)
    assert "it goes on at" in caplog.text


def too_large(most: int) -> Callable[[Asked], Awaitable[bytes | None]]:
    async def refuse(asked: Asked) -> bytes | None:
        return answer(status="413 Too Large") if asked.length > most else None

    return refuse


async def test_ranges_that_are_too_large_for_a_proxy_are_cut_smaller(service: Service) -> None:
    service.hooks["upload_chunk"] = too_large(600 * 1024)
    async with cloud(service.url, chunk_size="auto", max_workers=2) as client:
        receipt = await in_time(client.upload(content(3 << 20), NAME, file_type="mp4"), 20)
    assert bytes(service.files[receipt.file_id]) == content(3 << 20)
    assert max(asked.length for asked in service.calls("upload_chunk")[-4:]) <= 600 * 1024


async def test_the_last_range_is_too_large_when_the_others_have_arrived(service: Service) -> None:
    """A proxy was put in between meanwhile: what is left is cut smaller, and sent."""
    refused = False

    async def refuse(asked: Asked) -> bytes | None:
        nonlocal refused
        if not refused and service.count("upload_chunk") == 1:
            refused = True
            return answer(status="413 Too Large")
        return None

    service.hooks["upload_chunk"] = refuse
    async with cloud(service.url, chunk_size="auto", max_workers=1) as client:
        size = client._runtime.pool.tuner.chunk_size
        receipt = await in_time(client.upload(content(size), NAME, file_type="mp4"), 20)
    assert bytes(service.files[receipt.file_id]) == content(size)
    assert service.count("upload_chunk") > 2


@pytest.mark.parametrize("chunk_size", ["auto", 64 * 1024])
async def test_a_proxy_that_takes_none_is_told(service: Service, chunk_size: Any) -> None:
    service.hooks["upload_chunk"] = too_large(0)
    async with cloud(service.url, chunk_size=chunk_size, max_workers=2) as client:
        with pytest.raises(UploadError, match="set a smaller chunk_size") as caught:
            await in_time(client.upload(content(3 << 20), NAME, file_type="mp4"), 20)
    assert not caught.value.retryable
