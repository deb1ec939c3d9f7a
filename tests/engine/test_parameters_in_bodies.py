"""``parameters="body"``: the whole journey without a header that has an underscore, also through a real nginx."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from iqiyi_async import Metadata, UploadError, VideoCloudError, VideoState
from iqiyi_async.emulator import EmulatorConfig, ThreadedEmulatorServer

from .servers import Asked, Service, answer
from .tools import NAME, cloud, content, in_time

pytestmark = pytest.mark.anyio

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")

#: Nothing but where it listens and whom it stands before: everything else is nginx's default.
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {upstream}; }} }}
}}
"""


async def test_no_header_has_an_underscore(service: Service) -> None:
    """Request, ranges, finish and cancel."""

    async def ticket(asked: Asked) -> bytes:
        assert (asked.method, asked.target) == ("POST", "/openupload?type=body")
        asked.headers["filesize"] = asked.fields["filesize"]
        return service.usual(asked)

    async def finish_or_range(asked: Asked) -> bytes | None:
        return answer({"code": "A00000"}) if "range_finished" in asked.fields else None

    service.hooks |= {"request_upload": ticket, "upload_chunk": finish_or_range}
    async with cloud(service.url, parameters="body") as client:
        receipt = await in_time(client.upload(content(200_000), NAME, file_type="mp4"))
        await client.cancel_upload(receipt.file_id)
        given = await client.request_upload("mp4", 5)
        await client.upload_chunk(given, 0, b"abcde")
    assert bytes(service.files[receipt.file_id]) == content(200_000)
    asked = service.calls("request_upload", "upload_chunk", "finish_upload", "cancel_upload")
    finish = [each for each in asked if each.operation == "upload_chunk" and "range_finished" in each.fields]
    assert [each.fields["file_id"] for each in finish] == [receipt.file_id]
    for each in asked:
        assert not [name for name in each.headers if "_" in name], each
        assert "access" not in each.target


async def test_the_journey_at_the_emulator(emulator: ThreadedEmulatorServer) -> None:
    await whole_journey(emulator.endpoint_url)


async def test_an_upload_that_fails_is_cancelled_in_the_body_too(emulator: ThreadedEmulatorServer) -> None:
    async with cloud(emulator.endpoint_url, parameters="body", on_failure="cancel") as client:
        with pytest.raises(UploadError) as caught:
            await in_time(client.upload(broken(), NAME, file_type="mp4", size=100_000))
        assert caught.value.file_id
        assert (await client.get_status(caught.value.file_id)).state is VideoState.CANCELLED


async def broken() -> AsyncIterator[bytes]:
    yield bytes(70_000)
    raise UploadError("the disk is gone")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[str]:
    """An emulator behind nginx: the address of nginx."""
    if NGINX is None:
        pytest.skip("there is no nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0, public_url=url)) as server:
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=tmp_path, port=port, upstream=server.endpoint_url))
        command = [NGINX, "-c", str(configuration), "-e", str(tmp_path / "error.log"), "-p", str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
        try:
            for _ in range(200):
                with socket.socket() as look:
                    if look.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (tmp_path / "error.log").read_text()
                time.sleep(0.02)
            yield url
        finally:
            process.terminate()
            process.wait(10)


async def whole_journey(client_url: str) -> None:
    async with cloud(client_url, parameters="body") as client:
        receipt = await in_time(client.upload(content(200_000), Metadata("Holiday"), file_type="mp4"), 30)
        status = await in_time(client.wait_until_published(receipt.file_id), 30)
        assert status.state is VideoState.PUBLISHED
        assert [video.size async for video in client.iter_videos([receipt.file_id])] == [200_000]
        ticket = await client.request_upload("mp4", 5)
        await client.upload_chunk(ticket, 0, b"abcde")
        await client.cancel_upload(ticket.file_id)
        assert (await client.get_status(ticket.file_id)).state is VideoState.CANCELLED


async def test_the_journey_through_nginx(nginx: str) -> None:
    await whole_journey(nginx)


async def test_headers_are_lost_at_nginx(nginx: str) -> None:
    """Why there is the option: the token's own header is one that nginx drops."""
    async with cloud(nginx) as client:
        with pytest.raises(VideoCloudError):
            await in_time(client.upload(b"x", NAME, file_type="mp4"), 30)


async def test_a_transport_that_is_given(service: Service) -> None:
    """It sees the form as a body of known length, with the token in it."""
    seen: list[httpx.Request] = []

    class Noting(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self.inner = httpx.AsyncHTTPTransport()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return await self.inner.handle_async_request(request)

    async def cancelled(asked: Asked) -> bytes:
        assert asked.fields == {"status": "2", "access_token": "access-1", "file_id": "f"}
        return answer({"code": "A00000"})

    service.hooks["cancel_upload"] = cancelled
    transport = Noting()
    async with transport.inner, cloud(service.url, parameters="body", transport=transport) as client:
        await client.cancel_upload("f")
    assert "access-1" not in repr(seen) + "".join(str(each.url) for each in seen[1:])
