"""What the operations answer when all is well, and how a video's life shows in them."""

from __future__ import annotations

import hashlib
import os
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, FileState

from .conftest import Begin
from .steps import Steps, javascript, target
from .wire import FORM, Answer, form, get, post, wire

pytestmark = pytest.mark.anyio


async def refresh(steps: Steps, token: str, **more: str) -> Answer:
    query = {"client_id": DEFAULT_APP_KEY, "grant_type": "refresh_token", "refresh_token": token, **more}
    return await steps.ask(get("/api/oauth2/token?" + urlencode(query)))


class TestTokens:
    async def test_they_expire_on_the_service_clock(self, begin: Begin) -> None:
        steps = await begin(token_lifetime=60)
        assert (await steps.authorize())["expires_in"] == 60
        steps.emulator.clock.advance(59)
        assert (await steps.api("/api/file/videoListForExternal")).code == "A00000"
        steps.emulator.clock.advance(1)
        assert (await steps.api("/api/file/videoListForExternal")).code == "A21327"

    async def test_refresh_answers_at_top_level_and_uses_its_token_up(self, steps: Steps) -> None:
        first = await steps.authorize()
        second = (await refresh(steps, first["refresh_token"])).json
        assert set(second) == {"access_token", "expires_in", "refresh_token"}
        assert second["refresh_token"] != first["refresh_token"]
        steps.token = second["access_token"]
        assert (await steps.api("/api/file/videoListForExternal")).code == "A00000"
        assert (await refresh(steps, first["refresh_token"])).code == "A21325"
        assert "access_token" in (await refresh(steps, second["refresh_token"])).json

    async def test_refresh_tokens_expire_too(self, begin: Begin) -> None:
        steps = await begin(refresh_lifetime=100)
        granted = await steps.authorize()
        steps.emulator.clock.advance(100)
        assert (await refresh(steps, granted["refresh_token"])).code == "A21325"

    async def test_the_secret_may_be_added_to_refresh(self, steps: Steps) -> None:
        granted = await steps.authorize()
        answer = await refresh(steps, granted["refresh_token"], client_secret=DEFAULT_APP_SECRET)
        assert "access_token" in answer.json


