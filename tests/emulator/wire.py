"""A client that knows no more than bytes: what is sent is written by hand, what comes back is taken apart here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import attrs


@attrs.frozen
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["code"]


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Read one answer; asyncio.IncompleteReadError if the connection ends before its end."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if head_only:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, await self._chunked())
        return Answer(status, headers, await self.reader.readexactly(int(headers.get("content-length", "0"))))

    async def _chunked(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()


@asynccontextmanager
async def wire(endpoint_url: str) -> AsyncIterator[Wire]:
    """A connection to this address."""
    parts = urlsplit(endpoint_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**22)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Return when this is so; what happens on the other side of a socket has no event on this one."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def ask(endpoint_url: str, data: bytes) -> Answer:
    """One request on a connection of its own."""
    async with wire(endpoint_url) as connection:
        return await connection.ask(data)


def get(target: str, **headers: str) -> bytes:
    """A GET request."""
    lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def post(target: str, body: bytes = b"", content_type: str = "", **headers: str) -> bytes:
    """A POST request."""
    lines = [f"POST {target} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def form(data: bytes, **fields: str) -> bytes:
    """A multipart body with the boundary `frontier`: fields, then the file."""
    parts = [
        f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="v.mp4"\r\n\r\n'
    return b"".join(parts) + head + data + b"\r\n--frontier--\r\n"


FORM = "multipart/form-data; boundary=frontier"
