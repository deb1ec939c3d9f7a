"""The sink over real sockets: right MD5s for every way of sending, wrong bytes found out, stalls where they are due."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks import processes
from benchmarks.content import KIB, PERIOD, Content
from benchmarks.stalls import StallPlan

CONTENT = Content("random")
SIZE = 3 * PERIOD + 777
RANGES = [(0, PERIOD), (PERIOD, 2 * PERIOD), (3 * PERIOD, 777), (5, 10 * KIB)]


@pytest.fixture(scope="module", params=[False, True], ids=["drained", "checked"])
def sink(request: pytest.FixtureRequest) -> Iterator[str]:
    with processes.sink(check=request.param) as url:
        yield url


def connect(url: str) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=10))


def ask(
    connection: http.client.HTTPConnection, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> Any:
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def form(first: int, data: bytes, *, fields: bool) -> tuple[str, dict[str, str], bytes]:
    naming = {"file_id": "f1", "file_size": str(SIZE), "range": f"{first}-{first + len(data) - 1}"}
    body = b""
    if fields:
        for name, value in naming.items():
            body += f'--Bound\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    body += (
        b'--Bound\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + data + b"\r\n--Bound--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=Bound", **({} if fields else naming)}
    return "/upload?type=body" if fields else "/upload", headers, body


def test_every_way_of_sending_a_range(sink: str) -> None:
    processes.reset(sink, StallPlan())
    with connect(sink) as connection:
        for first, length in RANGES:
            data = CONTENT.read(first, length)
            bare = {"file_id": "f1", "file_size": str(SIZE), "Range": f"{first}-{first + length - 1}"}
            for target, headers, body in (
                form(first, data, fields=False),
                form(first, data, fields=True),
                ("/upload", bare, data),
            ):
                status, answer = ask(connection, "POST", target, headers, body)
                expected = {"code": "A00000", "range_md5": CONTENT.md5(first, length), "file_range_accepted": length}
                assert (status, answer) == (200, expected)
    counts = processes.counts(sink)
    assert counts["chunks"] == 3 * len(RANGES)
    assert counts["chunk_bytes"] == 3 * sum(length for _, length in RANGES)
    assert counts["wrong"] == counts["refused"] == 0


@pytest.mark.parametrize("fields", [False, True])
def test_wrong_bytes_are_found_out(fields: bool) -> None:
    data = bytearray(CONTENT.read(0, PERIOD))
    data[777] ^= 1
    with processes.sink(check=True) as url, connect(url) as connection:
        ask(connection, "POST", *form(0, bytes(data), fields=fields))
        assert processes.counts(url)["wrong"] == 1


def test_the_other_operations(sink: str) -> None:
    processes.reset(sink, StallPlan())
    with connect(sink) as connection:
        _, token = ask(connection, "GET", "/api/iqiyi/authorize?client_id=a&client_secret=b", {})
        assert token["data"]["access_token"]
        assert ask(connection, "GET", "/api/oauth2/token?refresh_token=x", {})[1]["expires_in"]
        _, opened = ask(connection, "GET", "/openupload", {"filetype": "mp4", "filesize": "1"})
        assert opened["data"] == {"file_id": "f00000001", "upload_url": f"{sink}/upload"}
        for method, target in (
            ("GET", "/api/file/info?file_id=f1"),
            ("POST", "/uploadfinish"),
            ("POST", "/cancelupload"),
            ("GET", "/api/file/fullStatus?file_id=f1"),
        ):
            assert ask(connection, method, target, {})[1]["code"] == "A00000"
        assert ask(connection, "GET", "/nowhere", {})[0] == 404
        assert ask(connection, "POST", "/upload", {}, b"no range")[1]["code"] == "A00010"
    counts = processes.counts(sink)
    assert [counts[each] for each in ("opened", "described", "finished", "cancelled", "refused")] == [1] * 5


@pytest.mark.parametrize("kind", ["body", "answer"])
def test_a_stalled_request_takes_its_time_and_ends_well(sink: str, kind: str) -> None:
    seed = next(seed for seed in range(100) if StallPlan(1, 0.4, seed).at(0) == kind)
    processes.reset(sink, StallPlan(1, 0.4, seed))
    data = CONTENT.read(0, 2 * PERIOD)
    with connect(sink) as connection:
        begun = time.monotonic()
        _, answer = ask(connection, "POST", *form(0, data, fields=False))
        assert 0.4 <= time.monotonic() - begun < 5
        assert answer["range_md5"] == CONTENT.md5(0, 2 * PERIOD)
        processes.reset(sink, StallPlan())
        assert ask(connection, "POST", *form(0, data, fields=False))[1] == answer


def test_a_client_may_give_a_stalled_request_up(sink: str) -> None:
    processes.reset(sink, StallPlan(1, 0.2))
    with connect(sink) as connection:
        target, headers, body = form(0, CONTENT.read(0, PERIOD), fields=False)
        connection.request("POST", target, body, headers)
    with connect(sink) as connection:
        begun = time.monotonic()
        assert ask(connection, "GET", "/api/iqiyi/authorize", {})[0] == 200
        assert time.monotonic() - begun < 0.2
        # Past the moment when the sink would have gone on with the other one.
        processes.reset(sink, StallPlan(1, 0.3))
        assert ask(connection, "POST", target, headers, body)[0] == 200
