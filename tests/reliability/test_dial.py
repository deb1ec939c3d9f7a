"""A connection to the first address that answers, and no socket left of the others, whenever it is cancelled."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from iqiyi_async import ResponseError
from iqiyi_async.transport import Connector
from iqiyi_async.transport.connection.dial import HEAD_START, NameService, dial

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


class KnownAs(NameService):
    """Gives these ports of this machine as the addresses of a name."""

    def __init__(self, *ports: int) -> None:
        super().__init__()
        self._ports = ports

    async def look_up(self, host: str, port: int) -> list[Any]:
        await asyncio.sleep(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in self._ports]


async def dial_at(*ports: int) -> int:
    """Dial; the port that answered."""
    with await dial("a name", 80, KnownAs(*ports)) as end:
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


class Asked(NameService):
    """Gives the addresses that a test has made up."""

    def __init__(self, *found: Any) -> None:
        super().__init__()
        self._found = list(found)

    async def look_up(self, host: str, port: int) -> list[Any]:
        return self._found


def test_a_socket_that_can_not_be_made_is_that_addresss_failure(listener: socket.socket) -> None:
    """No IPv6 in the kernel, with an AAAA record: the other address works."""
    unknown = (99, socket.SOCK_STREAM, 6, "", ("::1", port_of(listener), 0, 0))
    fine = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port_of(listener)))

    async def connect(*found: Any) -> int:
        with await dial("a name", 80, Asked(*found)) as end:
            return int(end.getpeername()[1])

    assert asyncio.run(connect(unknown, fine)) == port_of(listener)
    assert asyncio.run(connect(fine, unknown)) == port_of(listener)
    with pytest.raises(OSError, match="family"):
        asyncio.run(connect(unknown))


def test_a_name_is_resolved_once_and_judged_by_what_is_connected_to(listener: socket.socket) -> None:
    """DNS rebinding: public when it is judged, loopback when it is connected to."""
    answers = [("93.184.216.34", 0), ("127.0.0.1", 0)]

    class Rebinding(NameService):
        async def look_up(self, host: str, port: int) -> list[Any]:
            address, _ = answers.pop(0)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port_of(listener)))]

    async def connect(names: NameService) -> None:
        connector = Connector(names, open_to=frozenset({"https://openapi.iqiyi.com:443"}))
        await connector.connect("http", "rebinding.example.com", port_of(listener), 0.3)

    names = Rebinding()
    with pytest.raises((TimeoutError, OSError)):
        asyncio.run(connect(names))
    with pytest.raises(ResponseError, match="private address"):
        asyncio.run(connect(names))
    assert not answers


def test_a_caller_that_is_cancelled_does_not_wait_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    known = threading.Event()
    asked: list[str] = []

    def silent(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        known.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def ask() -> None:
        names = NameService(most=2)
        tasks = [asyncio.ensure_future(names.look_up(f"host{number % 4}.example", 80)) for number in range(40)]
        await asyncio.sleep(0.1)
        assert len(asked) == 2, "bounded, and one thread for each name"
        began = time.monotonic()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert time.monotonic() - began < 0.5
        # Names without a thread: those of others are not held up.
        assert await names.look_up("127.0.0.1", 80) == [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]

    asyncio.run(ask())
    known.set()


@pytest.mark.parametrize("host", ["a..b", ".x", "a" * 64 + ".example"])
def test_what_is_no_name_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError):
        asyncio.run(NameService().look_up(host, 80))
