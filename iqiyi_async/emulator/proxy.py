"""A small TCP proxy that does to connections what networks do, without any knowledge of HTTP.

Each direction of a connection is a reader, a short queue and a writer. The queue makes latency possible without
making the pipe narrower, and is bounded: when the far side takes nothing, nothing more is read, and the near side
feels it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self

from .conditions import Conditions, ResetError, Throttle, flow_of, next_step

#: Bytes read at once, and how many such pieces a direction may hold: 1 MiB at most.
PIECE = 64 * 1024
PIECES = 16


class FaultProxy:
    """Listens on loopback and passes on to a server: `async with FaultProxy(host, port) as proxy: ...`.

    Conditions may be changed at any time, and count for open connections too.

    Args:
        target_host: where the server is.
        target_port: its port.
        conditions: what happens to every connection that has no conditions of its own.
        port: where to listen; 0 takes a free port.
    """

    def __init__(
        self, target_host: str, target_port: int, conditions: Conditions | None = None, *, port: int = 0
    ) -> None:
        self._target = (target_host, target_port)
        self._conditions = conditions or Conditions()
        self._own: dict[int, Conditions] = {}
        self._changed = asyncio.Event()
        self._port = port
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._total = Throttle()
        #: Bytes per second at most, of all connections and both directions together; None is without limit.
        self.total_bandwidth: float | None = None
        #: Connections accepted so far, and bytes passed on.
        self.accepted: int = 0
        self.bytes_up: int = 0
        self.bytes_down: int = 0

    @property
    def endpoint_url(self) -> str:
        """Where it listens, such as http://127.0.0.1:40124."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on; 0 before it has started."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def conditions(self, connection: int | None = None) -> Conditions:
        """What holds for the n-th connection, from 1, or for those that have no conditions of their own."""
        return self._own.get(connection or 0, self._conditions)

    def apply(self, conditions: Conditions, *, connection: int | None = None) -> None:
        """Change the conditions, of all connections or of the n-th only, from 1."""
        if connection is None:
            self._conditions = conditions
        else:
            self._own[connection] = conditions
        self._announce()

    def clear(self) -> None:
        """Let everything through again, of every connection."""
        self._conditions = Conditions()
        self._own.clear()
        self.total_bandwidth = None
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        self._bind()
        self._listen()

    async def refuse(self, refuse: bool = True) -> None:
        """Refuse new connections, or take them again; open ones are not touched."""
        if refuse and self._accepting is not None:
            await self._stop_listening()
            # Bound but not listening: the port stays ours, and the system answers each attempt with a reset.
            self._bind()
        elif not refuse and self._accepting is None:
            self._listen()

    async def cut(self) -> None:
        """Reset every open connection now."""
        await self._end(self._open)

    async def aclose(self) -> None:
        """Stop listening and reset open connections; returns when every task has ended."""
        await self._stop_listening()
        await self._end(self._open)

    def _bind(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(("127.0.0.1", self._port))
        except BaseException:
            listener.close()
            raise
        self._listener, self._port = listener, listener.getsockname()[1]

    def _listen(self) -> None:
        assert self._listener is not None
        self._listener.listen(128)
        self._accepting = asyncio.create_task(self._accept(self._listener), name="fault-proxy-accept")

    async def _stop_listening(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @staticmethod
    async def _end(tasks: set[asyncio.Task[None]]) -> None:
        ending = list(tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            self.accepted += 1
            task = asyncio.create_task(self._connection(client, self.accepted), name=f"fault-proxy-{self.accepted}")
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _connection(self, client: socket.socket, number: int) -> None:
        """One connection from its first byte to its last."""
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM)
        whole = False
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._through(number)
            await asyncio.get_running_loop().sock_connect(server, self._target)
            async with asyncio.TaskGroup() as group:
                for source, sink, up in ((client, server, True), (server, client, False)):
                    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES)
                    group.create_task(self._read(source, queue, number, up=up))
                    group.create_task(self._write(sink, queue, number, up=up))
            whole = True
        except* (ResetError, OSError):
            pass  # the way this connection was to end, or one side was gone before: both sides are reset
        finally:
            for end in (client, server):
                _close(end, reset=not whole)

    async def _through(self, number: int) -> Conditions:
        """The conditions of a connection, once it is no black hole."""
        while (conditions := self.conditions(number)).black_hole:
            await self._changed.wait()
        return conditions

    async def _read(
        self, source: socket.socket, queue: asyncio.Queue[tuple[float, bytes]], number: int, *, up: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            piece = await loop.sock_recv(source, PIECE)
            flow = flow_of(self.conditions(number), up=up)
            await queue.put((loop.time() + flow.latency, piece))
            if not piece:
                return

    async def _write(
        self, sink: socket.socket, queue: asyncio.Queue[tuple[float, bytes]], number: int, *, up: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        throttle, sent, closed = Throttle(), 0, False
        while True:
            due, piece = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            left = memoryview(piece)
            while left and not closed:
                flow = flow_of(await self._through(number), up=up)
                count, closed = next_step(flow, sent, len(left), self.total_bandwidth)
                await throttle.pass_on(count, flow.bandwidth)
                await self._total.pass_on(count, self.total_bandwidth)
                await loop.sock_sendall(sink, left[:count])
                sent, left = sent + count, left[count:]
                self._count(count, up=up)
                if flow.reset_after is not None and sent >= flow.reset_after:
                    raise ResetError
                closed = closed or (flow.close_after is not None and sent >= flow.close_after)
                await asyncio.sleep(flow.drip_pause if flow.drip else 0)
            if closed or not piece:
                with suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
            if not piece:
                return

    def _count(self, count: int, *, up: bool) -> None:
        if up:
            self.bytes_up += count
        else:
            self.bytes_down += count


def _close(end: socket.socket, *, reset: bool) -> None:
    if reset:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
