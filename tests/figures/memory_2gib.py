"""How much memory an upload takes: a sparse file of 2 GiB, eight workers, chunks of 4 MiB.

    python tests/figures/memory_2gib.py [--size BYTES] [--kind path|stream] [--json]

The service is a process of its own, which keeps nothing of what it is sent but the MD5 and a count. Printed are the
growth of this process's peak memory over what it had after a small upload, how many chunks were under way at once, and
over how many connections they came.
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

# Behind everything else: a package that is installed is what is measured.
sys.path.append(str(Path(__file__).parents[2]))

from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, UploadOptions

MIB = 1024 * 1024
WORKERS, CHUNK = 8, 4 * MIB


class Sink:
    """A service that counts."""

    def __init__(self) -> None:
        self.under_way = self.most = self.received = 0
        self.connections: set[object] = set()
        self.all_at_work = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = {name.lower(): value for name, value in re.findall(r"^([\w-]+): (.*)\r$", head, re.MULTILINE)}
                reply = json.dumps(await self._answer(head.split(" ")[1], fields, reader, writer)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(reply), reply))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up
        finally:
            writer.close()

    async def _answer(
        self, target: str, fields: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> dict[str, Any]:
        if target.startswith("/api/iqiyi/authorize"):
            return {"code": "A00000", "data": {"access_token": "t", "expires_in": 3600, "refresh_token": "r"}}
        if target == "/openupload":
            return {"code": "A00000", "data": {"upload_url": f"http://{fields['host']}/upload", "file_id": "f"}}
        if target == "/counts":
            counts = {"most": self.most, "connections": len(self.connections), "received": self.received}
            self.most = self.received = 0
            self.connections.clear()
            return counts
        if target != "/upload":
            return {"code": "A00000"}
        self.connections.add(writer)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == WORKERS:
            self.all_at_work.set()
        try:
            answer = await self._chunk(fields, reader)
            if int(fields["file_size"]) >= WORKERS * CHUNK:
                # Otherwise a quick client is done with one chunk before it has begun the eighth.
                await self.all_at_work.wait()
            return answer
        finally:
            self.under_way -= 1

    async def _chunk(self, fields: dict[str, str], reader: asyncio.StreamReader) -> dict[str, Any]:
        before = len(await reader.readuntil(b"\r\n\r\n"))
        first, last = map(int, fields["range"].split("-"))
        left = size = last - first + 1
        digest = hashlib.md5(usedforsecurity=False)
        while left:
            piece = await reader.read(min(left, MIB))
            if not piece:
                raise ConnectionError
            digest.update(piece)
            left -= len(piece)
        await reader.readexactly(int(fields["content-length"]) - before - size)
        self.received += size
        return {"code": "A00000", "range_md5": digest.hexdigest(), "file_range_accepted": size, "file_id": "f"}


async def serve() -> None:
    """Run the service until the standard input ends."""
    server = await asyncio.start_server(Sink().accept, "127.0.0.1", 0, limit=4 * MIB)
    async with server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _memory(field: str) -> int:
    """VmRSS, the memory of this moment, or VmHWM, the most it ever was, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def _counts(url: str) -> dict[str, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"GET /counts HTTP/1.1\r\nhost: a\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"Length: (\d+)", head)
    assert found is not None
    counts: dict[str, int] = json.loads(await reader.readexactly(int(found[1])))
    writer.close()
    return counts


async def _stream(size: int) -> AsyncIterator[bytes]:
    piece = bytes(MIB)
    for start in range(0, size, MIB):
        yield piece[: size - start]


async def measure(size: int, kind: str) -> dict[str, Any]:
    """Upload so many bytes and tell what it took."""
    command = [sys.executable, str(Path(__file__)), "--serve"]
    server = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    url = (await server.stdout.readline()).decode().strip()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with path.open("wb") as file:
            file.truncate(size)
        options = UploadOptions(max_workers=WORKERS, chunk_size=CHUNK)
        async with AsyncVideoCloud("key", "secret", endpoints=Endpoints.single(url), options=options) as client:
            await client.upload(b"warm", Metadata("Warm"), file_type="mp4")
            await _counts(url)
            before, began = _memory("VmRSS"), time.perf_counter()
            source: Any = path if kind == "path" else _stream(size)
            receipt = await client.upload(source, Metadata("Film"), file_type="mp4", size=size)
            seconds = time.perf_counter() - began
        counts = await _counts(url)
    server.stdin.close()
    await server.wait()
    assert counts["received"] == size
    assert receipt.chunks == -(-size // CHUNK)
    return {
        "size": size,
        "growth": _memory("VmHWM") - before,
        "chunks_at_once": counts["most"],
        "connections": counts["connections"],
        "seconds": round(seconds, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048 * MIB)
    parser.add_argument("--kind", choices=["path", "stream"], default="path")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    found = asyncio.run(measure(arguments.size, arguments.kind))
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['size'] / MIB:.0f} MiB from a {arguments.kind}, {WORKERS} workers, chunks of {CHUNK // MIB} MiB:")
    print(f"  memory grew by {found['growth'] / MIB:.1f} MiB (at most 64 are allowed)")
    print(f"  {found['chunks_at_once']} chunks at once at most, over {found['connections']} connections")
    print(f"  {found['seconds']} s, {found['size'] / MIB / found['seconds']:.0f} MiB/s")


if __name__ == "__main__":
    main()
