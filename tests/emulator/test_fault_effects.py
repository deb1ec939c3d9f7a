"""Each fault on a real connection: what the client sees, and what the service holds afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time

import httpx
import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, Emulator, EmulatorConfig, EmulatorServer, Fault, FaultPlan, FileState

from .steps import Steps, chunk, javascript, target
from .wire import FORM, form, get, post, until, wire

pytestmark = pytest.mark.anyio


def plan(steps: Steps, *faults: Fault) -> FaultPlan:
    steps.emulator.faults = FaultPlan(faults)
    return steps.emulator.faults


async def test_the_nth_call_answers_otherwise(steps: Steps) -> None:
    file_id = await steps.open(10)
    made = plan(steps, Fault(operation="upload_chunk", call=2, status=503, headers={"Retry-After": "7"}))
    assert (await steps.chunk(file_id, 10, 0, b"hello")).code == "A00000"
    answer = await steps.chunk(file_id, 10, 5, b"world")
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert steps.emulator.files[file_id].ranges == ((0, 4),)
    assert (await steps.chunk(file_id, 10, 5, b"world")).code == "A00000"
    assert made.fired == (1,)
    assert [entry.faults for entry in steps.emulator.history][-3:] == [(), (0,), ()]


async def test_code_and_body(steps: Steps) -> None:
    plan(
        steps,
        Fault(operation="get_status", call=1, code="A21331"),
        Fault(operation="get_status", call=2, body="<html>oops"),
        Fault(operation="get_status", call=3, status=204),
        Fault(operation="get_status", call=4, headers={"X-Note": "here"}),
    )
    assert (await steps.status("0")).json["code"] == "A21331"
    assert (await steps.status("0")).body == b"<html>oops"
    answer = await steps.status("0")
    assert (answer.status, answer.body) == (204, b"")
    answer = await steps.status("0")
    assert (answer.code, answer.headers["x-note"]) == ("A00003", "here")


async def test_delay(steps: Steps) -> None:
    plan(steps, Fault(operation="get_status", call=1, delay=0.15))
    before = time.monotonic()
    assert (await steps.status("0")).code == "A00003"
    assert time.monotonic() - before >= 0.15


async def test_stall_in_the_middle_of_a_body(steps: Steps) -> None:
    file_id = await steps.open(2_000_000)
    made = plan(steps, Fault(operation="upload_chunk", call=1, stall=0.15, after_bytes=500_000))
    before = time.monotonic()
    assert (await steps.chunk(file_id, 2_000_000, 0, b"x" * 2_000_000)).code == "A00000"
    assert time.monotonic() - before >= 0.15
    assert made.fired == (1,)


async def test_an_early_answer_in_the_middle_of_a_body(steps: Steps) -> None:
    file_id = await steps.open(1_000_000)
    plan(steps, Fault(operation="upload_chunk", call=1, status=401, after_bytes=1000))
    request = chunk(file_id, 1_000_000, 0, b"x" * 1_000_000)
    async with wire(steps.url) as line:
        await line.send(request[:5000])
        assert (await line.answer()).status == 401
        # Whoever goes on sending finds the connection in order.
        await line.send(request[5000:])
        assert (await line.ask(request)).code == "A00000"


async def test_dropped_in_the_middle_of_a_body(steps: Steps) -> None:
    file_id = await steps.open(100_000)
    plan(steps, Fault(operation="upload_chunk", call=1, drop=True, after_bytes=50_000))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await steps.chunk(file_id, 100_000, 0, b"x" * 100_000)
    assert steps.emulator.files[file_id].accepted == 0
    entry = steps.emulator.history[-1]
    assert (entry.ending, entry.status, entry.faults) == ("dropped", None, (0,))
    assert entry.bytes >= 50_000
    assert (await steps.chunk(file_id, 100_000, 0, b"x" * 100_000)).code == "A00000"


async def test_dropped_before_anything_is_handled(steps: Steps) -> None:
    file_id = await steps.open(5)
    plan(steps, Fault(operation="upload_chunk", call=1, drop=True), Fault(operation="get_status", call=1, drop=True))
    for call in (steps.chunk(file_id, 5, 0, b"hello"), steps.status(file_id)):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await call
    assert steps.emulator.files[file_id].accepted == 0


async def test_a_lost_answer_was_handled(steps: Steps) -> None:
    file_id = await steps.open(5)
    plan(
        steps,
        Fault(operation="upload_chunk", call=1, lost_answer=True),
        Fault(operation="finish_upload", call=1, lost_answer=True),
    )
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await steps.chunk(file_id, 5, 0, b"hello")
    assert steps.emulator.content(file_id) == b"hello"
    await steps.metadata(file_id)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await steps.finish(file_id)
    assert steps.emulator.files[file_id].state is FileState.PUBLISHING


@pytest.mark.parametrize("size", [5, 1024 * 1024, 3_000_000])
async def test_a_wrong_md5_is_of_what_was_stored(steps: Steps, size: int) -> None:
    data = os.urandom(size)
    file_id = await steps.open(size)
    plan(steps, Fault(operation="upload_chunk", call=1, wrong_md5=True))
    answer = await steps.chunk(file_id, size, 0, data)
    stored = steps.emulator.content(file_id)
    assert answer.json["range_md5"] == hashlib.md5(stored).hexdigest() != hashlib.md5(data).hexdigest()
    assert answer.json["file_range_accepted"] == size
    assert (await steps.chunk(file_id, size, 0, data)).json["range_md5"] == hashlib.md5(data).hexdigest()
    assert steps.emulator.content(file_id) == data


@pytest.mark.parametrize(("fewer", "accepted"), [(2, 3), (5, 0), (9, 0)])
async def test_a_short_accept_is_one(steps: Steps, fewer: int, accepted: int) -> None:
    file_id = await steps.open(5)
    plan(steps, Fault(operation="upload_chunk", call=1, short_accept=fewer))
    answer = await steps.chunk(file_id, 5, 0, b"hello")
    assert (answer.code, answer.json["file_range_accepted"]) == ("A00000", accepted)
    assert steps.emulator.content(file_id) == b"hello"[:accepted]


@pytest.mark.parametrize(("how", "code"), [("expired", "A21327"), ("revoked", "A21332")])
async def test_the_presented_token_goes_bad(steps: Steps, how: str, code: str) -> None:
    other = steps.token
    refresh = (await steps.authorize())["refresh_token"]
    key = f"client_id={DEFAULT_APP_KEY}&grant_type=refresh_token&refresh_token={refresh}"
    steps.token = (await steps.ask(get(f"/api/oauth2/token?{key}"))).json["access_token"]
    made = plan(steps, Fault(operation="*", call=[1, 2], token=how))  # type: ignore[arg-type]
    # A chunk presents no token: there is nothing to spoil, and the fault has not fired.
    await steps.chunk("0", 5, 0, b"hello")
    assert made.fired == (0,)
    assert (await steps.status("0")).code == code
    steps.token = other
    assert (await steps.status("0")).code == "A00003"
    assert made.fired == (1,)


async def test_the_service_forgets_a_video(steps: Steps) -> None:
    file_id = await steps.open(5)
    plan(steps, Fault(operation="upload_chunk", call=2, drop_file=True))
    assert (await steps.chunk(file_id, 5, 0, b"he")).code == "A00000"
    assert (await steps.chunk(file_id, 5, 2, b"llo")).code == "A00005"
    assert (await steps.status(file_id)).code == "A00003"
    assert file_id not in steps.emulator.files


async def test_a_status_that_lags(steps: Steps) -> None:
    plan(steps, Fault(operation="finish_upload", lag=60))
    file_id = await steps.publish(b"hello")
    assert (await steps.status(file_id)).code == "A00004"
    assert steps.emulator.files[file_id].state is FileState.PUBLISHED
    steps.emulator.clock.advance(60)
    assert (await steps.status(file_id)).code == "A00000"


async def test_a_status_that_lags_may_know_nothing_of_the_video(steps: Steps) -> None:
    plan(steps, Fault(operation="finish_upload", lag=60, lag_code="A00003"))
    file_id = await steps.publish(b"hello")
    assert (await steps.status(file_id)).code == "A00003"
    assert (await steps.api("/api/file/videoListForExternal")).json["count"] == 0
    steps.emulator.clock.advance(60)
    assert (await steps.status(file_id)).code == "A00000"


async def test_an_answer_cut_short(steps: Steps) -> None:
    plan(
        steps,
        Fault(operation="get_status", call=1, truncate=5),
        Fault(operation="get_status", call=2, truncate=0, body="not much"),
        Fault(operation="get_status", call=3, truncate=500),
    )
    for sent in (b'{"cod', b"", b'{"code":"A00003","msg":"no such video"}'):
        async with wire(steps.url) as line:
            await line.send(get(f"/api/file/fullStatus?file_id=0&access_token={steps.token}"))
            head = await line.reader.readuntil(b"\r\n\r\n")
            assert b"content-length" in head
            assert await line.reader.read() == sent


async def test_an_endless_answer_is_made_as_it_goes(steps: Steps) -> None:
    plan(steps, Fault(operation="get_status", call=1, oversize=300_000), Fault(operation="get_status", oversize=10**15))
    answer = await steps.status("0")
    assert len(answer.body) == 300_000
    assert json.loads(answer.body)["code"] == "A00000"
    async with wire(steps.url) as line:
        await line.send(get(f"/api/file/fullStatus?file_id=0&access_token={steps.token}"))
        assert len(await line.reader.readexactly(3_000_000)) == 3_000_000
    await until(lambda: not steps.server.connections)


async def test_playing_has_its_faults_too(steps: Steps) -> None:
    file_id = await steps.publish(b"x" * 5000)
    url = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]["mp4"]["1"]
    plan(steps, Fault(operation="resolve_url", call=1, status=502), Fault(operation="play", call=1, truncate=100))
    assert (await steps.ask(get(target(url)))).status == 502
    real = javascript((await steps.ask(get(target(url)))).body)["data"]["l"]
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await steps.ask(get(target(real)))
    assert len(caught.value.partial) == 100


async def test_several_faults_meet_one_request(steps: Steps) -> None:
    file_id = await steps.open(5)
    made = plan(
        steps,
        Fault(operation="*", delay=0.01),
        Fault(operation="upload_chunk", short_accept=1),
        Fault(operation="upload_chunk", headers={"X-A": "1"}),
        Fault(operation="upload_chunk", headers={"X-A": "2", "X-B": "2"}),
    )
    answer = await steps.chunk(file_id, 5, 0, b"hello")
    assert answer.json["file_range_accepted"] == 4
    assert (answer.headers["x-a"], answer.headers["x-b"]) == ("1", "2")
    assert made.fired == (1, 1, 1, 1)


async def test_finish_in_a_form_is_finish_to_the_plan(steps: Steps) -> None:
    made = plan(steps, Fault(operation="finish_upload", call=1, code="A00010"))
    fields = form(b"", range_finished="true", access_token=steps.token, file_id="0").split(b"--frontier\r\n")
    body = b"--frontier\r\n".join(fields[:-1]) + b"--frontier--\r\n"
    assert (await steps.ask(post("/upload", body, FORM))).json["msg"] == "a planned fault"
    assert made.unfired() == ()


async def test_a_client_that_gives_up_during_a_delay_is_noted(steps: Steps) -> None:
    plan(steps, Fault(operation="upload_chunk", delay=0.1))
    async with wire(steps.url) as line:
        await line.send(chunk(await steps.open(5), 5, 0, b"hello")[:-20])
        await asyncio.sleep(0.02)
    await until(lambda: steps.emulator.history[-1].ending)
    assert steps.emulator.history[-1].ending == "disconnected"


async def test_closing_does_not_wait_for_delays() -> None:
    server = EmulatorServer(EmulatorConfig(faults=FaultPlan((Fault(delay=3600),))))
    async with server, wire(server.endpoint_url) as line:
        await line.send(get("/openupload"))
        await until(lambda: server.emulator.history)
        before = time.monotonic()
        await server.aclose()
        assert time.monotonic() - before < 2
        assert await line.reader.read() == b""


async def test_without_a_socket_a_drop_is_an_error_of_the_connection() -> None:
    config = EmulatorConfig(faults=FaultPlan((Fault(call=1, drop=True),)))
    async with Emulator(config) as emulator:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), base_url="http://emulator") as client:
            with pytest.raises(ConnectionResetError):
                await client.get("/openupload")
            assert (await client.get("/openupload")).json()["code"] == "A21332"
