"""Dead links, newcomers, full memory, shut-downs: an upload goes on, from any request and any worker."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import pytest

from iqiyi_async import SqliteJournal
from iqiyi_async.emulator import Fault, FaultPlan
from iqiyi_async.web import TusGateway

from ..engine.tools import cloud, content, until
from .conftest import Gateways, grant, served
from .test_gateway import FILM, SIZE, stored
from .tus import BODY, VERSION, Tus

pytestmark = pytest.mark.anyio


def chunks(gateways: Gateways) -> list[tuple[Any, Any]]:
    """The ranges that the service was sent."""
    return [(each.first, each.last) for each in gateways.emulator.history if each.operation == "upload_chunk"]


async def test_what_came_before_a_dead_link_counts(gateways: Gateways) -> None:
    tus = await gateways(chunk_size=100_000)
    url = await tus.new(SIZE)
    raw = await tus.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:123_457])
    await until(lambda: len(chunks(gateways)) == 1)
    raw.cut()
    await until(lambda: len(chunks(gateways)) == 2)
    assert await tus.offset(url) == 123_457
    assert chunks(gateways)[1] == (100_000, 123_456)
    assert (await tus.patch(url, 123_457, FILM[123_457:])).status_code == 204
    assert stored(gateways) == [FILM]


async def test_a_body_that_was_to_be_checked_counts_whole_or_not(gateways: Gateways) -> None:
    tus = await gateways(chunk_size=100_000)
    url = await tus.new(SIZE)
    digest = base64.b64encode(hashlib.sha1(FILM).digest()).decode()
    raw = await tus.begin_patch(url, 0, SIZE, Upload_Checksum=f"sha1 {digest}")
    await raw.send(FILM[:150_000])
    await until(lambda: len(chunks(gateways)) == 1)
    raw.cut()
    assert await tus.offset(url) == 0
    assert (await tus.patch(url, 0, FILM, Upload_Checksum=f"sha1 {digest}")).status_code == 204
    assert stored(gateways) == [FILM]


@pytest.mark.parametrize("how", ["HEAD", "PATCH", "DELETE"])
async def test_a_newcomer_interrupts(gateways: Gateways, how: str) -> None:
    tus = await gateways(chunk_size=100_000)
    url = await tus.new(SIZE)
    raw = await tus.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:150_000])
    await until(lambda: len(chunks(gateways)) == 1)
    async with asyncio.timeout(1):
        if how == "HEAD":
            assert await tus.offset(url) == 150_000
        elif how == "PATCH":
            assert (await tus.patch(url, 150_000, FILM[150_000:])).status_code == 204
        else:
            assert (await tus.request("DELETE", url)).status_code == 204
    assert await raw.status() == 423
    await raw.aclose()
    if how == "HEAD":
        await tus.send_all(url, FILM)
    if how != "DELETE":
        assert stored(gateways) == [FILM]


async def test_a_newcomer_at_another_worker_interrupts(gateways: Gateways) -> None:
    one = await gateways(journal=SqliteJournal(gateways.folder / "uploads.db"), chunk_size=100_000)
    other = await gateways(journal=SqliteJournal(gateways.folder / "uploads.db"), chunk_size=100_000)
    url = await one.new(SIZE)
    there = other.endpoint + url[-32:]
    raw = await one.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:150_000])
    await until(lambda: len(chunks(gateways)) == 1)
    async with asyncio.timeout(1.7):
        assert await other.offset(there) == 150_000
    assert await raw.status() == 423
    await raw.aclose()
    assert (await other.patch(there, 150_000, FILM[150_000:])).status_code == 204
    assert await one.offset(url) == SIZE
    assert stored(gateways) == [FILM]


async def test_two_bodies_at_once_are_never_mixed(gateways: Gateways) -> None:
    tus = await gateways(chunk_size=50_000)
    url = await tus.new(SIZE)
    answers = await asyncio.gather(*(tus.patch(url, 0, FILM) for _ in range(4)))
    assert {each.status_code for each in answers} <= {204, 409, 423}
    await tus.send_all(url, FILM)
    assert stored(gateways) == [FILM]


async def test_a_range_that_takes_long_is_waited_for_and_then_locked(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    gateways.emulator.use_faults(FaultPlan((Fault(operation="upload_chunk", call=1, delay=12.0),)))
    sending = asyncio.create_task(tus.patch(url, 0, FILM))
    await until(lambda: len(chunks(gateways)) > 0)
    answer = await tus.head(url)
    assert (answer.status_code, "Retry-After" in answer.headers) == (423, True)
    assert (await sending).status_code == 204


async def test_nothing_is_received_while_there_is_no_memory(gateways: Gateways) -> None:
    """The service takes nothing: of a body only so much is received as there is room for."""
    size = 8 * 2**20
    await gateways(chunk_size=64 * 1024, max_workers=2, max_waiting_buffers=1, stall_timeout=30)
    gateways.emulator.use_faults(FaultPlan((Fault(operation="upload_chunk", delay=1.0, times=3, probability=1.0),)))
    piece = content(64 * 1024)
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += len(piece)
        return {"type": "http.request", "body": piece, "more_body": received < size}

    answered: list[Any] = []

    async def send(message: Any) -> None:
        answered.append(message)

    async def ask(method: str, path: str, headers: dict[str, str]) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in {**VERSION, **headers}.items()]
        scope = {
            "type": "http", "method": method, "path": path, "headers": raw, "query_string": b"", "root_path": "",
            "scheme": "http", "server": ("test", 80), "http_version": "1.1",
        }  # fmt: skip
        await gateways.gateway(scope, receive, send)

    await ask("POST", "/", {"Upload-Length": str(size)})
    location = dict(answered[0]["headers"])[b"location"].decode()
    key = location[-32:]
    patching = asyncio.create_task(ask("PATCH", f"/{key}", {**BODY, "Upload-Offset": "0", "Content-Length": str(size)}))
    await until(lambda: received > 0)
    await asyncio.sleep(0.7)
    # Two workers and one waiting buffer, and no more than the piece that is at hand.
    assert received <= 3 * 64 * 1024
    await patching
    assert answered[2]["status"] == 204
    assert stored(gateways) == [piece * 128]


async def test_many_slow_browsers_share_little_memory(gateways: Gateways) -> None:
    tus = await gateways(chunk_size=64 * 1024, max_workers=1, max_waiting_buffers=1)
    urls = [await tus.new(50_000) for _ in range(30)]
    raws = [await tus.begin_patch(url, 0, 50_000) for url in urls]
    for raw in raws:
        await raw.send(FILM[:10_000])
    for raw in raws:
        await raw.send(FILM[10_000:50_000])
    for raw in raws:
        assert await raw.status() == 204
        await raw.aclose()
    assert stored(gateways) == [FILM[:50_000]] * 30


async def test_a_store_that_fails_is_503(gateways: Gateways) -> None:
    class Failing(SqliteJournal):
        down = False

        async def load_upload(self, key: str) -> Any:
            if self.down:
                raise OSError(28, "the disk is full")
            return await super().load_upload(key)

        async def record(self, key: str, fence: int, chunk: Any) -> bool:
            if self.down:
                raise OSError(28, "the disk is full")
            return await super().record(key, fence, chunk)

    journal = Failing(gateways.folder / "uploads.db")
    tus = await gateways(journal=journal)
    url = await tus.new(SIZE)
    raw = await tus.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:1000])
    await asyncio.sleep(0.1)
    journal.down = True
    await raw.send(FILM[1000:])
    assert await raw.status() == 503
    await raw.aclose()
    assert (await tus.head(url)).status_code == 503
    journal.down = False
    await tus.send_all(url, FILM)
    assert stored(gateways) == [FILM]


async def test_a_gateway_that_closes_lets_go(gateways: Gateways) -> None:
    journal = SqliteJournal(gateways.folder / "uploads.db")
    tus = await gateways(journal=journal)
    url = await tus.new(SIZE)
    raw = await tus.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:150_000])
    await until(lambda: len(chunks(gateways)) > 0)
    await gateways.gateway.aclose()
    assert await raw.status() == 503
    await raw.aclose()
    assert (await tus.head(url)).status_code == 503
    tus = await gateways(journal=journal)
    url = tus.endpoint + url[-32:]
    assert await tus.offset(url) == 150_000
    await tus.send_all(url, FILM)
    assert stored(gateways) == [FILM]


async def test_a_client_that_drains_ends_the_uploads_of_browsers(gateways: Gateways) -> None:
    tus = await gateways()
    url = await tus.new(SIZE)
    raw = await tus.begin_patch(url, 0, SIZE)
    await raw.send(FILM[:150_000])
    await until(lambda: len(chunks(gateways)) > 0)
    await gateways.client.drain(5)
    assert await raw.status() == 503
    await raw.aclose()
    assert (await tus.create(SIZE)).status_code == 503


async def test_without_a_journal_it_works_in_one_process(gateways: Gateways, caplog: pytest.LogCaptureFixture) -> None:
    async with cloud(gateways.emulator.endpoint_url) as client:
        gateway = TusGateway(lambda: client, on_create=grant)
        async with served(gateway) as url, Tus(f"{url}/") as tus:
            await tus.send_all(await tus.new(SIZE), FILM, chunk=100_000)
        await gateway.aclose()
    assert stored(gateways) == [FILM]
    assert "no journal" in caplog.text
