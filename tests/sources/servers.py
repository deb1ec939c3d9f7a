"""Servers that hand out a file: nginx, and ones that do it wrongly in a way that the test chooses."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import attrs
import pytest

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(folder: Path, files: Path, extra: str = "") -> Iterator[str]:
    """A real nginx that serves a folder; its URL, without a slash at the end."""
    if NGINX is None:
        pytest.skip("no nginx here")
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Started by root it would give up what it needs to read the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;"
        f"events {{}} http {{ access_log {folder}/access.log; {temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {files}; {extra} }} }}"
    )
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "log")])
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "nginx did not start"
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@attrs.frozen
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def range(self) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"])
        assert found is not None
        return int(found[1]), int(found[2])


#: Gives the whole answer, head and body; the connection is closed after one that is shorter than it says. An empty
#: one is not given at all.
Handler = Callable[[Asked], bytes]


def answer(status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def part(asked: Asked, data: bytes, **headers: str) -> bytes:
    """What a server that works would answer."""
    first, last = asked.range
    last = min(last, len(data) - 1)
    return answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)


@attrs.define
class FileServer:
    """A server that answers as a function says."""

    handler: Handler
    url: str = ""
    asked: list[Asked] = attrs.field(factory=list)
    connections: int = 0
    open: set[asyncio.StreamWriter] = attrs.field(factory=set)
    closed: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                method, target, _ = first.split(" ")
                pairs = (line.partition(":") for line in lines)
                asked = Asked(method, target, {name.lower(): value.strip() for name, _, value in pairs})
                self.asked.append(asked)
                reply = self.handler(asked)
                if not reply:
                    # No answer, and no end either.
                    continue
                writer.write(reply)
                await writer.drain()
                length = int(re.search(rb"Content-Length: (\d+)", reply)[1])  # type: ignore[index]
                if len(reply.partition(b"\r\n\r\n")[2]) < length:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self.open.discard(writer)
            if not self.open:
                self.closed.set()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[FileServer, None]:
    """A server for the length of a block."""
    made = FileServer(handler)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for writer in made.open:
            writer.close()
        if made.open:
            made.closed.clear()
            await made.closed.wait()
        await server.wait_closed()
