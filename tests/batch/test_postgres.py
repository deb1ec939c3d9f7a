"""What a PostgreSQL server may do to a runner's connections."""

from __future__ import annotations

import asyncio
import struct

import pytest

from iqiyi_async import ConfigurationError
from iqiyi_async.batch import Batch
from iqiyi_async.batch.ledger.base import LedgerError, open_ledger

from .postgres import Postgres

asyncpg = pytest.importorskip("asyncpg")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


#: The greeting of a server that is shut down at that moment: its last message comes before anything was asked.
GREETING = (
    message(b"R", struct.pack(">I", 0))
    + message(b"S", b"server_version\015.0\0")
    + message(b"S", b"client_encoding\0UTF8\0")
    + message(b"K", struct.pack(">II", 1, 1))
    + message(b"Z", b"I")
    + message(b"E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0")
)


@pytest.mark.anyio
async def test_a_server_that_ends_while_it_greets_is_asked_again() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size, code = struct.unpack(">II", await reader.readexactly(8))
        if code == 80877103:  # Is there TLS? No.
            writer.write(b"N")
            (size,) = struct.unpack(">I", await reader.readexactly(4))
            await reader.readexactly(size - 4)
        else:
            await reader.readexactly(size - 8)
        writer.write(GREETING)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ledger = open_ledger(f"postgresql://u@127.0.0.1:{port}/d", "a")
    try:
        with pytest.raises(LedgerError):
            await ledger.open()
    finally:
        await ledger.aclose()
        server.close()
        await server.wait_closed()


@pytest.mark.anyio
async def test_what_waiting_does_not_mend_is_told_at_once(
    postgres: Postgres, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for url in (postgres.url_of("missing"), postgres.url_of("postgres", "nobody")):
        with pytest.raises(LedgerError, match="does not exist; check the user, password and database") as caught:
            async with asyncio.timeout(5), Batch(None, url, name=name):
                pass
        assert caught.value.lasting
    assert not caplog.records


@pytest.mark.anyio
async def test_a_server_that_is_away_is_waited_for_and_told_of_once(
    postgres: Postgres, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(LedgerError, match="can't be reached"):
        async with Batch(None, "postgresql://u@127.0.0.1:1/d", name=name, ledger_patience=0.5):
            pass
    assert [each.levelname for each in caplog.records] == ["WARNING"]


@pytest.mark.anyio
async def test_tables_of_another_release_are_told_at_once(postgres: Postgres, name: str) -> None:
    async with Batch(None, postgres.url, name=name) as batch:
        await batch.status()
    await asyncio.to_thread(postgres.sql, "ALTER TABLE iqiyi_batch_item RENAME hint TO advice")
    try:
        with pytest.raises(ConfigurationError, match=r'another release of iqiyi-async \(column "hint"'):
            async with asyncio.timeout(5), Batch(None, postgres.url, name=name):
                pass
    finally:
        await asyncio.to_thread(postgres.sql, "ALTER TABLE iqiyi_batch_item RENAME advice TO hint")


@pytest.mark.anyio
async def test_a_slot_that_another_runner_takes_at_the_same_moment(postgres: Postgres, name: str) -> None:
    ledger = open_ledger(postgres.url, name)
    await ledger.open()
    connection = await asyncpg.connect(postgres.url)
    number = await connection.fetchval("SELECT id FROM iqiyi_batch WHERE name = $1", name)
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO iqiyi_batch_slot (batch, k, fence, expires, taken, renewed)"
            " VALUES ($1, 1, 1, now() + interval '1 minute', now(), now())",
            number,
        )
        taking = asyncio.create_task(ledger.take_slot(60.0))
        await asyncio.sleep(0.3)
        assert not taking.done()
    assert (await taking)[0] == 2
    await connection.close()
    await ledger.aclose()


@pytest.mark.anyio
async def test_a_batch_that_was_removed_ends_its_runners(postgres: Postgres, name: str) -> None:
    ledger = open_ledger(postgres.url, name)
    await ledger.open()
    await asyncio.to_thread(postgres.sql, f"DELETE FROM iqiyi_batch WHERE name = '{name}'")
    outlook, status = await ledger.outlook(), await ledger.status()
    assert outlook.stopping
    assert outlook.problem == status.problem == "the ledger was replaced"
    await ledger.aclose()
