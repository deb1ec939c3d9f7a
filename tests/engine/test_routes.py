"""An upload whose address is unreachable goes on at a fallback of the endpoints, under the same file_id."""

from __future__ import annotations

import socket

import pytest

from iqiyi_async import AsyncVideoCloud, Endpoints, UploadOptions

from .servers import Asked, Service, ok
from .tools import KEY, NAME, QUICK, SECRET, content, in_time

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
