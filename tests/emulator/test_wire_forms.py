"""What the clients of other languages send, byte by byte, and what they get."""

from __future__ import annotations

import hashlib
import os

import pytest

from iqiyi_async.emulator import FileState

from .steps import Steps
from .wire import Answer, Wire, wire

pytestmark = pytest.mark.anyio


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class TestDocumented:
    """Section A to the letter."""

    async def test_the_whole_journey_on_one_connection(self, steps: Steps) -> None:
        data = bytes(range(256)) * 4
        async with wire(steps.url) as line:
            answer = await line.ask(
                b"GET /openupload HTTP/1.1\r\nHost: upload.iqiyi.com\r\nfiletype: mp4\r\nfilesize: 1024\r\n"
                b"access_token: %s\r\n\r\n" % steps.token.encode()
            )
            assert answer.json["code"] == "A00000"
            file_id = answer.json["data"]["file_id"]
            assert answer.json["data"] == {"upload_url": "http://upload.iqiyi.com/upload", "file_id": file_id}
            # The document's own example: 0-512, then 513-1023.
            for first, last in ((0, 512), (513, 1023)):
                await self._chunk(line, file_id, first, last, data[first : last + 1])
            answer = await line.ask(
                b"GET /api/file/info?access_token=%s&file_id=%s&file_name=%%E5%%81%%87%%E6%%9C%%9F&description="
                b"&tags=%%E9%%9D%%92%%E6%%98%%A5,x&file_type=9 HTTP/1.1\r\nHost: a\r\n\r\n"
                % (steps.token.encode(), file_id.encode())
            )
            assert answer.json == {"code": "A00000", "msg": ""}
            answer = await line.ask(
                b"POST /uploadfinish HTTP/1.1\r\nHost: a\r\nrange_finished: true\r\naccess_token: %s\r\nfile_id: %s\r\n"
                b"Content-Length: 0\r\n\r\n" % (steps.token.encode(), file_id.encode())
            )
            assert answer.json == {"code": "A00000"}
        view = steps.emulator.files[file_id]
        assert (view.name, view.description, view.tags, view.category) == ("假期", "", ("青春", "x"), 9)
        assert view.state is FileState.PUBLISHING
        assert steps.emulator.content(file_id) == data

    @staticmethod
    async def _chunk(line: Wire, file_id: str, first: int, last: int, piece: bytes) -> None:
        body = (
            b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + piece + b"\r\n--XX--\r\n"
        )
        answer = await line.ask(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nfile_id: %s\r\nfile_size: 1024\r\nrange: %d-%d\r\n"
            b"Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n"
            % (file_id.encode(), first, last, len(body))
            + body
        )
        assert answer.json == {
            "code": "A00000",
            "range_md5": md5(piece),
            "file_range_accepted": len(piece),
            "file_id": file_id,
        }

    @pytest.mark.parametrize("declared", [b"Content-Type: multipart/form-data\r\n", b""])
    async def test_a_boundary_that_only_the_body_shows(self, steps: Steps, declared: bytes) -> None:
        file_id = await steps.open(5)
        body = b'----W7\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n----W7--\r\n'
        answer = await steps.ask(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nfile_id: %s\r\nfile_size: 5\r\nrange: 0-4\r\n%s"
            b"Content-Length: %d\r\n\r\n" % (file_id.encode(), declared, len(body)) + body
        )
        assert answer.json["range_md5"] == md5(b"hello")

    async def test_fields_are_found_where_the_headers_are_missing(self, steps: Steps) -> None:
        """A proxy in between drops headers with underscores: the same fields in the body do."""
        file_id = await steps.open(5)
        body = (
            b'--B\r\nContent-Disposition: form-data; name="file_id"\r\n\r\n%s\r\n'
            b'--B\r\nContent-Disposition: form-data; name="file_size"\r\n\r\n5\r\n'
            b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--B--\r\n'
        ) % file_id.encode()
        answer = await steps.ask(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nrange: 0-4\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        assert answer.code == "A00000"
        assert steps.emulator.content(file_id) == b"hello"

    @pytest.mark.parametrize("path", [b"/uploadfinish", b"/upload", b"/upload?type=body"])
    async def test_finish_with_its_fields_in_the_body(self, steps: Steps, path: bytes) -> None:
        file_id = await steps.open(5)
        await steps.chunk(file_id, 5, 0, b"hello")
        fields = {"range_finished": "true", "access_token": steps.token, "file_id": file_id}
        named = {"file_id": file_id} if b"type=body" in path else {}
        assert (await self._fields(steps, path, fields)).json == {"code": "A00000", **named}
        assert steps.emulator.files[file_id].state is FileState.PUBLISHING
        assert [entry.operation for entry in steps.emulator.history][-1] == "finish_upload"

    async def test_cancel_with_its_fields_in_the_body(self, steps: Steps) -> None:
        file_id = await steps.open(5)
        fields = {"status": "2", "access_token": steps.token, "file_id": file_id}
        assert (await self._fields(steps, b"/cancelupload?type=body", fields)).json == {"code": "A00000"}
        assert steps.emulator.files[file_id].state is FileState.CANCELLED

    @staticmethod
    async def _fields(steps: Steps, path: bytes, fields: dict[str, str]) -> Answer:
        body = b"".join(
            b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value.encode())
            for name, value in fields.items()
        )
        body += b"--B--\r\n"
        return await steps.ask(
            b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            b"Content-Length: %d\r\n\r\n" % (path, len(body)) + body
        )


