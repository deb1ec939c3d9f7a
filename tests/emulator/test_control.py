"""The control API, as curl would use it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from iqiyi_async.emulator import Emulator, FileState

from .steps import Steps
from .wire import Answer, get, post

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