class TestStatus:
    async def test_the_life_of_a_video(self, begin: Begin) -> None:
        steps = await begin(publish_after=30)
        assert (await steps.status("0" * 32)).code == "A00003"
        file_id = await steps.open(5)
        assert (await steps.status(file_id)).code == "A00004"
        await steps.chunk(file_id, 5, 0, b"hello")
        assert (await steps.status(file_id)).code == "A00004"
        await steps.metadata(file_id)
        await steps.finish(file_id)
        assert (await steps.status(file_id)).code == "A00001"
        steps.emulator.clock.advance(29)
        assert (await steps.status(file_id)).code == "A00001"
        steps.emulator.clock.advance(1)
        answer = await steps.status(file_id)
        assert answer.code == "A00000"
        assert set(answer.json) == {"code", "data"}
        assert set(answer.json["data"]) == {"img", "thumbnail", "swfurl", "urllist", "msg"}
        assert {kind: set(urls) for kind, urls in answer.json["data"]["urllist"].items()} == {
            "mp4": {"1", "2"},
            "m3u8": {"1", "2", "96"},
        }
        await steps.api("/api/file/delete", delete_type="1", file_ids=file_id)
        assert (await steps.status(file_id)).code == "A00003"

    async def test_cancelled(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        await steps.cancel(file_id)
        assert (await steps.status(file_id)).code == "A00006"

    @pytest.mark.parametrize(("outcome", "code"), [("review_failed", "A00002"), ("publishing_failed", "A00007")])
    async def test_videos_that_come_to_nothing(self, steps: Steps, outcome: str, code: str) -> None:
        file_id = await steps.publish(b"hello")
        steps.emulator.set_outcome(file_id, outcome)
        assert (await steps.status(file_id)).code == code
        assert (await steps.api("/api/file/urllist", file_id=file_id)).code == "Q00001"
        assert (await steps.api("/api/file/videoListForExternal")).json["count"] == 0

    async def test_without_metadata_before_finish_it_is_never_published(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        assert (await steps.finish(file_id)).code == "A00000"
        assert (await steps.metadata(file_id)).code == "A00000"
        steps.emulator.clock.advance(10**7)
        await steps.authorize()
        assert (await steps.status(file_id)).code == "A00001"

    async def test_a_duplicate_names_the_earlier_video(self, begin: Begin) -> None:
        steps = await begin(detect_duplicates=True)
        data = os.urandom(2_500_000)
        first = await steps.publish(data)
        again = await steps.publish(data)
        other = await steps.publish(data[:-1])
        answer = await steps.status(again)
        assert answer.json == {"code": "A00007", "data": {"is_repeat": 1, "fileIdBefore": first}}
        assert steps.emulator.files[again].duplicate_of == first
        assert {view.file_id for view in steps.emulator.published()} == {first, other}

    async def test_the_pictures_and_the_page_are_there(self, steps: Steps) -> None:
        file_id = await steps.publish(b"hello", name="<Holiday>")
        data = (await steps.status(file_id)).json["data"]
        for name in ("img", "thumbnail"):
            assert (await steps.ask(get(urlsplit(data[name]).path))).body.startswith(b"\x89PNG\r\n")
        page = await steps.ask(get(urlsplit(data["swfurl"]).path))
        assert b"&lt;Holiday&gt;" in page.body
        source = page.body.split(b'src="')[1].split(b'"')[0].decode().replace("&amp;", "&")
        assert (await steps.ask(get(target(source)))).body == b"hello"


class TestListing:
    async def test_only_published_videos_with_the_documented_fields(self, steps: Steps) -> None:
        file_id = await steps.publish(b"hello", name="假期")
        await steps.open(7)
        answer = await steps.api("/api/file/videoListForExternal")
        assert set(answer.json) == {"code", "count", "data"}
        assert answer.json["count"] == 1
        row = answer.json["data"][0]
        view = steps.emulator.files[file_id]
        assert list(row) == [
            *("fileId", "fileName", "createTime", "description", "fileSize", "fileStatus", "playCount", "duration"),
            *("img", "originalImg", "thumbnail", "pageUrl"),
        ]
        assert (row["fileId"], row["fileName"], row["description"]) == (file_id, "假期", "")
        assert (row["fileSize"], row["fileStatus"], row["createTime"]) == (5, 2, int(view.created_at))

    async def test_pages(self, steps: Steps) -> None:
        made = [await steps.publish(b"x") for _ in range(23)]

        async def page(**query: str) -> list[str]:
            answer = await steps.api("/api/file/videoListForExternal", **query)
            assert answer.json["count"] == 23
            return [row["fileId"] for row in answer.json["data"]]

        assert await page() == made[:20]
        assert await page(page="2") == made[20:]
        assert await page(page="3") == []
        assert await page(page_size="100") == made
        assert await page(page_size="10", page="2") == made[10:20]
        assert await page(file_ids=f"{made[3]},{made[1]},{'0' * 32}") == [made[1], made[3]]
        assert await page(file_ids="") == made[:20]


class TestPlaying:
    async def test_the_second_exchange_leads_to_the_bytes(self, steps: Steps) -> None:
        data = os.urandom(2_500_000)
        file_id = await steps.publish(data)
        listed = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]
        for kind, urls in listed.items():
            for url in urls.values():
                assert urlsplit(url).path.endswith(f".{kind}")
                exchange = await steps.ask(get(target(url)))
                assert exchange.body.startswith(b'var videoUrl={"code":"A00000","data":{"l":"http://')
                assert exchange.body.endswith(b'"}};')
                assert set(javascript(exchange.body)["data"]) == {"l", "t", "s", "z", "h", "e"}
                real = javascript(exchange.body)["data"]["l"]
                if kind == "m3u8":
                    assert urlsplit(real).path.endswith(".m3u8")
                    real = await self._segment(steps, real)
                assert urlsplit(real).path.endswith(".mp4")
                answer = await steps.ask(get(target(real)))
                assert (answer.status, answer.headers["content-type"]) == (200, "video/mp4")
                assert answer.body == data
        assert steps.emulator.files[file_id].plays == 5
        assert (await steps.api("/api/file/videoListForExternal")).json["data"][0]["playCount"] == 5

    @staticmethod
    async def _segment(steps: Steps, playlist: str) -> str:
        """The one segment that a playlist names."""
        answer = await steps.ask(get(target(playlist)))
        assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
        lines = answer.body.decode().splitlines()
        assert (lines[0], lines[-1]) == ("#EXTM3U", "#EXT-X-ENDLIST")
        assert "#EXT-X-TARGETDURATION:1" in lines
        assert lines[-3] == "#EXTINF:1.000,"
        return lines[-2]

    @pytest.mark.parametrize(
        ("asked", "status", "first", "end"),
        [
            ("bytes=0-", 206, 0, 1000),
            ("bytes=0-0", 206, 0, 1),
            ("bytes=10-19", 206, 10, 20),
            ("bytes=990-5000", 206, 990, 1000),
            ("bytes=-5", 206, 995, 1000),
            ("bytes=-5000", 206, 0, 1000),
            ("bytes=5-4", 200, 0, 1000),
            ("bytes=0-1,5-6", 200, 0, 1000),
            ("lines=1-2", 200, 0, 1000),
            ("bytes=1000-", 416, 0, 0),
            ("bytes=-0", 416, 0, 0),
        ],
    )
    async def test_byte_ranges(self, steps: Steps, asked: str, status: int, first: int, end: int) -> None:
        data = os.urandom(1000)
        real = await self._real(steps, await steps.publish(data))
        answer = await steps.ask(get(target(real), Range=asked))
        assert (answer.status, answer.body) == (status, data[first:end])
        shown = {206: f"bytes {first}-{end - 1}/1000", 416: "bytes */1000", 200: None}[status]
        assert answer.headers.get("content-range") == shown
        assert answer.headers["accept-ranges"] == "bytes"
        [view] = steps.emulator.published()
        assert view.plays == (1 if first == 0 and status != 416 else 0)

    async def test_head(self, steps: Steps) -> None:
        real = await self._real(steps, await steps.publish(b"hello"))
        async with wire(steps.url) as line:
            await line.send(get(target(real)).replace(b"GET", b"HEAD", 1))
            answer = await line.answer(head_only=True)
            assert (answer.status, answer.headers["content-length"]) == (200, "5")
            assert (await line.ask(get(target(real)))).body == b"hello"

    async def test_urls_expire_after_a_quarter_of_an_hour(self, steps: Steps) -> None:
        file_id = await steps.publish(b"hello")
        listed = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]["mp4"]["1"]
        real = await self._real(steps, file_id)
        steps.emulator.clock.advance(890)
        for url in (listed, real):
            assert (await steps.ask(get(target(url)))).status == 200
        steps.emulator.clock.advance(11)
        for url in (listed, real):
            answer = await steps.ask(get(target(url)))
            assert (answer.status, answer.code) == (403, "Q00001")
            assert "expired" in answer.json["msg"]

    async def test_urls_cannot_be_made_up(self, steps: Steps) -> None:
        file_id = await steps.publish(b"hello")
        real = target(await self._real(steps, file_id))
        far = real.replace("expires=1", "expires=9")
        assert (await steps.ask(get(far))).status == 403
        assert (await steps.ask(get(real.replace("/mp4/1", "/mp4/2")))).status == 403
        assert (await steps.ask(get(real.split("?")[0]))).status == 403
        assert (await steps.ask(get(real.replace("/mp4/1.", "/mp4/7.")))).status == 404
        await steps.api("/api/file/delete", delete_type="1", file_ids=file_id)
        assert (await steps.ask(get(real))).status == 404

    @staticmethod
    async def _real(steps: Steps, file_id: str) -> str:
        listed = (await steps.api("/api/file/urllist", file_id=file_id)).json["data"]["mp4"]["1"]
        return javascript((await steps.ask(get(target(listed)))).body)["data"]["l"]