class TestAndroid:
    """Everything in the query or the form; contiguous parts on connections of their own, in slices that change size."""

    async def test_the_whole_journey(self, steps: Steps) -> None:
        data = os.urandom(300_000)
        token = steps.token.encode()
        answer = await steps.ask(
            b"GET /openupload?access_token=%s&filetype=mp4&filesize=300000 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"User-Agent: Dalvik/2.1.0\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\n\r\n" % token
        )
        file_id = answer.json["data"]["file_id"].encode()
        async with wire(steps.url) as one, wire(steps.url) as two, wire(steps.url) as three:
            for at, line in enumerate((three, one, two)):
                first, end = at * 100_000, (at + 1) * 100_000
                for start in range(first, end, 10_240 * (at + 1)):
                    await self._slice(line, file_id, start, data[start : min(start + 10_240 * (at + 1), end)])
        answer = await steps.ask(
            b"GET /api/file/info?access_token=%s&file_id=%s&file_name=a&description=b HTTP/1.1\r\nHost: a\r\n\r\n"
            % (token, file_id)
        )
        assert answer.code == "A00000"
        answer = await steps.ask(
            b"GET /uploadfinish?access_token=%s&file_id=%s&range_finished=true HTTP/1.1\r\nHost: a\r\n\r\n"
            % (token, file_id)
        )
        assert answer.json == {"code": "A00000"}
        assert steps.emulator.content(file_id.decode()) == data

    @staticmethod
    async def _slice(line: Wire, file_id: bytes, first: int, piece: bytes) -> None:
        edge = b"--*****\r\nContent-Disposition: form-data; name="
        body = (
            edge
            + b'"file_id"\r\n\r\n'
            + file_id
            + b"\r\n"
            + edge
            + b'"file_size"\r\n\r\n300000\r\n'
            # Content-Length and charset on fields, as some HTTP libraries write them.
            + edge
            + b'"range"\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%d-%d\r\n'
            % (first, first + len(piece) - 1)
            + edge
            + b'"file"; filename="slice"\r\nContent-Type: application/octet-stream\r\n\r\n'
            + piece
            + b"\r\n--*****--\r\n"
        )
        answer = await line.ask(
            b"POST /upload?type=body HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Keep-Alive\r\n"
            b"Content-Type: multipart/form-data;boundary=*****\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
        assert answer.json["range_md5"] == md5(piece)
        assert int(answer.json["file_range_accepted"]) == len(piece)

    async def test_cancel_by_query(self, steps: Steps) -> None:
        file_id = await steps.open(10)
        answer = await steps.ask(
            b"GET /cancelupload?access_token=%s&file_id=%s&status=2 HTTP/1.1\r\nHost: a\r\n\r\n"
            % (steps.token.encode(), file_id.encode())
        )
        assert answer.json == {"code": "A00000"}


class TestJavaScript:
    """Headers and bare bytes, 512 KiB slices two at a time, ranges that name one byte more than there is."""

    SLICE = 524_288

    async def test_the_whole_journey(self, steps: Steps) -> None:
        data = os.urandom(self.SLICE * 2 + 1000)
        file_id = await steps.open(len(data))
        async with wire(steps.url) as one, wire(steps.url) as two:
            await self._slice(two, file_id, data, self.SLICE)
            await self._slice(one, file_id, data, 0)
            await self._slice(one, file_id, data, self.SLICE * 2)
        assert steps.emulator.content(file_id) == data
        await steps.metadata(file_id)
        answer = await steps.ask(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nOrigin: http://x\r\nrange_finished: true\r\naccess_token: %s\r\n"
            b"file_id: %s\r\nContent-Length: 0\r\n\r\n" % (steps.token.encode(), file_id.encode())
        )
        assert answer.json == {"code": "A00000"}
        assert steps.emulator.files[file_id].state is FileState.PUBLISHING

    async def _slice(self, line: Wire, file_id: str, data: bytes, first: int) -> None:
        piece = data[first : first + self.SLICE]
        named_last = min(first + self.SLICE, len(data))
        answer = await line.ask(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nfile_id: %s\r\nfile_size: %d\r\nrange: %d-%d\r\n"
            b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
            % (file_id.encode(), len(data), first, named_last, len(piece))
            + piece
        )
        assert answer.json["range_md5"] == md5(piece)
        assert answer.json["file_range_accepted"] == len(piece)

    async def test_bare_bytes_without_a_content_type(self, steps: Steps) -> None:
        file_id = await steps.open(4)
        answer = await steps.ask(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nfile_id: %s\r\nfile_size: 4\r\nrange: 0-3\r\n"
            b"Content-Length: 4\r\n\r\n--ab" % file_id.encode()
        )
        assert answer.json["file_range_accepted"] == 4
        assert steps.emulator.content(file_id) == b"--ab"

    async def test_cancel_at_the_upload_host(self, steps: Steps) -> None:
        file_id = await steps.open(10)
        answer = await steps.ask(
            b"POST /cancelupload HTTP/1.1\r\nHost: a\r\nstatus: 2\r\naccess_token: %s\r\nfile_id: %s\r\n"
            b"Content-Length: 0\r\n\r\n" % (steps.token.encode(), file_id.encode())
        )
        assert answer.json == {"code": "A00000"}
        assert steps.emulator.files[file_id].state is FileState.CANCELLED


class TestPHP:
    """GET with everything in the query; chunks with curl's form, one range for the whole file."""

    async def test_the_whole_journey(self, steps: Steps) -> None:
        token = steps.token.encode()
        data = b"a whole video"
        answer = await steps.ask(
            b"GET /openupload?filetype=flv&filesize=%d&access_token=%s HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"
            % (len(data), token)
        )
        file_id = answer.json["data"]["file_id"].encode()
        body = (
            b"--------------------------d74496d66958873e\r\n"
            b'Content-Disposition: form-data; name="file"; filename="a.flv"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n"
            + data
            + b"\r\n--------------------------d74496d66958873e--\r\n"
        )
        async with wire(steps.url) as line:
            await line.send(
                b"POST /upload HTTP/1.1\r\nHost: a\r\nfile_id:%s\r\nfile_size:%d\r\nrange:0-%d\r\n"
                b"Content-Length: %d\r\nExpect: 100-continue\r\n"
                b"Content-Type: multipart/form-data; boundary=------------------------d74496d66958873e\r\n\r\n"
                % (file_id, len(data), len(data) - 1, len(body))
            )
            assert (await line.answer()).status == 100
            answer = await line.ask(body)
        assert answer.json["range_md5"] == md5(data)
        answer = await steps.ask(
            b"GET /uploadfinish?range_finished=true&access_token=%s&file_id=%s HTTP/1.1\r\nHost: a\r\n\r\n"
            % (token, file_id)
        )
        assert answer.json == {"code": "A00000"}


async def test_a_client_that_closes_its_side_behind_the_request_is_answered(steps: Steps) -> None:
    async with wire(steps.url) as line:
        await line.send(b"GET /api/file/urllist HTTP/1.1\r\nHost: a\r\n\r\n")
        line.writer.write_eof()
        assert (await line.answer()).json["code"] == "A21332"
        assert await line.reader.read() == b""


async def test_requests_sent_ahead_are_answered_in_order(steps: Steps) -> None:
    file_id = await steps.open(4)
    one = b"POST /upload HTTP/1.1\r\nHost: a\r\nfile_id: %s\r\nfile_size: 4\r\nrange: %d-%d\r\n"
    one += b"Content-Length: 2\r\n\r\n%s"
    async with wire(steps.url) as line:
        await line.send(one % (file_id.encode(), 2, 3, b"cd") + one % (file_id.encode(), 0, 1, b"ab"))
        assert (await line.answer()).json["range_md5"] == md5(b"cd")
        assert (await line.answer()).json["range_md5"] == md5(b"ab")
    assert steps.emulator.content(file_id) == b"abcd"


async def test_odd_hosts_and_targets_do_no_harm(steps: Steps) -> None:
    for host in (b"[", b"a:b:c", b"", b"%"):
        answer = await steps.ask(b"GET /openupload HTTP/1.1\r\nHost: %s\r\n\r\n" % host)
        assert answer.code == "A21332"
    for place in (b"//openupload", b"http://a/openupload", b"/upload%00", b"/play/../openupload", b"*"):
        answer = await steps.ask(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % place)
        assert answer.status in (400, 404, 405)
