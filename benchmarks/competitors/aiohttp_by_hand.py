"""aiohttp by hand: one shared session, the range as a form, reading and hashing in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import aiohttp

from ..task import Task
from .base import AsyncByHand
from .calls import TIMEOUT, Headers, Json


class AiohttpByHand(AsyncByHand):
    """See the module."""

    package = "aiohttp"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        # The semaphore of the journey is the limit.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        )

    async def __aenter__(self) -> Self:
        await self.authorize()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, url: str, headers: Headers, query: Mapping[str, str]) -> Json:
        """See the base class."""
        async with self._session.request(method, url, headers=headers, params=query) as answer:
            decoded: Json = await answer.json()
            return decoded

    async def send(self, url: str, headers: Headers, data: bytes) -> Json:
        """See the base class."""
        form = aiohttp.FormData()
        form.add_field("file", data, filename="file", content_type="application/octet-stream")
        async with self._session.post(url, headers=headers, data=form) as answer:
            decoded: Json = await answer.json()
            return decoded


COMPETITOR = AiohttpByHand
