"""A connected socket for a name: its addresses are tried one after the other, each with a head start (RFC 8305).

Why not the event loop's own race: cancelled just after one of its attempts has won, it leaves that socket open
(CPython 3.11 to 3.13). What belongs here: addresses and sockets. What must not: TLS, deadlines, what is sent.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from itertools import zip_longest
from typing import Any

#: The head start of an address before the next one is tried beside it, in seconds (RFC 8305, 5).
HEAD_START = 0.25


async def dial(host: str, port: int) -> socket.socket:
    """Connect to the first address that answers.

    Raises:
        OSError: the name is unknown, or none of its addresses can be reached.
    """
    loop = asyncio.get_running_loop()
    waiting = _in_turn(_numeric(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    attempts: dict[asyncio.Task[None], socket.socket] = {}
    problem = OSError("the name leads to no address")
    try:
        while waiting or attempts:
            if waiting:
                family, kind, protocol, _, address = waiting.pop(0)
                end = socket.socket(family, kind, protocol)
                end.setblocking(False)
                attempts[loop.create_task(loop.sock_connect(end, address), name="iqiyi-async connect")] = end
            patience = HEAD_START if waiting else None
            done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    return attempts.pop(task)
                if isinstance(error, OSError):
                    problem = error
                attempts.pop(task).close()
    finally:
        for task, end in attempts.items():
            # The loop looks at a socket until the task has ended; only then may its number be free for another one.
            task.add_done_callback(partial(_close, end))
            task.cancel()
    raise problem


def _numeric(host: str, port: int) -> list[Any]:
    """An address that is written as such needs no name service, and no thread to wait for one."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return []


def _in_turn(found: list[Any]) -> list[Any]:
    """The addresses in the system's order, but one family and the other by turns: one of them may lead nowhere."""
    first = [each for each in found if each[0] == found[0][0]]
    others = [each for each in found if each[0] != found[0][0]]
    return [each for pair in zip_longest(first, others) for each in pair if each is not None]


def _close(end: socket.socket, task: asyncio.Task[None]) -> None:
    end.close()
    if not task.cancelled():
        task.exception()
