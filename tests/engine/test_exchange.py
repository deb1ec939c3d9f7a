"""One exchange from literal bytes: what goes out, and what an answer comes to however it is cut."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.transport.connection.exchange import TOGETHER, BrokenError, Exchange, Reply, Timeouts

pytestmark = pytest.mark.anyio

TIMEOUTS = Timeouts(10, 10, 10)
FINE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"code":"A00000"}'
BODY = b'{"code":"A00000"}'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"code":\r\n9\r\n"A00000"}\r\n0\r\nX: y\r\n\r\n'
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + FINE
CLOSING = FINE.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
OLD = b'HTTP/1.0 200 OK\r\n\r\n{"code":"A00000"}'


def _exchange(most: int = 1000) -> Exchange:
    return Exchange(asyncio.get_running_loop(), TIMEOUTS, most, None)


def _written(exchange: Exchange, most: int) -> list[bytes]:
    pieces: list[bytes] = []
    while exchange.unsent:
        pieces.append(bytes(exchange.cut(most)))
        exchange.taken()
    return pieces


async def test_request_without_a_body() -> None:
    exchange = _exchange()
    exchange.ask(b"GET", b"/api/file/info?name=a%20b", ((b"Host", b"h"), (b"file_id", b"f")), ())
    assert _written(exchange, 10) == [b"GET /api/file/info?name=a%20b HTTP/1.1\r\nHost: h\r\nfile_id: f\r\n\r\n"]
    exchange.close()


async def test_small_parts_are_joined_and_large_ones_sent_from_where_they_are() -> None:
    head, large, tail = b"--x\r\n\r\n", bytes(range(256)) * 300, b"\r\n--x--\r\n"
    exchange = _exchange()
    exchange.ask(b"POST", b"/upload", ((b"Host", b"h"),), (head, memoryview(large), tail))
    assert exchange.cut(1) == b"POST /upload HTTP/1.1\r\nHost: h\r\n\r\n" + head
    piece = exchange.cut(TOGETHER)
    assert isinstance(piece, memoryview)
    assert piece.obj is large
    assert _written(exchange, TOGETHER) == [large[TOGETHER:], tail]
    exchange.close()


async def test_every_byte_of_the_body_is_told_once() -> None:
    told: list[int] = []
    exchange = Exchange(asyncio.get_running_loop(), TIMEOUTS, 1000, told.append)
    exchange.ask(b"POST", b"/", ((b"Host", b"h"),), (b"ab", bytes(200_000), b"c"))
    _written(exchange, 70_000)
    assert told == [2, 70_000, 70_000, 60_000, 1]
    exchange.close()


@pytest.mark.parametrize(
    ("target", "header"),
    [
        (b"/ HTTP/1.1\r\nX: y", (b"A", b"b")),
        (b"/a b", (b"A", b"b")),
        (b"/", (b"A", b"b\r\nX: y")),
        (b"/", (b"A\n", b"b")),
        (b"/", (b"A", b"b\x00")),
        (b"/", (b"A", b"X: y\xe9")),
    ],
)
async def test_what_would_end_a_line_is_never_written(target: bytes, header: tuple[bytes, bytes]) -> None:
    exchange = _exchange()
    with pytest.raises(ValueError, match="does not allow") as caught:
        exchange.ask(b"GET", target, (header,), ())
    assert "X: y" not in repr(caught.value)
    assert caught.value.__context__ is None
    assert not exchange.unsent
    exchange.close()


@pytest.mark.parametrize(
    "raw", [FINE, CHUNKED, INTERIM, CLOSING, OLD], ids=["length", "chunked", "interim", "close", "1.0"]
)
@given(cuts=st.lists(st.integers(0, 150), max_size=8))
async def test_an_answer_is_the_same_however_it_is_cut(raw: bytes, cuts: list[int]) -> None:
    exchange = _exchange()
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    for first, end in pairwise(edges):
        assert not exchange.over.done()
        exchange.feed(raw[first:end])
    if raw is OLD:
        assert not exchange.over.done(), "its end is the end of the connection"
        exchange.feed_end()
    reply = exchange.over.result()
    assert (reply.status, reply.content) == (200, b'{"code":"A00000"}')
    assert exchange.reusable == (raw not in (CLOSING, OLD))
    exchange.close()


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\n", b"H", b"garbage", FINE])
async def test_bytes_behind_the_answer_are_not_its_own(surplus: bytes) -> None:
    exchange = _exchange()
    exchange.feed(FINE + surplus)
    assert exchange.over.result() == Reply(
        200, [(b"Content-Type", b"application/json"), (b"Content-Length", b"17")], b'{"code":"A00000"}'
    )
    assert not exchange.reusable
    exchange.close()


async def test_an_answer_before_the_end_of_the_request_ends_it() -> None:
    exchange = _exchange()
    exchange.ask(b"POST", b"/", ((b"Host", b"h"),), (bytes(200_000),))
    exchange.cut(1000)
    exchange.feed(FINE)
    assert not exchange.unsent
    assert exchange.over.result().status == 200
    assert not exchange.reusable
    exchange.close()


@pytest.mark.parametrize("end", range(len(CHUNKED)))
async def test_half_an_answer_is_none(end: int) -> None:
    exchange = _exchange()
    exchange.feed(CHUNKED[:end])
    exchange.feed_end()
    with pytest.raises(BrokenError, match="the connection was closed"):
        exchange.over.result()
    exchange.close()


async def test_a_reply_prints_nothing_of_its_content() -> None:
    exchange = _exchange()
    exchange.feed(FINE)
    assert "A00000" not in repr(exchange.over)
    exchange.close()


LENIENT = [
    b"HTTP/1.1 200 OK\nContent-Length: 17\n\n" + BODY,
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 17\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 17\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11  \r\n" + BODY + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 17\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 17\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\nContent-Length: 17\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\r\nContent-Length: 17, 17\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\nContent-Length: 17\nContent-Length: 17\n\n" + BODY,
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 17\r\n\r\n" + BODY,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 17\r\nContent-Length: 17\r\n\r\n" + BODY,
    b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n11\n" + BODY + b"\n0\n\n",
    b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n8\n" + BODY[:8] + b"\n9\n" + BODY[8:] + b"\n00\nX: y\n\n",
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11 ; a = "b"\r\n' + BODY + b"\r\n0; c\r\n\r\n",
    CHUNKED.replace(b"X: y", b"Content-Length: 5"),
    CHUNKED.replace(b"X: y", "标: y".encode()),
    b"HTTP/1.1 103 Early Hints\r\n\r\n" + CHUNKED.replace(b"X: y", b"no trailer at all"),
    b"HTTP/1.1 200 OK\nTransfer-Encoding: identity\nTransfer-Encoding: chunked\n\n11\n" + BODY + b"\n0\n\n",
    FINE.replace(b"Content-Length: ", b"Content-Length: +"),
    FINE.replace(b"\r\n", b"\r\n: no name\r\n", 1),
    FINE.replace(b"\r\n", b"\r\nno colon\r\n", 1),
    FINE.replace(b"\r\n", b"\r\na space: in a name\r\n", 1),
    FINE.replace(b"\r\n", b"\r\nX: a\rb\r\n", 1),
    FINE.replace(b"1.1 200", b"1.1  200"),
]

BROKEN_CHUNKS = [
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-11\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"F" * 20 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("raw", BROKEN_CHUNKS)
async def test_chunks_of_other_sizes_than_they_say_are_no_answer(raw: bytes) -> None:
    exchange = _exchange()
    exchange.feed(raw)
    with pytest.raises(BrokenError, match="not HTTP"):
        exchange.over.result()
    assert not exchange.reusable
    exchange.close()


@pytest.mark.parametrize("status", [b"000", b"042", b"099"])
async def test_a_status_that_is_none_is_no_answer(status: bytes) -> None:
    exchange = _exchange()
    exchange.feed(FINE.replace(b"200", status))
    with pytest.raises(BrokenError, match="not HTTP"):
        exchange.over.result()
    exchange.close()


async def test_bytes_behind_rough_chunks_end_the_connection() -> None:
    exchange = _exchange()
    exchange.feed(b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n11\n" + BODY + b"\n0\n\nHTTP/1.1 200 OK\r\n")
    assert exchange.over.result().content == BODY
    assert not exchange.reusable
    exchange.close()


@pytest.mark.parametrize("raw", LENIENT)
@given(cuts=st.lists(st.integers(0, 100), max_size=5))
async def test_answers_that_others_read_too(raw: bytes, cuts: list[int]) -> None:
    """Be liberal in decoding: curl, aiohttp, httpx and urllib3 accept these, or most of them do."""
    exchange = _exchange()
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    for first, end in pairwise(edges):
        exchange.feed(raw[first:end])
    reply = exchange.over.result()
    assert (reply.status, reply.content) == (200, BODY)
    assert exchange.reusable
    exchange.close()


async def test_identity_without_a_length_ends_with_the_connection() -> None:
    exchange = _exchange()
    exchange.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n" + BODY)
    assert not exchange.over.done()
    exchange.feed_end()
    assert exchange.over.result().content == BODY
    exchange.close()


async def test_a_trailer_is_no_header() -> None:
    exchange = _exchange()
    exchange.feed(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n"
        + BODY
        + b"\r\n0\r\nContent-Encoding: gzip\r\n\r\n"
    )
    reply = exchange.over.result()
    assert [name for name, _ in reply.headers] == [b"Transfer-Encoding"]
    assert exchange.reusable
    exchange.close()


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [(b"timeout=5, max=100", 5), (b"max=3,timeout=1", 1), (b"Timeout = 60", 60), (b"max=100", None), (b"", None)],
)
async def test_how_long_a_connection_is_kept(raw: bytes, seconds: float | None) -> None:
    exchange = _exchange()
    exchange.feed(FINE.replace(b"\r\n", b"\r\nKeep-Alive: " + raw + b"\r\n", 1))
    assert exchange.keep_alive == seconds
    exchange.close()
