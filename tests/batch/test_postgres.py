"""What a PostgreSQL server may do to a runner's connections."""

from __future__ import annotations

import asyncio
import struct

import pytest

from iqiyi_async.batch.ledger import LedgerError, open_ledger

pytest.importorskip("asyncpg")


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