class TestDeletion:
    @pytest.mark.parametrize("separator", [",", ";", "%2C"])
    async def test_these_and_no_others(self, steps: Steps, separator: str) -> None:
        one, two, three = [await steps.publish(b"x") for _ in range(3)]
        ids = separator.join((one, three))
        answer = await steps.ask(get(f"/api/file/delete?access_token={steps.token}&delete_type=1&file_ids={ids}"))
        assert answer.json == {"code": "A00000"}
        assert [view.file_id for view in steps.emulator.published()] == [two]
        # An answer may get lost: the same again is no failure.
        answer = await steps.api("/api/file/delete", delete_type="1", file_ids=f"{one},{three}")
        assert answer.code == "A00000"

    async def test_type_0_deletes_everything_whatever_ids_it_has(self, steps: Steps) -> None:
        one, _ = [await steps.publish(b"x") for _ in range(2)]
        await steps.open(5)
        assert (await steps.api("/api/file/delete", delete_type="0", file_ids=one)).code == "A00000"
        assert {view.state for view in steps.emulator.files.values()} == {FileState.DELETED}


class TestAddresses:
    async def test_they_follow_the_request(self, steps: Steps) -> None:
        request = get("/openupload", filetype="mp4", filesize="5", access_token=steps.token)
        answer = await steps.ask(request.replace(b"Host: 127.0.0.1", b"Host: video.test:8080"))
        assert answer.json["data"]["upload_url"] == "http://video.test:8080/upload"

    async def test_or_the_configuration(self, begin: Begin) -> None:
        steps = await begin(public_url="https://video.test/")
        answer = await steps.ask(get("/openupload", filetype="mp4", filesize="5", access_token=steps.token))
        assert answer.json["data"]["upload_url"] == "https://video.test/upload"
        data = (await steps.status(await steps.publish(b"x"))).json["data"]
        assert data["img"].startswith("https://video.test/pictures/")
        assert data["urllist"]["mp4"]["1"].startswith("https://video.test/play/")


