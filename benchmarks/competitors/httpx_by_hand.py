"""httpx by hand: one shared client, the range handed over with ``files=``, reading and hashing in a thread.

Its pool has no limits: the semaphore of the journey is the limit, and with a limit on idle connections httpx 0.28 opens
a new one for nearly every request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import httpx

from ..task import Task
from .base import AsyncByHand
from .calls import TIMEOUT, Headers, Json


class HttpxByHand(AsyncByHand):
    """See the module."""

    package = "httpx"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        await self.authorize()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def call(self, method: str, url: str, headers: Headers, query: Mapping[str, str]) -> Json:
        """See the base class."""
        answer: Json = (await self._client.request(method, url, headers=headers, params=query or None)).json()
        return answer

    async def send(self, url: str, headers: Headers, data: bytes) -> Json:
        """See the base class."""
        answer: Json = (await self._client.post(url, headers=headers, files={"file": ("file", data)})).json()
        return answer


COMPETITOR = HttpxByHand
