"""The steps of an upload, so that a test can begin where it matters. Each is one request written by hand."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import attrs

from iqiyi_async.emulator import DEFAULT_APP_KEY, DEFAULT_APP_SECRET, Emulator, EmulatorServer

from .wire import FORM, Answer, ask, form, get, post


@attrs.define
class Steps:
    """A user with a token."""

    server: EmulatorServer
    token: str = ""

    @property
    def emulator(self) -> Emulator:
        return self.server.emulator

    @property
    def url(self) -> str:
        return self.server.endpoint_url

    async def ask(self, data: bytes) -> Answer:
        return await ask(self.url, data)

    async def api(self, path: str, **params: str) -> Answer:
        """A call of openapi.iqiyi.com with the token."""
        query = urlencode({"access_token": self.token, **params}, quote_via=quote)
        return await self.ask(get(f"{path}?{query}"))

    async def authorize(self, key: str = DEFAULT_APP_KEY, secret: str = DEFAULT_APP_SECRET) -> dict[str, Any]:
        answer = await self.ask(get(f"/api/iqiyi/authorize?client_id={key}&client_secret={secret}"))
        granted = {name.strip(): value for name, value in javascript(answer.body).items()}
        self.token = granted["data"]["access_token"]
        return granted["data"]

    async def open(self, size: int, file_type: str = "mp4") -> str:
        answer = await self.ask(get("/openupload", filetype=file_type, filesize=str(size), access_token=self.token))
        assert answer.code == "A00000", answer
        return answer.json["data"]["file_id"]

    async def chunk(self, file_id: str, size: int, first: int, data: bytes) -> Answer:
        return await self.ask(chunk(file_id, size, first, data))

    async def metadata(self, file_id: str, name: str = "Holiday") -> Answer:
        return await self.api("/api/file/info", file_id=file_id, file_name=name, description="")

    async def finish(self, file_id: str) -> Answer:
        return await self.ask(post("/uploadfinish", range_finished="true", access_token=self.token, file_id=file_id))

    async def cancel(self, file_id: str) -> Answer:
        return await self.ask(post("/cancelupload", status="2", access_token=self.token, file_id=file_id))

    async def status(self, file_id: str) -> Answer:
        return await self.api("/api/file/fullStatus", file_id=file_id)

    async def publish(self, data: bytes, name: str = "Holiday") -> str:
        """The whole journey, in one chunk, and the clock turned until the video is published."""
        file_id = await self.open(len(data))
        answer = await self.chunk(file_id, len(data), 0, data)
        assert answer.json["range_md5"] == hashlib.md5(data).hexdigest()
        assert (await self.metadata(file_id, name)).code == "A00000"
        assert (await self.finish(file_id)).code == "A00000"
        self.emulator.clock.advance(self.emulator.config.publish_after)
        return file_id


def chunk(file_id: str, size: int, first: int, data: bytes) -> bytes:
    """A chunk as the document says: parameters in headers, bytes in the file part."""
    last = first + len(data) - 1
    return post("/upload", form(data), FORM, file_id=file_id, file_size=str(size), range=f"{first}-{last}")


def target(url: str) -> str:
    """What to ask for to get this URL."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def javascript(text: bytes) -> Any:
    """The JSON in a line of JavaScript."""
    return json.loads(text[text.index(b"{") : text.rindex(b"}") + 1])
