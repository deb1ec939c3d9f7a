"""A small client of tus 1.0.0: as much as the tests need, and every header in sight."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

VERSION = {"Tus-Resumable": "1.0.0"}
BODY = {"Content-Type": "application/offset+octet-stream"}


def encoded(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


class Tus:
    """Talks to a gateway."""

    def __init__(self, endpoint: str, headers: Mapping[str, str] | None = None) -> None:
        self.endpoint = endpoint
        self.http = httpx.AsyncClient(headers=dict(headers or {}), timeout=30, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def request(self, method: str, url: str, content: Any = None, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, url, content=content, headers={**VERSION, **given})

    async def create(self, size: int | None, name: str = "film.mp4", **headers: str) -> httpx.Response:
        length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(
            self.endpoint, headers={**VERSION, **length, "Upload-Metadata": encoded(filename=name), **given}
        )

    async def new(self, size: int | None, name: str = "film.mp4", **headers: str) -> str:
        """A new upload: its URL."""
        answer = await self.create(size, name, **headers)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    async def patch(self, url: str, offset: int, content: Any, **headers: str) -> httpx.Response:
        return await self.request("PATCH", url, content, **{**BODY, "Upload-Offset": str(offset), **headers})

    async def head(self, url: str, **headers: str) -> httpx.Response:
        return await self.request("HEAD", url, **headers)

    async def offset(self, url: str) -> int:
        answer = await self.head(url)
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["Upload-Offset"])

    async def send_all(self, url: str, data: bytes, *, chunk: int | None = None, tries: int = 40) -> httpx.Response:
        """As a browser does: PATCH, and after anything that can be gone on with HEAD and PATCH again."""
        answer: httpx.Response | None = None
        for _ in range(tries):
            offset = await self._where(url)
            if offset == len(data):
                return answer if answer is not None else await self.head(url)
            if offset is not None:
                piece = data[offset:] if chunk is None else data[offset : offset + chunk]
                try:
                    answer = await self.patch(url, offset, piece)
                except httpx.TransportError:
                    pass
                else:
                    assert answer.status_code in (204, 409, 423) or answer.status_code >= 500, answer.text
            if answer is None or answer.status_code != 204:
                await asyncio.sleep(0.1)
        raise AssertionError(f"not at its end after {tries} tries")

    async def _where(self, url: str) -> int | None:
        try:
            answer = await self.head(url)
        except httpx.TransportError:
            return None
        if answer.status_code == 200:
            return int(answer.headers["Upload-Offset"])
        assert answer.status_code == 423 or answer.status_code >= 500, answer.status_code
        return None

    async def begin_patch(self, url: str, offset: int, length: int, **headers: str) -> Raw:
        """A PATCH whose body is written by hand."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        lines = {
            "Host": parts.netloc,
            **VERSION,
            **BODY,
            "Upload-Offset": str(offset),
            "Content-Length": str(length),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"PATCH {parts.path} HTTP/1.1\r\n{head}\r\n".encode())
        await writer.drain()
        return Raw(reader, writer)

    async def events(self, url: str, **headers: str) -> AsyncIterator[str]:
        async with self.http.stream("GET", f"{url}/events", headers=headers) as answer:
            assert answer.status_code == 200, answer.status_code
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield line.removeprefix("data: ")


class Raw:
    """A request under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self) -> int:
        line = await self.reader.readline()
        return int(line.split()[1]) if line else 0

    def cut(self) -> None:
        """As a dead link: no more bytes, and an abrupt end."""
        self.writer.transport.abort()

    async def aclose(self) -> None:
        self.writer.close()
