"""TLS over a connection that is made already, where an answer that has come is read even after a write has failed."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from .http11 import Http11, unread


async def start_tls(transport: asyncio.Transport, connection: Http11, context: ssl.SSLContext, host: str) -> None:
    """Make a plain connection a connection with TLS.

    Args:
        transport: the plain connection; it is closed if this fails.
        connection: gets what is decrypted.
        context: what to trust.
        host: whose certificate it has to be.

    Raises:
        OSError: the handshake failed.
    """
    loop = asyncio.get_running_loop()
    encrypted = await loop.start_tls(transport, connection, context, server_hostname=host)
    if encrypted is None:
        raise ConnectionResetError("the connection was lost at the end of the handshake")
    connection.connection_made(encrypted)
    decoder = transport.get_protocol()
    # Not by its class: that of uvloop is no subclass.
    if hasattr(decoder, "buffer_updated"):
        transport.set_protocol(_LastWords(transport, cast("asyncio.BufferedProtocol", decoder), connection))


class _LastWords(asyncio.BufferedProtocol):
    """Between a socket and what decrypts its bytes: when a write fails, event loops drop what was received and not read
    yet, and with it the answer of a server that refuses a body and closes.

    Args:
        transport: the plain connection.
        decoder: what decrypts.
        connection: gets what is decrypted.
    """

    def __init__(self, transport: asyncio.Transport, decoder: asyncio.BufferedProtocol, connection: Http11) -> None:
        self._transport = transport
        self._decoder = decoder
        self._connection = connection

    def get_buffer(self, sizehint: int) -> memoryview:
        return cast("memoryview", self._decoder.get_buffer(sizehint))

    def buffer_updated(self, nbytes: int) -> None:
        self._decoder.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        keep_open = self._decoder.eof_received()
        # uvloop passes no end on that TLS has not announced, and many servers announce none.
        self._connection.eof_received()
        return keep_open

    def pause_writing(self) -> None:
        self._decoder.pause_writing()

    def resume_writing(self) -> None:
        self._decoder.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not isinstance(exc, ssl.SSLError):
            for data in filter(None, unread(self._transport)):
                self.get_buffer(len(data))[: len(data)] = data
                self.buffer_updated(len(data))
        self._decoder.connection_lost(exc)
