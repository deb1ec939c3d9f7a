"""The one journey of an upload, written once for threads and once for an event loop.

A competitor adds how its library makes a plain request and how it sends a range; so what differs between two of them is
the library and nothing else. What must not be here: a library.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Self

from ..task import Task
from .calls import (
    CREDENTIALS,
    Headers,
    Json,
    check_range,
    data_of,
    finishing_headers,
    metadata_query,
    opened_file,
    opening_headers,
    range_headers,
    ranges,
    read_and_hash,
    token_of,
)


class Competitor(ABC):
    """One way to upload, opened once and then used for any number of files.

    Class attributes:
        package: the distribution whose version is noted, or None.
        is_async: whether `upload` is a coroutine function.
    """

    package: ClassVar[str | None] = None
    is_async: ClassVar[bool]

    def __init__(self, task: Task) -> None:
        self.task = task


class AsyncCompetitor(Competitor):
    """A competitor on an event loop."""

    is_async = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @abstractmethod
    async def upload(self, path: Path, name: str) -> None:
        """Upload one file; returns when it is finished."""


class ThreadedCompetitor(Competitor):
    """A competitor in threads."""

    is_async = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @abstractmethod
    def upload(self, path: Path, name: str) -> None:
        """Upload one file; returns when it is finished."""


class AsyncByHand(AsyncCompetitor):
    """The journey as a competent programmer would write it with an asyncio HTTP client."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._in_flight = asyncio.Semaphore(task.workers)
        self._token = ""

    @abstractmethod
    async def call(self, method: str, url: str, headers: Headers, query: Mapping[str, str]) -> Json:
        """A request without a body; the answer decoded."""

    @abstractmethod
    async def send(self, url: str, headers: Headers, data: bytes) -> Json:
        """A range as a multipart form; the answer decoded."""

    async def authorize(self) -> None:
        """Get a token, as everyone has to once."""
        self._token = token_of(await self.call("GET", f"{self.task.api_url}/api/iqiyi/authorize", {}, CREDENTIALS))

    async def upload(self, path: Path, name: str) -> None:
        """See the base class."""
        size = path.stat().st_size
        base = self.task.url
        opened = data_of(await self.call("GET", f"{base}/openupload", opening_headers(self._token, size), {}))
        file_id, url = opened["file_id"], opened["upload_url"]
        with opened_file(path) as file:
            async with asyncio.TaskGroup() as group:
                for first, length in ranges(size, self.task.chunk_size):
                    group.create_task(self._range(url, file_id, size, file, first, length))
        data_of(
            await self.call("GET", f"{self.task.api_url}/api/file/info", {}, metadata_query(self._token, file_id, name))
        )
        data_of(await self.call("POST", f"{base}/uploadfinish", finishing_headers(self._token, file_id), {}))

    async def _range(self, url: str, file_id: str, size: int, file: int, first: int, length: int) -> None:
        async with self._in_flight:
            data, digest = await asyncio.to_thread(read_and_hash, file, first, length)
            answer = await self.send(url, range_headers(file_id, size, first, length), data)
            check_range(answer, digest, length)


class Connection(ABC):
    """What one thread sends with."""

    @abstractmethod
    def call(self, method: str, url: str, headers: Headers, query: Mapping[str, str]) -> Json:
        """A request without a body; the answer decoded."""

    @abstractmethod
    def send_range(self, url: str, headers: Headers, file: int, first: int, length: int) -> None:
        """Read a range, hash it, send it as a multipart form, compare the answer."""

    @abstractmethod
    def close(self) -> None:
        """Give up what it holds."""


class ThreadedByHand(ThreadedCompetitor):
    """The journey in threads: one keep-alive connection for each of them."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._pool = ThreadPoolExecutor(task.workers)
        self._token = ""

    @abstractmethod
    def connect(self) -> Connection:
        """A new connection for the calling thread."""

    def __enter__(self) -> Self:
        connection = self._mine()
        self._token = token_of(connection.call("GET", f"{self.task.api_url}/api/iqiyi/authorize", {}, CREDENTIALS))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    def upload(self, path: Path, name: str) -> None:
        """See the base class."""
        size = path.stat().st_size
        base, mine = self.task.url, self._mine()
        opened = data_of(mine.call("GET", f"{base}/openupload", opening_headers(self._token, size), {}))
        file_id, url = opened["file_id"], opened["upload_url"]
        with opened_file(path) as file:

            def send(piece: tuple[int, int]) -> None:
                self._mine().send_range(url, range_headers(file_id, size, *piece), file, *piece)

            if size <= self.task.chunk_size:
                send((0, size))
            else:
                for _ in self._pool.map(send, ranges(size, self.task.chunk_size)):
                    pass
        data_of(mine.call("GET", f"{self.task.api_url}/api/file/info", {}, metadata_query(self._token, file_id, name)))
        data_of(mine.call("POST", f"{base}/uploadfinish", finishing_headers(self._token, file_id), {}))

    def _mine(self) -> Connection:
        try:
            connection: Connection = self._local.connection
        except AttributeError:
            connection = self._local.connection = self.connect()
            self._connections.append(connection)
        return connection
