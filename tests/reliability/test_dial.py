"""A connection to the first address that answers, and no socket left of the others, whenever it is cancelled."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from iqiyi_async.transport.dial import HEAD_START, dial

from .checkpoints import Checkpoints, open_sockets


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def dead() -> Iterator[int]:
    """A port that refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which nothing answers: its queue is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
        for each in waiting:
            each.close()


def known_as(*ports: int) -> Any:
    """A resolver that gives these ports of this machine as the addresses of a name."""

    async def getaddrinfo(*args: Any, **options: Any) -> list[Any]:
        await asyncio.sleep(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    return getaddrinfo


async def dial_at(*ports: int) -> int:
    """Dial; the port that answered."""
    loop = asyncio.get_running_loop()
    loop.getaddrinfo = known_as(*ports)  # type: ignore[method-assign]
    with await dial("a name", 80) as end:
        return int(end.getpeername()[1])


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_a_dead_address_is_passed_over(listener: socket.socket, dead: int) -> None:
    assert asyncio.run(dial_at(dead, port_of(listener))) == port_of(listener)


def test_a_silent_address_has_its_head_start_and_no_more(listener: socket.socket, silent: int) -> None:
    began = time.monotonic()
    assert asyncio.run(dial_at(silent, port_of(listener))) == port_of(listener)
    assert HEAD_START * 0.9 <= time.monotonic() - began < 5


def test_the_error_of_the_last_address_leaves(dead: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(dial_at(dead, dead))
    with pytest.raises(OSError, match="no address"):
        asyncio.run(dial_at())


def test_cancelled_at_any_checkpoint_it_leaves_no_socket(listener: socket.socket, dead: int) -> None:
    async def cancelled_at(step: int) -> tuple[bool, int]:
        checkpoints = Checkpoints(step)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(checkpoints)
        task = asyncio.ensure_future(dial_at(dead, port_of(listener)))
        checkpoints.act = task.cancel
        await asyncio.wait([task])
        for _ in range(3):
            await asyncio.sleep(0)  # a task that was called off ends in the loop's next rounds, then its socket closes
        assert open_sockets(port_of(listener)) == [], f"step {step} left a socket"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return task.cancelled(), checkpoints.count

    for step in range(1, 100):
        was_cancelled, count = asyncio.run(cancelled_at(step))
        if count < step:
            assert not was_cancelled
            assert step > 4
            return
    pytest.fail("it never came to its end")
