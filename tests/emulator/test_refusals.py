"""Everything a real server would refuse, with the code that the document gives it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, FileState

from .conftest import Begin
from .steps import Steps
from .wire import FORM, Answer, form, get, post, wire

pytestmark = pytest.mark.anyio

FILE_PART = b'--frontier\r\nContent-Disposition: form-data; name="file"'

TOKEN_CALLS: dict[str, Callable[[str], bytes]] = {
    "openupload": lambda token: get("/openupload", filetype="mp4", filesize="5", access_token=token),
    "openupload query": lambda token: get(f"/openupload?filetype=mp4&filesize=5&access_token={token}"),
    "uploadfinish": lambda token: post("/uploadfinish", range_finished="true", file_id="0", access_token=token),
    "upload": lambda token: post("/upload", range_finished="true", file_id="0", access_token=token),
    "cancelupload": lambda token: post("/cancelupload", status="2", file_id="0", access_token=token),
    **{
        name: lambda token, name=name: get(f"/api/file/{name}?file_id=0&file_ids=0&delete_type=1&access_token={token}")
        for name in ("info", "fullStatus", "videoListForExternal", "urllist", "delete")
    },
}


@pytest.mark.parametrize("name", TOKEN_CALLS)
async def test_tokens_of_every_operation(steps: Steps, name: str) -> None:
    ask = TOKEN_CALLS[name]
    assert (await steps.ask(ask("ffffffffffffffffffffffffffffffff"))).code == "A21332"
    assert (await steps.ask(ask(""))).code == "A21332"
    steps.emulator.spoil_tokens("expired")
    assert (await steps.ask(ask(steps.token))).code == "A21327"
    steps.emulator.spoil_tokens("revoked")
    assert (await steps.ask(ask(steps.token))).code == "A21332"


@pytest.mark.parametrize("name", TOKEN_CALLS)
async def test_a_refresh_token_is_no_access_token(steps: Steps, name: str) -> None:
    refresh = (await steps.authorize())["refresh_token"]
    assert (await steps.ask(TOKEN_CALLS[name](refresh))).code == "A21332"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"client_id": DEFAULT_APP_KEY, "client_secret": "wrong"}, "A21324"),
        ({"client_id": "nobody", "client_secret": DEFAULT_APP_SECRET}, "A21324"),
        ({"client_id": DEFAULT_APP_KEY}, "Q00001"),
        ({"client_secret": DEFAULT_APP_SECRET}, "Q00001"),
        ({}, "Q00001"),
    ],
)
async def test_authorize(steps: Steps, query: dict[str, str], code: str) -> None:
    assert (await steps.ask(get("/api/iqiyi/authorize?" + urlencode(query)))).code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"grant_type": "password"}, "A21328"),
        ({"grant_type": ""}, "A21323"),
        ({"refresh_token": ""}, "A21323"),
        ({"client_id": "nobody"}, "A21324"),
        ({"client_secret": "wrong"}, "A21324"),
        ({"client_id": "other"}, "A21325"),
        ({"refresh_token": "ffff"}, "A21325"),
    ],
)
async def test_refresh(begin: Begin, change: dict[str, str], code: str) -> None:
    steps = await begin(other_apps={"other": "secret"})
    granted = await steps.authorize()
    query = {"client_id": DEFAULT_APP_KEY, "grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    assert (await steps.ask(get("/api/oauth2/token?" + urlencode(query | change)))).code == code


async def test_an_access_token_does_not_refresh(steps: Steps) -> None:
    query = {"client_id": DEFAULT_APP_KEY, "grant_type": "refresh_token", "refresh_token": steps.token}
    assert (await steps.ask(get("/api/oauth2/token?" + urlencode(query)))).code == "A21325"


@pytest.mark.parametrize(
    ("file_type", "size"),
    [
        *(("mp4", size) for size in ("0", "-1", "1.5", "", "1e3", " ", "１２", str(2**53 + 1), "9" * 400)),
        *((kind, "5") for kind in ("", "mp4;", "../mp4", ".mp4", "mp 4", "x" * 33)),
    ],
)
async def test_openupload_parameters(steps: Steps, file_type: str, size: str) -> None:
    query = urlencode({"access_token": steps.token, "filetype": file_type, "filesize": size})
    assert (await steps.ask(get(f"/openupload?{query}"))).code == "A00010"
    assert not steps.emulator.files


@pytest.mark.parametrize(
    ("standing", "code"), [("pending", "A00005"), ("rejected", "A00007"), ("frozen", "A00008"), ("deleted", "A00009")]
)
async def test_an_application_that_may_not_upload(begin: Begin, standing: str, code: str) -> None:
    steps = await begin(application=standing)
    answer = await steps.ask(get("/openupload", filetype="mp4", filesize="5", access_token=steps.token))
    assert answer.code == code


async def test_quota_of_bytes_and_files(begin: Begin) -> None:
    steps = await begin(quota_bytes=100, quota_files=3)
    file_id = await steps.open(60)
    assert (await _open(steps, 60)).code == "A00018"
    await steps.cancel(file_id)
    for _ in range(3):
        await steps.open(10)
    assert (await _open(steps, 1)).code == "A00018"


async def _open(steps: Steps, size: int) -> Answer:
    return await steps.ask(get("/openupload", filetype="mp4", filesize=str(size), access_token=steps.token))


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"file_id": "0" * 32}, "A00005", "unknown"),
        ({"file_id": ""}, "A00005", "can not find file id None"),
        ({"file_size": "11"}, "A00010", "file_size must be 10"),
        ({"file_size": "ten"}, "A00010", "file_size"),
        ({"range": "0-4,5-9"}, "A00010", "first-last"),
        ({"range": "bytes=0-4"}, "A00010", "first-last"),
        ({"range": "0-"}, "A00010", "first-last"),
        ({"range": "-5"}, "A00010", "first-last"),
        ({"range": "4-0"}, "A00010", "within"),
        ({"range": "10-14"}, "A00010", "within"),
        ({"range": "8-12"}, "A00010", "within"),
        ({"range": "6-11"}, "A00010", "within"),
        ({"range": "0-3"}, "A00010", "holds more"),
        ({"range": "0-6"}, "A00010", "names 7 bytes; the body holds 5"),
        # One byte more than the body is what official clients send; the file's end is still the end.
        ({"range": "6-10"}, "A00010", "room for 4 bytes"),
    ],
)
@pytest.mark.parametrize("placement", ["headers", "form", "bare"])
async def test_chunks(steps: Steps, placement: str, change: dict[str, str], code: str, words: str) -> None:
    file_id = await steps.open(10)
    params = {"file_id": file_id, "file_size": "10", "range": "0-4"} | change
    match placement:
        case "headers":
            request = post("/upload", form(b"hello"), FORM, **params)
        case "bare":
            request = post("/upload", b"hello", "", **params)
        case _:
            request = post("/upload?type=body", form(b"hello", **params), FORM)
    async with wire(steps.url) as line:
        answer = await line.ask(request)
        assert (answer.status, answer.code) == (200, code)
        assert words in answer.json["msg"]
        # The connection is as good as before.
        again = await line.ask(post("/upload", form(b"hello"), FORM, file_id=file_id, file_size="10", range="0-4"))
    assert again.code == "A00000"
    assert steps.emulator.files[file_id].ranges == ((0, 4),)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", FORM, "ends before its last boundary"),
        (b"", "", "file part is missing"),
        (b"--frontier--\r\n", FORM, "file part is missing"),
        (form(b"hello").replace(b'"file"', b'"other"'), FORM, "must be named file"),
        (form(b"hello")[:-15], FORM, "ends before its last boundary"),
        (form(b"hello").replace(b"--frontier--", form(b"x")), FORM, "one file part only"),
        (b"hello", FORM, "cannot be read"),
        (b"hello", "multipart/form-data", "open with a boundary"),
        (b"hello", "multipart/form-data; boundary=" + "x" * 300, "boundary is longer"),
        (form(b"hello", note="x" * 5000), FORM, "longer than 4096"),
        (form(b"hello", **{f"f{n}": "" for n in range(40)}), FORM, "32 at most"),
        (form(b"hello").replace(b"filename", b"x" * 20_000), FORM, "cannot be read"),
    ],
)
async def test_bodies_that_are_no_upload(steps: Steps, body: bytes, content_type: str, words: str) -> None:
    file_id = await steps.open(5)
    answer = await steps.ask(post("/upload", body, content_type, file_id=file_id, file_size="5", range="0-4"))
    assert answer.code == "A00010"
    assert words in answer.json["msg"]
    assert steps.emulator.files[file_id].accepted == 0


async def test_form_fields_behind_the_file_come_too_late(steps: Steps) -> None:
    file_id = await steps.open(5)
    fields = form(b"", file_id=file_id, file_size="5", range="0-4").split(FILE_PART)
    late = form(b"hello").removesuffix(b"--frontier--\r\n") + fields[0] + b"--frontier--\r\n"
    answer = await steps.ask(post("/upload?type=body", late, FORM))
    assert answer.code == "A00005"
    assert steps.emulator.files[file_id].accepted == 0


async def test_finish(begin: Begin) -> None:
    steps = await begin(early_finish="refused")
    file_id = await steps.open(10)
    await steps.chunk(file_id, 10, 0, b"01234")
    await steps.chunk(file_id, 10, 6, b"6789")
    early = await steps.finish(file_id)
    assert (early.code, early.json["msg"]) == ("A00010", "1 of 10 bytes have not arrived")
    wrong = post("/uploadfinish", range_finished="false", access_token=steps.token, file_id=file_id)
    assert (await steps.ask(wrong)).code == "A00010"
    assert (await steps.finish("0" * 32)).code == "A00005"
    await steps.chunk(file_id, 10, 5, b"5")
    assert (await steps.finish(file_id)).code == "A00000"
    assert (await steps.finish(file_id)).code == "A00000"
    assert (await steps.chunk(file_id, 10, 0, b"x")).code == "A00010"
    assert (await steps.cancel(file_id)).code == "A00010"
    assert len(steps.emulator.files) == 1


async def test_cancel(steps: Steps) -> None:
    file_id = await steps.open(10)
    wrong = post("/cancelupload", status="1", access_token=steps.token, file_id=file_id)
    assert (await steps.ask(wrong)).code == "A00010"
    assert (await steps.cancel("0" * 32)).code == "A00005"
    await steps.chunk(file_id, 10, 0, b"hello")
    assert (await steps.cancel(file_id)).code == "A00000"
    assert (await steps.cancel(file_id)).code == "A00000"
    assert (steps.emulator.files[file_id].accepted, steps.emulator.content(file_id)) == (0, b"")
    assert (await steps.chunk(file_id, 10, 0, b"x")).code == "A00005"
    assert (await steps.finish(file_id)).code == "A00005"
    assert (await steps.metadata(file_id)).code == "Q00001"


@pytest.mark.parametrize(
    "change",
    [{"file_name": ""}, {"file_name": None}, {"description": None}, {"file_id": None}, {"file_id": "0"}]
    + [{"file_type": number} for number in ("0", "11", "x", "-1")],
)
async def test_metadata(steps: Steps, change: dict[str, str | None]) -> None:
    file_id = await steps.open(5)
    fields: dict[str, Any] = {"file_id": file_id, "file_name": "a", "description": ""} | change
    fields = {name: value for name, value in fields.items() if value is not None}
    assert (await steps.api("/api/file/info", **fields)).code == "Q00001"
    assert steps.emulator.files[file_id].name is None


@pytest.mark.parametrize("query", [{"page_size": "101"}, {"page_size": "0"}, {"page_size": "x"}, {"page": "0"}])
async def test_listing(steps: Steps, query: dict[str, str]) -> None:
    assert (await steps.api("/api/file/videoListForExternal", **query)).code == "Q00001"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"delete_type": "1"},
        {"file_ids": "0"},
        {"delete_type": "2", "file_ids": "0"},
        {"delete_type": "1", "file_ids": "0"},
    ],
)
async def test_deletion(steps: Steps, query: dict[str, str]) -> None:
    file_id = await steps.open(5)
    assert (await steps.api("/api/file/delete", **query)).code == "Q00001"
    assert steps.emulator.files[file_id].state is FileState.UPLOADING


async def test_another_application_sees_nothing(begin: Begin) -> None:
    steps = await begin(other_apps={"other": "secret"})
    file_id = await steps.publish(b"hello")
    await steps.authorize("other", "secret")
    calls: list[tuple[Awaitable[Any], str]] = [
        (steps.finish(file_id), "A00005"),
        (steps.cancel(file_id), "A00005"),
        (steps.metadata(file_id), "Q00001"),
        (steps.status(file_id), "A00003"),
        (steps.api("/api/file/urllist", file_id=file_id), "Q00001"),
        (steps.api("/api/file/delete", delete_type="1", file_ids=file_id), "Q00001"),
        (steps.api("/api/file/delete", delete_type="0"), "A00000"),
    ]
    for call, code in calls:
        assert (await call).code == code
    assert (await steps.api("/api/file/videoListForExternal")).json["count"] == 0
    assert steps.emulator.files[file_id].state is FileState.PUBLISHED


@pytest.mark.parametrize("path", ["/api/file/fullStatus", "/api/file/urllist"])
async def test_a_missing_file_id(steps: Steps, path: str) -> None:
    assert (await steps.api(path)).code == "Q00001"


async def test_methods_and_addresses(steps: Steps) -> None:
    answer = await steps.ask(post("/api/file/info"))
    assert (answer.status, answer.headers["allow"], answer.code) == (405, "GET", "Q00001")
    answer = await steps.ask(get("/upload"))
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = await steps.ask(get("/nothing"))
    assert answer.status == 404
    assert "/openupload" in answer.json["msg"]


async def test_endless_headers(steps: Steps) -> None:
    answer = await steps.ask(get("/openupload", access_token="x" * 70_000))
    assert (answer.status, answer.code) == (431, "Q00001")
    async with wire(steps.url) as line:
        await line.send(b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"x" * 600_000)
        answer = await line.answer()
    assert answer.status == 400
    assert "too long" in answer.json["msg"]


async def test_what_is_no_http(steps: Steps) -> None:
    answer = await steps.ask(b"\x16\x03\x01\x02\x00hello\r\n\r\n")
    assert answer.status == 400
    assert json.loads(answer.body)["code"] == "Q00001"
