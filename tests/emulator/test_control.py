"""The control API, as curl would use it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from iqiyi_async.emulator import Emulator, FileState

from .conftest import Begin
from .steps import Steps
from .wire import Answer, Wire, get, post, until, wire

pytestmark = pytest.mark.anyio


async def look(steps: Steps, name: str) -> Any:
    answer = await steps.ask(get(f"/__emulator__/{name}"))
    assert answer.status == 200, answer
    return answer.json


async def tell(steps: Steps, name: str, body: Any = None) -> Answer:
    return await steps.ask(post(f"/__emulator__/{name}", b"" if body is None else json.dumps(body).encode()))


async def test_state_shows_videos_and_counts_but_no_secret(steps: Steps) -> None:
    file_id = await steps.open(10)
    await steps.chunk(file_id, 10, 3, b"abc")
    state = await look(steps, "state")
    view = state["files"][0]
    assert (view["file_id"], view["state"], view["accepted"], view["ranges"]) == (file_id, "uploading", 3, [[3, 5]])
    assert state["tokens"] == {"access": 1, "refresh": 1}
    assert state["counters"] == {"authorize": 1, "request_upload": 1, "upload_chunk": 1}
    assert steps.token not in json.dumps(state)


async def test_history(steps: Steps) -> None:
    file_id = await steps.open(10)
    await steps.chunk(file_id, 10, 3, b"abc")
    await steps.chunk(file_id, 10, 8, b"abc")
    await steps.status(file_id)
    history = (await look(steps, "history"))["history"]
    assert [entry["number"] for entry in history] == [1, 2, 3, 4, 5]
    assert [entry["operation"] for entry in history] == [
        *("authorize", "request_upload", "upload_chunk", "upload_chunk", "get_status"),
    ]
    chunk = history[2]
    assert (chunk["file_id"], chunk["first"], chunk["last"]) == (file_id, 3, 5)
    assert (chunk["status"], chunk["code"], chunk["ending"]) == (200, "A00000", "answered")
    assert chunk["bytes"] > 3
    assert chunk["ended"] >= chunk["started"] > 1.7e9
    assert (history[3]["code"], history[4]["code"]) == ("A00010", "A00004")
    assert len({entry["connection"] for entry in history}) == 5
    secrets = (steps.token, steps.emulator.config.app_secret)
    assert not [secret for secret in secrets if secret in json.dumps(history) or secret in repr(steps.emulator.history)]


async def test_clock(steps: Steps) -> None:
    before = (await look(steps, "health"))["clock"]
    assert (await tell(steps, "clock", {"advance": 3600})).json["clock"] >= before + 3600
    assert (await steps.status("0")).code == "A21327"
    for bad in ({}, {"advance": "1"}, {"advance": -1}, {"advance": True}, [], 7):
        answer = await tell(steps, "clock", bad)
        assert (answer.status, answer.code) == (400, "Q00001")


async def test_faults(steps: Steps) -> None:
    plan = {"seed": 3, "faults": [{"operation": "get_status", "call": 1, "status": 503}]}
    shown = (await tell(steps, "faults", plan)).json
    assert shown == {"seed": 3, "faults": [{**plan["faults"][0], "fired": 0}], "unfired": plan["faults"]}  # type: ignore[index]
    assert (await steps.status("0")).status == 503
    assert (await look(steps, "faults"))["faults"][0]["fired"] == 1
    assert (await look(steps, "faults"))["unfired"] == []
    bad = await tell(steps, "faults", {"faults": [{"status": 700}]})
    assert bad.status == 400
    assert "faults[0]: status" in bad.json["msg"]
    assert (await look(steps, "faults"))["faults"][0]["fired"] == 1
    answer = await steps.ask(b"DELETE /__emulator__/faults HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert answer.json["faults"] == []


async def test_reset(steps: Steps) -> None:
    file_id = await steps.publish(b"hello")
    path = steps.emulator.storage.path(file_id)
    assert path.exists()
    await tell(steps, "clock", {"advance": 1000})
    await tell(steps, "faults", [{"status": 500}])
    assert (await tell(steps, "reset")).json == {"ok": True}
    state = await look(steps, "state")
    assert (state["files"], state["tokens"], state["counters"]) == ([], {"access": 0, "refresh": 0}, {})
    assert state["clock"]["offset"] == 0
    assert (await look(steps, "faults"))["faults"] == []
    assert (await look(steps, "history"))["history"] == []
    assert not path.exists()
    assert (await steps.status(file_id)).code == "A21332"


async def test_content_and_outcome(steps: Steps) -> None:
    file_id = await steps.publish(b"hello")
    assert (await steps.ask(get(f"/__emulator__/files/{file_id}/content"))).body == b"hello"
    assert (await tell(steps, f"files/{file_id}/outcome", {"outcome": "review_failed"})).json == {"ok": True}
    assert steps.emulator.files[file_id].state is FileState.REVIEW_FAILED
    assert (await tell(steps, f"files/{file_id}/outcome", {"outcome": "lost"})).status == 400
    assert (await tell(steps, f"files/{file_id}/content")).status == 405
    assert (await steps.ask(get(f"/__emulator__/files/{'0' * 32}/content"))).status == 404


async def test_tokens(steps: Steps) -> None:
    assert (await tell(steps, "tokens", {"spoil": "expired"})).json == {"ok": True}
    assert (await steps.status("0")).code == "A21327"
    assert (await tell(steps, "tokens", {"spoil": "lost"})).status == 400


async def test_help_for_the_lost(steps: Steps) -> None:
    answer = await steps.ask(get("/__emulator__/sate"))
    assert answer.status == 404
    assert "GET state" in answer.json["msg"]
    assert (await tell(steps, "clock")).json["msg"] == "the body must be JSON"
    assert (await tell(steps, "faults", "x" * 2_000_000)).status == 400


@pytest.mark.parametrize(("caller", "status"), [("127.0.0.9", 200), ("::1", 200), ("10.0.0.1", 403), ("host", 403)])
async def test_only_loopback_may_call(caller: str, status: int) -> None:
    async with Emulator() as emulator:
        transport = httpx.ASGITransport(emulator.app, client=(caller, 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/__emulator__/health")).status_code == status


async def test_control_calls_are_no_part_of_the_history_or_the_plan(steps: Steps) -> None:
    before = len(steps.emulator.history)
    await tell(steps, "faults", [{"drop": True}])
    await look(steps, "health")
    assert len(steps.emulator.history) == before


class TestOtherWebPages:
    """A page of another site can make a browser send requests to this machine."""

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 200),
            ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
            ({"Content-Type": "application/json; charset=utf-8"}, 200),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://127.0.0.1:1"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Content-Type": "text/plain"}, 415),
            ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
            ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ],
    )
    async def test_orders(self, steps: Steps, headers: dict[str, str], status: int) -> None:
        port = steps.url.rpartition(":")[2]
        sent = {name: value.format(port=port) for name, value in headers.items()}
        asked = post("/__emulator__/clock", b'{"advance": 5}', sent.pop("Content-Type", ""), **sent)
        asked = asked.replace(b"Host: 127.0.0.1", b"Host: 127.0.0.1:" + port.encode())
        answer = await steps.ask(asked)
        assert (answer.status, steps.emulator.clock.offset) == (status, 5 if status == 200 else 0)
        assert answer.headers["content-type"].startswith("application/json")

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            *(("127.0.0.1", 200), ("127.9.9.9:8", 200), ("localhost:80", 200), ("[::1]:8", 200), ("LOCALHOST", 200)),
            *(("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost.evil", 403), ("", 403)),
            *(("x@127.0.0.1", 403), ("video.test", 403), ("10.0.0.1", 403), ("127.0.0.1/..", 403)),
        ],
    )
    async def test_names_that_lead_here(self, steps: Steps, host: str, status: int) -> None:
        answer = await steps.ask(get("/__emulator__/health").replace(b"127.0.0.1", host.encode()))
        assert answer.status == status

    @pytest.mark.parametrize("name", ["state", "events", "page.js", "files/0/content", "nothing"])
    async def test_every_address_is_guarded(self, steps: Steps, name: str) -> None:
        answer = await steps.ask(get(f"/__emulator__/{name}").replace(b"127.0.0.1", b"evil.example"))
        assert answer.status == 403

    async def test_the_public_address_is_ours(self, begin: Begin) -> None:
        steps = await begin(public_url="https://video.test:8443/emulator")
        for host in ("video.test:8443", "127.0.0.1"):
            asked = post("/__emulator__/reset", Origin="https://video.test:8443")
            assert (await steps.ask(asked.replace(b"Host: 127.0.0.1", b"Host: " + host.encode()))).status == 200
        asked = get("/__emulator__/health").replace(b"127.0.0.1", b"video.test")
        assert (await steps.ask(asked)).status == 403


@pytest.mark.parametrize("advance", ["1e300", "1e999", "-1", "NaN", "3153600001", "1" + "0" * 400])
async def test_a_clock_that_cannot_be_turned_so_far(steps: Steps, advance: str) -> None:
    answer = await steps.ask(post("/__emulator__/clock", b'{"advance": %s}' % advance.encode(), "application/json"))
    assert (answer.status, answer.code) == (400, "Q00001")
    assert steps.emulator.clock.offset == 0
    assert (await steps.api("/api/file/count")).code == "A00000"


async def test_faults_come_and_go_while_the_others_keep_count(steps: Steps) -> None:
    await tell(steps, "faults", [{"operation": "get_status", "call": 2, "status": 503}])
    assert (await steps.status("0")).code == "A00003"
    added = await tell(steps, "faults/add", [{"operation": "get_urls", "status": 500}])
    assert [fault["operation"] for fault in added.json["faults"]] == ["get_status", "get_urls"]
    assert (await steps.status("0")).status == 503
    removed = await steps.ask(b"DELETE /__emulator__/faults/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert [(fault["operation"], fault["fired"]) for fault in removed.json["faults"]] == [("get_status", 1)]
    assert (await steps.ask(b"DELETE /__emulator__/faults/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).status == 404


async def test_outcomes_with_qualities(steps: Steps) -> None:
    file_id = await steps.publish(b"hello")
    told = await tell(steps, f"files/{file_id}/outcome", {"qualities": ["super", "720P"], "duration": 12})
    assert told.json == {"ok": True}
    urls = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]
    assert urls.keys() == {"m3u8"}
    assert urls["m3u8"].keys() == {"3", "4"}
    assert (await tell(steps, f"files/{file_id}/outcome", {"qualities": "super"})).status == 400
    assert (await tell(steps, f"files/{file_id}/outcome", {"qualities": ["8K"]})).status == 400


async def test_violations(steps: Steps) -> None:
    file_id = await steps.open(5)
    await steps.finish(file_id)
    assert any("5 of 5 bytes" in text for text in (await look(steps, "violations"))["violations"])
    assert any("5 of 5 bytes" in text for text in (await look(steps, "state"))["violations"])


async def test_live_events(steps: Steps) -> None:
    async with wire(steps.url) as line:
        await line.send(get("/__emulator__/events"))
        head = await line.reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head
        first = await event(line)
        assert (first["total"], first["history"][0]["operation"]) == (0, "authorize")
        file_id = await steps.open(10)
        await steps.chunk(file_id, 10, 0, b"hello")
        shown = await event(line)
        while shown["files"][0]["ranges"] != [[0, 4]]:
            shown = await event(line)
        assert steps.token not in json.dumps(shown)
        assert steps.emulator.config.app_secret not in json.dumps(shown)
    await until(lambda: not steps.server.connections)


async def event(line: Wire) -> Any:
    """The next event of a chunked stream, comments left out."""
    while True:
        size = int(await line.reader.readline(), 16)
        data = await line.reader.readexactly(size)
        await line.reader.readexactly(2)
        if data.startswith(b"data: "):
            return json.loads(data[6:])


async def test_programs_and_browsers_at_the_front(steps: Steps) -> None:
    text = await steps.ask(get("/", Accept="*/*"))
    assert text.headers["content-type"].startswith("text/plain")
    assert b"/__emulator__/faults" in text.body
    assert b"/openupload" in text.body
    page = await steps.ask(get("/", Accept="text/html,application/xhtml+xml,*/*;q=0.8"))
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"http:" not in page.body.replace(b"http://www.w3.org", b"")
    assert b"https:" not in page.body
    assert b"style=" not in page.body
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
        answer = await steps.ask(get(f"/__emulator__/{name}"))
        assert answer.headers["content-type"].startswith(kind)
        assert f"__emulator__/{name}".encode() in page.body
    file_id = await steps.publish(b"hello")
    moved = await steps.ask(get(f"/__emulator__/files/{file_id}/play"))
    assert moved.status == 302
    assert (await steps.ask(get(moved.headers["location"].removeprefix("../../..")))).body == b"hello"
