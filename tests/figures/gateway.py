"""What the gateway costs: its rate beside a handler that passes a body on, its memory and the event loop's lag.

    python tests/figures/gateway.py [--size BYTES] [--rounds 3] [--clients 100] [--json]

Three processes: a service that keeps nothing but MD5s, one worker of a web server with the gateway and with a Starlette
handler that gives `request.stream()` to `upload`, and this one, which sends.

- One client sends the same bytes to both, in turn: the ratio of the rates (the goal is 0.8).
- 100 clients send 64 MiB each, at once: growth of the worker's memory (the goal: the buffers and 64 MiB), and how
  late its event loop was (the goal: 10 ms at the 99th percentile).
- A small upload beside 200 clients that send 1 KiB a second, to the same one alone (the goal is 1.5).
"""

# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

# Behind everything else: a package that is installed is what is measured.
sys.path.append(str(Path(__file__).parents[2]))

from iqiyi_async import AsyncVideoCloud, Endpoints, Metadata, SqliteJournal, UploadOptions
from iqiyi_async.web import BrowserUpload, TusGateway, UploadGrant
from tests.figures.memory_2gib import Sink

KIB, MIB = 1024, 1024 * 1024
WORKERS, CHUNK = 8, 4 * MIB
BUFFERS = 2 * WORKERS * CHUNK
HEADERS = "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"


async def serve_sink() -> None:
    """Run the service until the standard input ends."""

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        sink = Sink()
        sink.all_at_work.set()
        return sink.accept(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=4 * MIB)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def serve_worker(service: str, folder: str) -> None:
    """Run the web server until it is terminated."""
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Mount, Route

    lags: list[float] = []

    async def look_at_the_loop() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - began - 0.005)

    async def figures(request: Request) -> Response:
        found = {"peak": memory("VmHWM"), "now": memory("VmRSS"), "lag": quantile(lags, 0.99)}
        lags.clear()
        Path("/proc/self/clear_refs").write_text("5")
        return JSONResponse(found)

    async def on_create(request: Request, upload: BrowserUpload) -> UploadGrant:
        return UploadGrant(Metadata("Film"), group=upload.id)

    async def direct(request: Request) -> Response:
        size = int(request.headers["content-length"])
        await cloud.upload(request.stream(), Metadata("Film"), file_type="mp4", size=size, key=os.urandom(8).hex())
        return Response(status_code=204)

    options = UploadOptions(max_workers=WORKERS, chunk_size=CHUNK)
    journal = SqliteJournal(Path(folder) / "uploads.db")
    cloud = AsyncVideoCloud("key", "secret", endpoints=Endpoints.single(service), options=options, journal=journal)
    async with cloud:
        gateway = TusGateway(cloud, on_create=on_create)
        routes = [Mount("/uploads", gateway), Route("/direct", direct, methods=["POST"]), Route("/figures", figures)]
        app = Starlette(routes=routes)
        looking = asyncio.create_task(look_at_the_loop())
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        print(listener.getsockname()[1], flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=5))
        await server.serve([listener])
        looking.cancel()
        await gateway.aclose()
    await journal.aclose()


def memory(field: str) -> int:
    """VmRSS, the memory of this moment, or VmHWM, the most since it was last asked, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def quantile(values: list[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[int]:
    """One of the other processes: its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()


class Sender:
    """Sends to the worker, as a browser does."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def request(self, head: str, size: int, *, rate: int | None = None) -> bytes:
        """One request with a body of so many bytes: the head of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{head}Host: a\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
        piece = bytes(256 * KIB if rate is None else rate)
        left = size
        try:
            while left:
                writer.write(piece[:left])
                left -= min(left, len(piece))
                await (writer.drain() if rate is None else asyncio.sleep(1))
            answer = await reader.readuntil(b"\r\n\r\n")
            body = await reader.read()
        finally:
            writer.transport.abort()
        assert b" 20" in answer.split(b"\r\n")[0], answer + body
        return answer + body

    async def create(self, size: int) -> str:
        """A new upload: its path."""
        head = f"POST /uploads/ HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: {size}\r\n"
        found = re.search(rb"(?i)location: http://a(\S+)", await self.request(head, 0))
        assert found is not None
        return found[1].decode()

    async def tus(self, size: int, *, rate: int | None = None) -> float:
        """Upload so many bytes through the gateway: the seconds that it took."""
        began = time.perf_counter()
        path = await self.create(size)
        await self.request(f"PATCH {path} HTTP/1.1\r\n{HEADERS}", size, rate=rate)
        return time.perf_counter() - began

    async def direct(self, size: int) -> float:
        """The same to the handler."""
        began = time.perf_counter()
        await self.request("POST /direct HTTP/1.1\r\n", size)
        return time.perf_counter() - began

    async def figures(self) -> dict[str, Any]:
        """Of the worker, since it was asked last."""
        answer = await self.request("GET /figures HTTP/1.1\r\n", 0)
        return json.loads(answer.partition(b"\r\n\r\n")[2])


async def measure(size: int, rounds: int, clients: int, each: int) -> dict[str, Any]:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder:
        async with program("--sink") as service, program("--worker", f"http://127.0.0.1:{service}", folder) as port:
            sender = Sender(port)
            await sender.direct(MIB)
            await sender.tus(MIB)
            pairs = [(await sender.direct(size), await sender.tus(size)) for _ in range(rounds)]
            before = await sender.figures()
            await asyncio.gather(*(sender.tus(each) for _ in range(clients)))
            crowd = await sender.figures()
            alone = statistics.median([await sender.tus(MIB) for _ in range(9)])
            slow = [asyncio.create_task(sender.tus(MIB, rate=KIB)) for _ in range(2 * clients)]
            await asyncio.sleep(5)
            beside = statistics.median([await sender.tus(MIB) for _ in range(9)])
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
    return {
        "size": size,
        "direct_mib_s": round(size / MIB / min(one for one, _ in pairs), 1),
        "gateway_mib_s": round(size / MIB / min(other for _, other in pairs), 1),
        "ratio": round(statistics.median(one / other for one, other in pairs), 3),
        "clients": clients,
        "growth_mib": round((crowd["peak"] - before["now"]) / MIB, 1),
        "buffers_mib": BUFFERS // MIB,
        "lag_p99_ms": round(crowd["lag"] * 1000, 2),
        "small_alone_ms": round(alone * 1000, 1),
        "small_beside_slow_ms": round(beside * 1000, 1),
        "small_ratio": round(beside / alone, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024 * MIB)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--each", type=int, default=64 * MIB)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sink", action="store_true")
    parser.add_argument("--worker", nargs=2)
    arguments = parser.parse_args()
    if arguments.sink:
        asyncio.run(serve_sink())
    elif arguments.worker:
        asyncio.run(serve_worker(*arguments.worker))
    else:
        found = asyncio.run(measure(arguments.size, arguments.rounds, arguments.clients, arguments.each))
        print(json.dumps(found, indent=None if arguments.json else 2))


if __name__ == "__main__":
    main()