async def test_the_loose_style_hides_the_same_answers(begin: Begin) -> None:
    steps = await begin(answer_style="loose", publish_after=0)

    async def ask(request: bytes) -> dict[str, Any]:
        body = (await steps.ask(request)).body
        assert body.startswith(b"callback(")
        return javascript(body)

    key = f"client_id={DEFAULT_APP_KEY}"
    granted = await ask(get(f"/api/iqiyi/authorize?{key}&client_secret={DEFAULT_APP_SECRET}"))
    assert granted["code "] == "A0000"
    token = granted["data "]["refresh_token"]
    refreshed = await ask(get(f"/api/oauth2/token?{key}&grant_type=refresh_token&refresh_token={token}"))
    steps.token = refreshed["data "]["access_token "]
    opened = await ask(get("/openupload", filetype="mp4", filesize="5", access_token=steps.token))
    file_id = opened["data "]["file_id"]
    chunk = await ask(post("/upload", form(b"hello"), FORM, file_id=file_id, file_size="5", range="0-4"))
    assert (chunk["file_range_accepted"], chunk["range_md5"]) == ("5", hashlib.md5(b"hello").hexdigest())
    access = f"access_token={steps.token}"
    await ask(get(f"/api/file/info?{access}&file_id={file_id}&file_name=a&description="))
    await ask(post("/uploadfinish", range_finished="true", access_token=steps.token, file_id=file_id))
    listed = await ask(get(f"/api/file/videoListForExternal?{access}"))
    assert listed["count "] == 1
    assert listed["data "][0]["img"].startswith(" http://")
