"""Section B of the service contract as literal requests and answers, in its order."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from typing import Any

import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, FileState

from .conftest import Begin
from .steps import Steps, javascript, target
from .wire import Answer, get, post

pytestmark = pytest.mark.anyio

HOST = b"Host: 127.0.0.1\r\n"
LOST = b'{"msg": "can not find file id None", "code": "A00005"}'
UPLOAD_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, PUT, GET, HEAD, OPTIONS",
    "access-control-max-age": "21600",
    "access-control-allow-headers": (
        "filetype, filesize, file_size, access_token, range, file_id, range_finished, status"
    ),
}
API_CORS = {"access-control-allow-origin": "*", "access-control-allow-headers": "X-Requested-With"}


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def request(line: bytes, body: bytes, content_type: bytes, more: bytes = b"") -> bytes:
    """A POST as the SDKs write it."""
    head = line + b" HTTP/1.1\r\n" + HOST + b"Content-Type: " + content_type + b"\r\n" + more
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def field(name: bytes, value: bytes, header: bytes = b"Content-Disposition") -> bytes:
    return b"--B\r\n" + header + b': form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"


FORM = b"multipart/form-data; boundary=B"


class TestB1Ranges:
    @staticmethod
    def android(file_id: str, size: int, first: int, data: bytes, header: bytes) -> bytes:
        """Its file part ends with one CRLF too many, and nothing follows the last boundary."""
        return (
            field(b"file_id", file_id.encode(), header)
            + field(b"file_size", b"%d" % size, header)
            + field(b"range", b"%d-%d" % (first, first + len(data) - 1), header)
            + b"--B\r\n"
            + header
            + b': form-data; name="file"; filename="slice"\r\ncontent-type: application/octet-stream\r\n\r\n'
            + data
            + b"\r\n\r\n--B--"
        )

    @pytest.mark.parametrize("header", [b"content-disposition", b"Content-Disposition"])
    async def test_one_crlf_too_many(self, steps: Steps, header: bytes) -> None:
        data = b"0123456789"
        file_id = await steps.open(20)
        for first in (0, 10):
            body = self.android(file_id, 20, first, data, header)
            answer = await steps.ask(request(b"POST /upload?type=body", body, FORM))
            assert answer.json == {
                "code": "A00000",
                "range_md5": md5(data),
                "file_range_accepted": 10,
                "file_id": file_id,
            }
        assert steps.emulator.content(file_id) == data * 2

    async def test_bytes_that_end_in_crlf_themselves(self, steps: Steps) -> None:
        data = b"01234567\r\n"
        file_id = await steps.open(10)
        body = self.android(file_id, 10, 0, data, b"content-disposition")
        assert (await steps.ask(request(b"POST /upload?type=body", body, FORM))).json["range_md5"] == md5(data)
        assert steps.emulator.content(file_id) == data

    @pytest.mark.parametrize("surplus", [b"\r\n\r\n", b"x\r\n", b"\rx", b"\n"])
    async def test_anything_else_behind_the_range_is_refused(self, steps: Steps, surplus: bytes) -> None:
        file_id = await steps.open(10)
        body = self.android(file_id, 10, 0, b"0123456789", b"Content-Disposition")
        body = body.replace(b"9\r\n\r\n--B--", b"9" + surplus + b"\r\n--B--")
        assert (await steps.ask(request(b"POST /upload?type=body", body, FORM))).code == "A00010"
        assert steps.emulator.files[file_id].accepted == 0

    async def test_lower_case_without_type_body_is_not_read(self, steps: Steps) -> None:
        file_id = await steps.open(10)
        body = self.android(file_id, 10, 0, b"0123456789", b"content-disposition")
        answer = await steps.ask(request(b"POST /upload", body, FORM))
        assert (answer.status, answer.body) == (200, LOST)
        body = self.android(file_id, 10, 0, b"0123456789", b"Content-Disposition")
        assert (await steps.ask(request(b"POST /upload", body, FORM))).code == "A00000"

    async def test_the_file_part_may_be_named_upload(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        body = b'--B\r\nContent-Disposition: form-data; name="upload"; filename="a"\r\n\r\nhello\r\n--B--\r\n'
        more = b"file_id: %s\r\nfile_size: 5\r\nrange: 0-4\r\n" % file_id.encode()
        assert (await steps.ask(request(b"POST /upload", body, FORM, more))).json["range_md5"] == md5(b"hello")

    @pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n--B", b"\r\n--B\r\n", b"\r\n--B-"])
    async def test_fields_only_without_the_closing_boundary(self, steps: Steps, end: bytes) -> None:
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        body = field(b"range_finished", b"true") + field(b"access_token", steps.token.encode())
        body += field(b"file_id", file_id.encode()).removesuffix(b"\r\n") + end
        answer = await steps.ask(request(b"POST /upload?type=body", body, FORM))
        assert answer.json == {"code": "A00000", "file_id": file_id}

    @pytest.mark.parametrize("path", ["/upload", "/uploadfinish", "/cancelupload"])
    async def test_headers_that_were_lost_on_the_way(self, steps: Steps, path: str) -> None:
        lost = post(path, b"hello", access_token=steps.token, range_finished="true", status="2")
        if path == "/upload":
            lost = post(path, b"hello", range="0-4")
        answer = await steps.ask(lost)
        assert (answer.status, answer.body) == (200, LOST)


class TestB3Forms:
    @pytest.mark.parametrize("path", [b"/openupload?type=body", b"/openupload", b"/openupload/"])
    @pytest.mark.parametrize("kind", ["multipart", "urlencoded"])
    async def test_openupload(self, steps: Steps, path: bytes, kind: str) -> None:
        fields = {"role": "openapi", "device_id": "8679", "filetype": "mp4", "filesize": "5"}
        answer = await steps.ask(self.form(path, kind, {**fields, "access_token": steps.token}))
        assert answer.code == "A00000"
        assert set(answer.json["data"]) == {"upload_url", "file_id"}
        assert steps.emulator.files[answer.json["data"]["file_id"]].size == 5

    @pytest.mark.parametrize("path", [b"/upload?type=body", b"/uploadfinish?type=body", b"/upload", b"/uploadfinish"])
    @pytest.mark.parametrize("kind", ["multipart", "urlencoded"])
    async def test_finish(self, steps: Steps, path: bytes, kind: str) -> None:
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        fields = {"range_finished": "true", "access_token": steps.token, "file_id": file_id}
        answer = await steps.ask(self.form(path, kind, fields))
        named = {"file_id": file_id} if b"type=body" in path else {}
        assert answer.json == {"code": "A00000", **named}
        assert steps.emulator.files[file_id].state is FileState.PUBLISHING
        assert steps.emulator.history[-1].operation == "finish_upload"

    async def test_two_finishes_at_once(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        fields = {"range_finished": "true", "access_token": steps.token, "file_id": file_id}
        both = [steps.ask(self.form(b"/upload?type=body", "multipart", fields)) for _ in range(2)]
        assert [answer.code for answer in await asyncio.gather(*both)] == ["A00000", "A00000"]

    @pytest.mark.parametrize("kind", ["multipart", "urlencoded"])
    async def test_cancel(self, steps: Steps, kind: str) -> None:
        file_id = await steps.open(5)
        fields = {"status": "2", "access_token": steps.token, "file_id": file_id}
        assert (await steps.ask(self.form(b"/cancelupload", kind, fields))).json == {"code": "A00000"}
        assert steps.emulator.files[file_id].state is FileState.CANCELLED

    async def test_cancel_as_get_with_headers(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        asked = get("/cancelupload", status="2", access_token=steps.token, file_id=file_id)
        assert (await steps.ask(asked)).json == {"code": "A00000"}

    async def test_everything_in_the_query(self, steps: Steps) -> None:
        token = f"access_token={steps.token}"
        answer = await steps.ask(get(f"/openupload/?{token}&filetype=mp4&filesize=5"))
        file_id = answer.json["data"]["file_id"]
        assert (await steps.ask(get(f"/cancelupload?{token}&file_id={file_id}&status=2"))).code == "A00000"
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        finish = f"/uploadfinish?{token}&file_id={file_id}&range_finished=1"
        assert (await steps.ask(get(finish))).json == {"code": "A00000"}

    async def test_javascript_finishes_at_the_upload_address(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        asked = post("/upload", range_finished="true", access_token=steps.token, file_id=file_id)
        assert (await steps.ask(asked)).json == {"code": "A00000"}

    async def test_finish_of_what_is_not_there(self, steps: Steps) -> None:
        """It is taken, as recorded; the video fails unless its bytes come after all."""
        late, never = await steps.open(5), await steps.open(5)
        for file_id in (late, never):
            await steps.metadata(file_id)
            assert (await steps.finish(file_id)).json == {"code": "A00000"}
        assert [text.partition(": ")[2] for text in steps.emulator.violations if "finish was said" in text] == [
            "finish was said while 5 of 5 bytes had not been accepted"
        ] * 2
        assert (await steps.chunk(late, 5, 0, b"hello")).code == "A00000"
        steps.emulator.clock.advance(10)
        assert (await steps.status(late)).code == "A00000"
        assert (await steps.status(never)).code == "A00007"

    @staticmethod
    def form(path: bytes, kind: str, fields: dict[str, str]) -> bytes:
        if kind == "urlencoded":
            body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
            return request(b"POST " + path, body, b"application/x-www-form-urlencoded")
        body = b"".join(field(name.encode(), value.encode()) for name, value in fields.items()) + b"--B--\r\n"
        return request(b"POST " + path, body, FORM)


async def test_b4_ranges_that_name_a_byte_too_many_and_a_time_in_the_query(steps: Steps) -> None:
    data = bytes(range(200)) * 10
    file_id = await steps.open(2000)
    for first, last in ((1000, 2000), (0, 1000)):
        piece = data[first : first + 1000]
        headers = {"file_id": file_id, "file_size": "2000", "range": f"{first}-{last}"}
        answer = await steps.ask(post("/upload?t=1450000000000", piece, "application/octet-stream", **headers))
        assert (answer.json["range_md5"], answer.json["file_range_accepted"]) == (md5(piece), 1000)
    assert steps.emulator.content(file_id) == data


async def test_b8_answers_are_declared_as_text(steps: Steps) -> None:
    for asked in (get("/openupload"), post("/upload"), get("/api/file/urllist"), get("/api/oauth2/token")):
        answer = await steps.ask(asked)
        assert answer.status == 200
        assert answer.headers["content-type"].partition(";")[0] in ("text/plain", "text/html")


async def test_b9_the_second_exchange_ends_with_a_semicolon(steps: Steps) -> None:
    file_id = await steps.publish(b"hello")
    url = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]["mp4"]["1"]
    body = (await steps.ask(get(target(url)))).body
    assert body.startswith(b"var videoUrl={")
    assert body.endswith(b"}};")
    # What clients do that cut the last character.
    assert set(json.loads(body.removeprefix(b"var videoUrl=")[:-1])["data"]) == {"l", "t", "s", "z", "h", "e"}


class TestB11Tokens:
    async def test_authorize_is_idempotent(self, begin: Begin) -> None:
        steps = await begin(token_lifetime=100, refresh_lifetime=300)
        first = await steps.authorize()
        assert first["expires_in"] == 100
        steps.emulator.clock.advance(40)
        second = await steps.authorize()
        assert second == {**first, "expires_in": 60}
        steps.emulator.clock.advance(60)
        third = await steps.authorize()
        assert third["access_token"] != first["access_token"]
        assert (third["refresh_token"], third["expires_in"]) == (first["refresh_token"], 100)
        steps.emulator.spoil_tokens("revoked")
        steps.emulator.spoil_tokens("revoked", "refresh")
        fourth = await steps.authorize()
        assert fourth["access_token"] != third["access_token"]
        assert fourth["refresh_token"] != third["refresh_token"]

    async def test_it_stays_so_over_a_restart(self, begin: Begin, tmp_path: Any) -> None:
        steps = await begin(data_dir=tmp_path)
        first = await steps.authorize()
        await steps.server.aclose()
        logged = (tmp_path / "state.log").read_text()
        assert first["access_token"] not in logged
        assert first["refresh_token"] not in logged
        again = await (await begin(data_dir=tmp_path)).authorize()
        assert again["access_token"] == first["access_token"]
        assert again["refresh_token"] == first["refresh_token"]

    async def test_a_life_of_half_a_second(self, begin: Begin) -> None:
        steps = await begin(token_lifetime=0.5)
        assert (await steps.authorize())["expires_in"] == 1
        assert (await steps.api("/api/file/count")).code == "A00000"
        steps.emulator.clock.advance(0.5)
        assert (await steps.api("/api/file/count")).code == "A21327"

    @pytest.mark.parametrize("kind", ["iqiyi", "enterprise", "person"])
    async def test_addresses(self, steps: Steps, kind: str) -> None:
        key = f"client_id={DEFAULT_APP_KEY}"
        path = f"/api/{kind}/authorize"
        granted = (await steps.ask(get(f"{path}?{key}&client_secret={DEFAULT_APP_SECRET}"))).json["data"]
        assert granted["access_token"] == steps.token
        query = f"{key}&grant_type=refresh_token&refresh_token={granted['refresh_token']}"
        answer = await steps.ask(get(f"{path}?{query}"))
        assert set(answer.json) == {"code", "data"}
        assert answer.json["data"]["access_token"] != steps.token
        assert steps.emulator.history[-1].operation == "refresh_token"


async def test_b13_deleting_everything_with_one_id_is_a_violation(steps: Steps) -> None:
    file_id = await steps.publish(b"hello")
    assert (await steps.api("/api/file/delete", delete_type="0", file_ids=file_id)).code == "A00000"
    assert "delete_type=0" in steps.emulator.violations[-1]


@pytest.mark.parametrize("file_type", ["asf", "3gp", "divx", "dv", "webm", "heic", "MP4", "exe"])
async def test_b14_any_file_type(steps: Steps, file_type: str) -> None:
    file_id = await steps.open(5, file_type)
    assert steps.emulator.files[file_id].file_type == file_type.lower()


async def test_b15_finished_before(begin: Begin) -> None:
    steps = await begin(repeated_finish="A00012")
    file_id = await steps.publish(b"hello")
    assert (await steps.finish(file_id)).code == "A00012"


class TestB16MoreAddresses:
    async def test_they_answer(self, steps: Steps) -> None:
        file_id = await steps.publish(b"hello")
        assert (await steps.api("/api/file/count")).json == {"code": "A00000", "data": {"count": 1}}
        one = (await steps.api("/api/file/videoForExternal", file_id=file_id)).json["data"]
        listed = (await steps.api("/api/file/videoListForExternal")).json["data"]
        assert one == listed
        assert (await steps.api("/api/file/fetchvideolist")).json["data"] == listed
        assert (await steps.api("/api/file/urllist", file_id=file_id, vd="1")).code == "A00000"

    async def test_one_video_in_each_state(self, begin: Begin) -> None:
        steps = await begin(publish_after=10)
        file_id = await steps.open(5)

        async def status() -> int:
            return (await steps.api("/api/file/videoForExternal", file_id=file_id)).json["data"][0]["fileStatus"]

        assert await status() == 5
        await steps.chunk(file_id, 5, 0, b"hello")
        await steps.metadata(file_id)
        await steps.finish(file_id)
        assert await status() == 1
        steps.emulator.clock.advance(10)
        assert await status() == 2
        steps.emulator.set_outcome(file_id, "review_failed")
        assert await status() == 3
        await steps.api("/api/file/delete", delete_type="1", file_ids=file_id)
        assert await status() == 4
        file_id = await steps.open(5)
        await steps.cancel(file_id)
        assert await status() == 6

    async def test_further_parameters_and_a_callback(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        more = {"tag": "a,b", "need_final_page": "1", "cb": "jQuery17_1", "uploader": "u"}
        answer = await steps.api("/api/file/info", file_id=file_id, file_name="a", description="", **more)
        assert answer.body == b'jQuery17_1({"code":"A00000","msg":""});'
        assert steps.emulator.files[file_id].tags == ("a", "b")
        answer = await steps.api("/api/file/info", file_id=file_id, file_name="a", description="", cb="alert(1)//")
        assert answer.json["code"] == "A00000"


async def test_b17_metadata_after_finish(steps: Steps) -> None:
    file_id = await steps.open(5)
    await steps.chunk(file_id, 5, 0, b"hello")
    await steps.finish(file_id)
    answer = await steps.metadata(file_id)
    assert answer.code == "A00000"
    assert "never enter production" in answer.json["msg"]
    assert "never enter production" in steps.emulator.violations[-1]
    assert (await steps.metadata(await steps.publish(b"x"))).json["msg"] == ""


class TestB18Cors:
    @pytest.mark.parametrize("path", ["/openupload", "/upload", "/uploadfinish?type=body", "/cancelupload"])
    async def test_the_upload_host(self, steps: Steps, path: str) -> None:
        asked = f"OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://site.example\r\n"
        asked += "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: file_id\r\n\r\n"
        before = len(steps.emulator.history)
        for answer in (await steps.ask(asked.encode()), await steps.ask(post(path)), await steps.ask(get(path))):
            assert {name: answer.headers.get(name) for name in UPLOAD_CORS} == UPLOAD_CORS
        assert (await steps.ask(asked.encode())).status == 200
        assert len(steps.emulator.history) <= before + 2

    @pytest.mark.parametrize("path", ["/api/file/info", "/api/iqiyi/authorize", "/api/file/nothing"])
    async def test_openapi(self, steps: Steps, path: str) -> None:
        options = f"OPTIONS {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        for answer in (await steps.ask(options), await steps.ask(get(path))):
            assert self.cors(answer) == API_CORS

    async def test_answers_of_faults_too(self, begin: Begin) -> None:
        steps = await begin()
        await steps.ask(
            post("/__emulator__/faults", b'[{"operation": "upload_chunk", "status": 503}]', "application/json")
        )
        answer = await steps.ask(post("/upload"))
        assert (answer.status, self.cors(answer)) == (503, UPLOAD_CORS)

    async def test_not_the_control_api(self, steps: Steps) -> None:
        assert self.cors(await steps.ask(get("/__emulator__/health"))) == {}

    @staticmethod
    def cors(answer: Answer) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


class TestTheRestOfTheDocument:
    async def test_qualities_and_duration(self, begin: Begin) -> None:
        steps = await begin(qualities=("super", "720P", "1080P", "smooth"))
        file_id = await steps.publish(mp4(seconds=83))
        urls = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]
        assert {kind: list(keys) for kind, keys in urls.items()} == {"mp4": ["1"], "m3u8": ["1", "3", "4", "5"]}
        row = (await steps.api("/api/file/videoListForExternal")).json["data"][0]
        assert row["duration"] == 83
        playlist = javascript((await steps.ask(get(target(urls["m3u8"]["5"])))).body)["data"]["l"]
        assert b"#EXT-X-TARGETDURATION:83\n" in (await steps.ask(get(target(playlist)))).body
        steps.emulator.set_outcome(file_id, "published", qualities=["topspeed"], duration=7)
        urls = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]
        assert {kind: list(keys) for kind, keys in urls.items()} == {"m3u8": ["96"]}
        assert (await steps.api("/api/file/videoListForExternal")).json["data"][0]["duration"] == 7

    @pytest.mark.parametrize(
        "bad", [{"qualities": ["8K"]}, {"qualities": []}, {"qualities": "super"}, {"duration": -1}, {"duration": True}]
    )
    async def test_outcomes_that_mean_nothing(self, steps: Steps, bad: dict[str, Any]) -> None:
        file_id = await steps.open(5)
        with pytest.raises(ValueError, match=next(iter(bad))):
            steps.emulator.set_outcome(file_id, "published", **bad)

    async def test_published_before_review(self, begin: Begin) -> None:
        steps = await begin(publish_after=100, publish_before_review=True)
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        await steps.metadata(file_id)
        await steps.finish(file_id)
        assert (await steps.status(file_id)).code == "A00001"
        assert (await self.row(steps))["fileStatus"] == 1
        assert (await steps.api("/api/file/urllist", file_id=file_id)).code == "A00000"
        steps.emulator.set_outcome(file_id, "review_failed")
        steps.emulator.clock.advance(100)
        assert (await self.row(steps))["fileStatus"] == 3
        assert (await steps.status(file_id)).code == "A00002"

    @staticmethod
    async def row(steps: Steps) -> dict[str, Any]:
        return (await steps.api("/api/file/videoListForExternal")).json["data"][0]

    @pytest.mark.parametrize("place", ["header", "query", "form"])
    async def test_a_token_along_with_a_range(self, steps: Steps, place: str) -> None:
        file_id = await steps.open(5)
        token = steps.token
        names = {"file_id": file_id, "file_size": "5", "range": "0-4"}
        body = field(b"access_token", token.encode()) if place == "form" else b""
        body += b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\nhello\r\n--B--\r\n'
        names |= {"access_token": token} if place == "header" else {}
        path = f"/upload?access_token={token}" if place == "query" else "/upload"
        answer = await steps.ask(post(path, body, FORM.decode(), **names))
        assert answer.code == "A00000"
        assert "access_token was sent along with a range" in "".join(steps.emulator.violations)
        assert token not in "".join(steps.emulator.violations)

    @pytest.mark.parametrize(
        ("host", "wrong"),
        [
            ("127.0.0.1:{port}", False),
            ("localhost:{port}", False),
            ("openapi.iqiyi.com", False),
            ("qichuan.iqiyi.com", True),
            ("127.0.0.1", True),
            ("evil.example", True),
            ("127.0.0.1@evil.example", True),
        ],
    )
    async def test_a_wrong_host(self, steps: Steps, host: str, wrong: bool) -> None:
        named = host.format(port=steps.url.rpartition(":")[2]).encode()
        asked = get(f"/api/file/count?access_token={steps.token}").replace(b"Host: 127.0.0.1", b"Host: " + named)
        assert (await steps.ask(asked)).code == "A00000"
        assert bool(steps.emulator.history[-1].violations) is wrong


def mp4(seconds: int) -> bytes:
    """A file that says how long it runs, behind 100 bytes of something else."""
    header = bytes(12) + struct.pack(">II", 600, 600 * seconds) + bytes(80)
    mvhd = struct.pack(">I4s", len(header) + 8, b"mvhd") + header
    moov = struct.pack(">I4s", len(mvhd) + 8, b"moov") + mvhd
    ftyp = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
    return ftyp + struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(100) + moov
