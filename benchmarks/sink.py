"""A stand-in for the service that costs next to nothing: ``python -m benchmarks.sink`` in a process of its own.

One thread, one selector, just enough HTTP/1.1. Bodies are thrown away inside the kernel where it can do that
(``MSG_TRUNC``), so that draining a GiB takes a few hundredths of a CPU second; the MD5 of every range is known
before. With ``--check`` bodies are kept and hashed instead: for proving that a client sends the right bytes, not for
timing.

It prints one JSON line when it listens, and ends when its standard input does, so that it never outlives its parent.
Requests under ``/__sink__/`` reset it and tell its counts and CPU seconds.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import mmap
import selectors
import socket
import sys
import time
from collections.abc import Callable
from urllib.parse import parse_qsl

from .answers import Service
from .connection import Connection
from .content import MIB, Content
from .stalls import StallPlan


class Sink:
    """The listening socket, its connections and the clock.

    Args:
        content: of the files that will come.
        check: keep and hash every body.
    """

    def __init__(self, content: Content, *, check: bool = False) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.service = Service(content)
        self.check = check
        self.plan = StallPlan()
        self.latency = 0.0
        self.chunks_begun = 0
        # Nothing is ever written to it when the kernel throws the bytes away, so it takes no memory then.
        self.scratch = memoryview(mmap.mmap(-1, 8 * MIB))
        self.selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something after a time."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), do))

    def control(self, path: bytes, query: bytes) -> bytes:
        """Answer a request of the benchmark itself."""
        if path == b"/__sink__/reset":
            told = dict(parse_qsl(query.decode()))
            self.plan = StallPlan(
                int(told.get("stall_every", 0)), float(told.get("stall_seconds", 10)), int(told.get("stall_seed", 0))
            )
            self.latency = float(told.get("latency", 0))
            self.chunks_begun = 0
            self.service.reset()
        return json.dumps({**self.service.report(), "cpu": time.process_time()}).encode()

    def serve(self) -> None:
        """Serve until the standard input ends."""
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        while True:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    return
                key.data()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.service.counts.connections += 1
        connection = Connection(self, sock)
        self.selector.register(sock, selectors.EVENT_READ, connection.readable)


def main() -> None:
    """Listen, say where, serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--content", default="random", help="random or zero")
    parser.add_argument("--check", action="store_true", help="hash what really arrives")
    arguments = parser.parse_args()
    content = Content(arguments.content)
    content.prepare()
    sink = Sink(content, check=arguments.check)
    print(json.dumps({"url": sink.url}), flush=True)
    sink.serve()


if __name__ == "__main__":
    main()
