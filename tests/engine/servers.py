"""A service in a few lines on a raw socket, whose every answer a test can replace, down to the byte.

What belongs here: what an emulator is too well-behaved for: half answers, early answers, floods, resets, and waiting
for an event of the test. What must not: the service's rules; the emulator has those.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import attrs

OPERATIONS = {
    "/openupload": "request_upload",
    "/upload": "upload_chunk",
    "/uploadfinish": "finish_upload",
    "/cancelupload": "cancel_upload",
    "/api/file/info": "set_metadata",
    "/api/iqiyi/authorize": "authorize",
    "/api/oauth2/token": "refresh_token",
    "/api/file/fullStatus": "get_status",
    "/api/file/videoListForExternal": "list_videos",
    "/api/file/urllist": "get_urls",
    "/api/file/delete": "delete_videos",
}


class Cut(Exception):  # noqa: N818 - an order, not an error
    """Close the connection instead of answering; with a reset if asked."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


@attrs.define(eq=False)
class Asked:
    """One request, as far as it was read."""

    operation: str
    method: str
    target: str
    headers: dict[str, str]
    raw_head: bytes = attrs.field(repr=False)
    connection: int
    body: bytes = attrs.field(default=b"", repr=False)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))

    @property
    def token(self) -> str | None:
        return self.headers.get("access_token") or self.query.get("access_token")

    @property
    def fields(self) -> dict[str, str]:
        """The form fields before the file part."""
        found = re.findall(rb'name="(\w+)"\r\n\r\n([^\r]*)\r\n', self.body[:2000])
        return {name.decode(): value.decode() for name, value in found}

    @property
    def data(self) -> bytes:
        """The bytes in the file part."""
        start = self.body.index(b"\r\n\r\n", self.body.index(b'name="file"')) + 4
        boundary = re.search("boundary=(.*)", self.headers["content-type"])
        assert boundary is not None
        return self.body[start : -len(f"\r\n--{boundary[1]}--\r\n")]


Hook = Callable[[Asked], Awaitable[bytes | None]]
Early = Callable[[Asked, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(fields: Any = None, *, status: str = "200 OK", headers: str = "", body: bytes | None = None) -> bytes:
    """A whole answer. `headers` are lines, each with its line end."""
    content = json.dumps(fields).encode() if body is None else body
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(content)}\r\n\r\n".encode() + content


def ok(**more: Any) -> bytes:
    return answer({"code": "A00000", **more})


class Service:
    """The service: what it holds, what it was asked, and the places where a test steps in.

    Attributes:
        hooks: by operation: called with the whole request; what it returns is the answer, None means the usual one.
        early: by operation: called when only the head has come, with the streams; the connection closes after it.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, upload_host: str | None = None) -> None:
        self.hooks: dict[str, Hook] = {}
        self.early: dict[str, Early] = {}
        self.asked: list[Asked] = []
        self.files: dict[str, bytearray] = {}
        self.states: dict[str, str] = {}
        self.tokens = 0
        self.lifetime: float = 3600
        self.connections = 0
        self.open: dict[asyncio.Task[None], asyncio.StreamReader] = {}
        self.in_flight: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._tls = tls
        self._upload_host = upload_host
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**20, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self.open):
            task.cancel()
        await asyncio.gather(*self.open, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def calls(self, *operations: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.operation in operations]

    def count(self, operation: str) -> int:
        return len(self.calls(operation))

    @property
    def published(self) -> list[str]:
        return [file_id for file_id, state in self.states.items() if state == "finished"]

    @property
    def alive(self) -> int:
        """How many connections the client has not closed yet, as far as the service has heard."""
        return sum(not reader.at_eof() and reader.exception() is None for reader in self.open.values())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open[task] = reader
        self.connections += 1
        try:
            await self._serve(reader, writer, self.connections)
        except Cut as cut:
            if cut.reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError):
                await writer.wait_closed()
            del self.open[task]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            asked = _parse(await reader.readuntil(b"\r\n\r\n"), number)
            self.asked.append(asked)
            self.in_flight[asked.operation] += 1
            self.most[asked.operation] = max(self.most[asked.operation], self.in_flight[asked.operation])
            try:
                if asked.operation in self.early:
                    await self.early[asked.operation](asked, reader, writer)
                    return
                asked.body = await reader.readexactly(asked.length)
                hook = self.hooks.get(asked.operation)
                reply = None if hook is None else await hook(asked)
                writer.write(self.usual(asked) if reply is None else reply)
            finally:
                self.in_flight[asked.operation] -= 1
            await writer.drain()

    def usual(self, asked: Asked) -> bytes:
        """What the service does when nobody steps in."""
        file_id = asked.headers.get("file_id") or asked.query.get("file_id") or ""
        match asked.operation:
            case "authorize":
                return ok(data=self.new_token())
            case "refresh_token":
                return answer(self.new_token())
            case "request_upload":
                file_id = f"file{len(self.files)}"
                self.files[file_id] = bytearray(int(asked.headers["filesize"]))
                self.states[file_id] = "uploading"
                host = self._upload_host or f"http://{asked.headers['host']}"
                return ok(data={"upload_url": f"{host}/upload", "file_id": file_id})
            case "upload_chunk":
                return self.store(asked)
            case "finish_upload" | "cancel_upload":
                self.states[file_id] = "finished" if asked.operation == "finish_upload" else "cancelled"
                return ok()
            case "get_status":
                codes = {"uploading": "A00004", "finished": "A00001", "cancelled": "A00006"}
                return answer({"code": codes.get(self.states.get(file_id, ""), "A00003"), "msg": ""})
            case _:
                return ok()

    def new_token(self) -> dict[str, Any]:
        self.tokens += 1
        return {
            "access_token": f"access-{self.tokens}",
            "expires_in": self.lifetime,
            "refresh_token": f"refresh-{self.tokens}",
        }

    def store(self, asked: Asked) -> bytes:
        """Take the bytes of a range, in whichever form they came."""
        named = {**asked.headers, **(asked.fields if "type=body" in asked.target else {})}
        data, (first, last) = asked.data, map(int, named["range"].split("-"))
        held = self.files[named["file_id"]]
        assert int(named["file_size"]) == len(held)
        assert last - first + 1 == len(data)
        held[first : last + 1] = data
        md5 = hashlib.md5(data).hexdigest()
        return ok(range_md5=md5, file_range_accepted=len(data), file_id=named["file_id"])


def _parse(head: bytes, number: int) -> Asked:
    lines = head.decode("ascii").split("\r\n")
    method, target, version = lines[0].split(" ")
    assert version == "HTTP/1.1"
    pairs = [line.split(": ", 1) for line in lines[1:] if line]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), "a header came twice"
    operation = OPERATIONS.get(unquote(urlsplit(target).path), "elsewhere")
    return Asked(operation, method, target, headers, head, number)
