"""A slow link on loopback: ``python -m benchmarks.link`` in a process of its own, between a client and the sink.

Every byte takes half a round trip each way; what goes up passes at no more than so many bytes a second for each
connection and for all of them together. A new connection passes nothing for one round trip, which is what its
handshake would take. There is no loss and no slow start: it is a clean long link, so that two runs over it are the
same.

It prints one JSON line when it listens, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

#: Bytes moved at once; at 2 MB/s they take 16 ms.
_PIECE = 32 * 1024

#: Bytes that the system may take in for us. A real link's far end is not in the same machine either, so what has been
#: accepted from the client must be little more than what is under way.
_RECEIVE_BUFFER = 256 * 1024

#: Seconds that a pace may catch up after the link lay idle or the timer fired late.
_CREDIT = 0.05


@dataclass(frozen=True)
class Link:
    """The properties of a link.

    Attributes:
        round_trip: seconds.
        per_connection: bytes a second that one connection can send up; 0 for no cap.
        in_all: bytes a second that all can send up together; 0 for no cap.
    """

    round_trip: float = 0.0
    per_connection: float = 0.0
    in_all: float = 0.0


class LatencyTracker:
    """A rate in bytes a second, kept by arithmetic and not by sleeping: a late timer costs nothing in the long
    run."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    def reserve(self, count: int, now: float) -> float:
        """When the last of `count` more bytes will have passed."""
        if not self._rate:
            return now
        self._free_at = max(self._free_at, now - _CREDIT) + count / self._rate
        return self._free_at


Reserve = Callable[[int, float], float]


class Proxy:
    """Passes connections on to one address."""

    def __init__(self, link: Link, host: str, port: int) -> None:
        self._link = link
        self._target = (host, port)
        self._all = LatencyTracker(link.in_all)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        # Accepted connections inherit it, and only so does it hold from the first byte.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def serve(self) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            task = loop.create_task(self._connection(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connection(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            for sock in (client, server):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.sleep(self._link.round_trip)
            own = LatencyTracker(self._link.per_connection)

            def reserve(count: int, now: float) -> float:
                return max(own.reserve(count, now), self._all.reserve(count, now))

            try:
                await asyncio.get_running_loop().sock_connect(server, self._target)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(client, server, reserve))
                    both.create_task(self._pass_on(server, client, lambda _, now: now))
            except* ConnectionError:
                pass  # One side hung up; the other is closed with it.

    async def _pass_on(self, source: socket.socket, target: socket.socket, reserve: Reserve) -> None:
        """One direction: take bytes in at the pace, hand them out half a round trip later."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def hand_out() -> None:
            while True:
                due, data = await under_way.get()
                await _until(due)
                if not data:
                    # Both ways end together: no client here closes one way only.
                    raise ConnectionResetError
                await loop.sock_sendall(target, data)

        async with asyncio.TaskGroup() as both:
            both.create_task(hand_out())
            while data := await loop.sock_recv(source, _PIECE):
                passed = reserve(len(data), time.monotonic())
                under_way.put_nowait((passed + self._link.round_trip / 2, data))
                await _until(passed)
            under_way.put_nowait((time.monotonic() + self._link.round_trip / 2, b""))


async def _until(moment: float) -> None:
    left = moment - time.monotonic()
    if left > 0:
        await asyncio.sleep(left)


async def _end_of_input() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _main(link: Link, target: str) -> None:
    address = urlsplit(target)
    proxy = Proxy(link, address.hostname or "127.0.0.1", address.port or 80)
    print(json.dumps({"url": proxy.url}), flush=True)
    serving = asyncio.create_task(proxy.serve())
    await _end_of_input()
    serving.cancel()


def main() -> None:
    """Listen, say where, pass on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.link", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", help="URL of the sink")
    parser.add_argument("--round-trip", type=float, default=0.0, help="seconds")
    parser.add_argument("--per-connection", type=float, default=0.0, help="bytes a second; 0 for no cap")
    parser.add_argument("--in-all", type=float, default=0.0, help="bytes a second; 0 for no cap")
    told = parser.parse_args()
    asyncio.run(_main(Link(told.round_trip, told.per_connection, told.in_all), told.target))


if __name__ == "__main__":
    main()
