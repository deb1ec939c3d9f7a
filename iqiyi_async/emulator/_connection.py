"""One HTTP/1.1 connection of the server, which the application can see and close: the seam to uvicorn's protocol."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

logger: logging.Logger = logging.getLogger(__name__)
# A client that goes away in the middle, or a fault that makes the server do so, is what the emulator is for.
logger.addFilter(lambda record: "without completing response" not in str(record.msg))


class LoopbackConnection(H11Protocol):
    """One connection, which the application can see and close."""

    def __init__(self, config: Config, state: ServerState, number: int, registry: set[LoopbackConnection]) -> None:
        super().__init__(config, state, {"connection": self}, asyncio.get_running_loop())
        self._registry = registry
        self.number = number
        self._stopping = False
        # uvicorn's access log would print query strings, and with them tokens.
        self.access_log = False
        self.logger = logger

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The server lists it from here on."""
        super().connection_made(transport)
        self._registry.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server lists it no more."""
        super().connection_lost(exc)
        self._registry.discard(self)

    @property
    def stopping(self) -> bool:
        """Whether the server closes it."""
        return self._stopping

    def stop(self) -> None:
        """Close it because the server closes."""
        self._stopping = True
        self.sever(flush=False)

    @property
    def gone(self) -> bool:
        """Whether it is closed, or about to be."""
        return self.transport.is_closing()

    def sever(self, *, flush: bool) -> None:
        """Close the connection: at once, or after what was sent so far."""
        if flush:
            self.transport.close()
        else:
            self.transport.abort()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that closed its sending side behind a whole request still gets its answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP/1.1, or has endless headers, in JSON as everything else."""
        text = json.dumps({"code": "Q00001", "msg": f"{msg} It is malformed, or its headers are too long."}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        headers.append((b"content-length", str(len(text)).encode()))
        events: list[Any] = [h11.Response(status_code=400, headers=headers), h11.Data(text), h11.EndOfMessage()]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in events:
                self.transport.write(self.conn.send(event) or b"")  # pyright: ignore[reportUnknownArgumentType]
        self.transport.close()
