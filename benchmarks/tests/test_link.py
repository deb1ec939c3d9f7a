"""The slow link is as slow as it says, and no slower."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from benchmarks import processes
from benchmarks.content import KIB
from benchmarks.link import LatencyTracker, Link

#: The kernel holds some of what was sent; the answer comes when the last byte has passed, so whole requests are timed.
BODY = 512 * KIB


@pytest.fixture(scope="module")
def sink() -> Iterator[str]:
    with processes.sink() as url:
        yield url


def send(sock: socket.socket, size: int) -> float:
    """Seconds that a request with a body takes."""
    begun = time.monotonic()
    sock.sendall(b"POST /uploadfinish HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))
    assert sock.recv(KIB).startswith(b"HTTP/1.1 200")
    return time.monotonic() - begun


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def test_round_trips(sink: str) -> None:
    with processes.link(Link(round_trip=0.1), sink) as url, connect(url) as sock:
        assert 0.2 <= send(sock, 0) < 0.3, "one round trip for the handshake, one for the request"
        assert 0.1 <= send(sock, 0) < 0.15
        assert 0.1 <= send(sock, BODY) < 0.2


def test_the_cap_of_one_connection(sink: str) -> None:
    with processes.link(Link(per_connection=1e6), sink) as url, connect(url) as sock:
        assert BODY / 1e6 - 0.06 <= send(sock, BODY) < BODY / 1e6 * 1.05 + 0.02


def test_the_cap_of_all_is_shared(sink: str) -> None:
    with processes.link(Link(per_connection=1e6, in_all=2e6), sink) as url:
        took: list[float] = []

        def one() -> None:
            with connect(url) as sock:
                took.append(send(sock, BODY))

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 4 * BODY / 2e6 - 0.06 <= max(took) < 4 * BODY / 2e6 * 1.05 + 0.02
    assert min(took) > 0.8 * max(took), "everyone gets the same share"


def test_a_pace_forgives_a_late_timer_but_not_a_long_rest() -> None:
    pace = LatencyTracker(1000)
    assert pace.reserve(100, 10.0) == pytest.approx(10.05)
    assert pace.reserve(100, 10.06) == pytest.approx(10.15), "the 10 ms that the timer was late are caught up"
    assert pace.reserve(100, 20.0) == pytest.approx(20.05), "idle time is not saved up"
