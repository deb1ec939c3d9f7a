"""What happens to requests on their way: a transport that delays, loses and garbles, by chance and by the hour.

What belongs here: fates. What must not: what is checked afterwards. Every draw comes from one seeded source, so that a
run is the same each time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import attrs
import httpx

from .service import Asked, LocalService

#: Fates of a request that may befall any of them, with their weights.
FATES = {
    "refused": 3,
    "connect_hangs": 1,
    "cut_on_the_way": 3,
    "silence": 2,
    "silence_for_ever": 1,
    "answer_lost": 4,
    "arrives_late": 3,
    "turned_away": 4,
    "done_but_500": 2,
    "garbage": 1,
    "done_but_garbage": 1,
    "truncated": 2,
    "redirect": 1,
    "endless": 1,
    "token": 2,
}
#: ... and of chunks alone.
CHUNK_FATES = {"flipped": 3, "short": 2}
#: The longest answer that the client reads has some bytes fewer.
ENDLESS = 3 * 1024 * 1024
FOR_EVER = 1e7


@attrs.frozen
class Weather:
    """How bad it is.

    Attributes:
        trouble: the chance of each request to meet a fault.
        outages: from when to when nothing gets through (loop time, seconds), and how: one of the fates.
        forgets: the chance of each chunk that the service forgets the upload before it.
        lag: seconds for which the status shows a finished upload as unfinished.
    """

    trouble: float = 0.0
    outages: tuple[tuple[float, float, str], ...] = ()
    forgets: float = 0.0
    lag: float = 0.0


class Network(httpx.AsyncBaseTransport):
    """The way from one process to the service. With the process it dies: then nothing leaves it any more."""

    def __init__(self, service: LocalService, weather: Weather, chance: random.Random, trace: list[str]) -> None:
        self._service = service
        self.weather = weather
        self._chance = chance
        self._trace = trace
        self._late: set[asyncio.Task[None]] = set()
        self.dead = False
        self.requests: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests[path] += 1
        fate = self._fate(path)
        now = asyncio.get_running_loop().time()
        self._trace.append(f"{now:10.3f} {path} {request.headers.get('range', '')} {fate}")
        if self.dead or fate == "refused":
            raise httpx.ConnectError("refused")
        limits: dict[str, float] = request.extensions["timeout"]
        if fate == "connect_hangs":
            await asyncio.sleep(limits["connect"])
            raise httpx.ConnectTimeout("no connection")
        body = await self._body(request, fate)
        await asyncio.sleep(self._chance.expovariate(50.0))
        if fate == "silence":
            await asyncio.sleep(limits["read"])
            raise httpx.ReadTimeout("nothing moved")
        if fate == "silence_for_ever":
            await asyncio.sleep(FOR_EVER)
        asked = Asked.read(str(request.url), request.headers, body)
        return await self._answer(asked, fate, limits["read"])

    async def drained(self) -> None:
        """Wait until nothing of what was sent can still arrive."""
        while self._late:
            await asyncio.wait(self._late)

    def _fate(self, path: str) -> str:
        now = asyncio.get_running_loop().time()
        for begin, end, how in self.weather.outages:
            if begin <= now < end:
                return how
        if self._chance.random() >= self.weather.trouble:
            return "fine"
        fates = FATES | (CHUNK_FATES if path == "/upload" else {})
        return self._chance.choices(list(fates), list(fates.values()))[0]

    async def _body(self, request: httpx.Request, fate: str) -> bytes:
        body = bytearray()
        stream = request.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        async for piece in stream:
            body += piece
            if fate == "cut_on_the_way":
                break
        if fate == "cut_on_the_way":
            raise httpx.WriteError("reset")
        return bytes(body)

    async def _answer(self, asked: Asked, fate: str, patience: float) -> httpx.Response:
        if fate == "arrives_late":
            # The client gives up; what it sent has left it all the same, and is carried out later.
            wait = self._chance.uniform(0.0, 2 * patience)
            task = asyncio.get_running_loop().create_task(self._late_arrival(asked, wait), name="late arrival")
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            await asyncio.sleep(patience)
            raise httpx.ReadTimeout("nothing moved")
        if fate == "turned_away":
            status = self._chance.choice([408, 429, 500, 502, 503])
            headers = {"retry-after": str(self._chance.choice([0, 1, 7, 10**7]))} if self._chance.random() < 0.5 else {}
            return httpx.Response(status, headers=headers, content=b"busy")
        if fate == "redirect":
            return httpx.Response(302, headers={"location": "http://127.0.0.1:1/"}, content=b"")
        if fate == "garbage":
            return httpx.Response(200, content=b"<html>")
        self._before(asked, fate)
        text = self._service.text(asked, flip=fate == "flipped", fewer=int(fate == "short"))
        self._after(asked)
        if fate == "answer_lost":
            raise httpx.RemoteProtocolError("closed without an answer")
        if fate == "done_but_500":
            return httpx.Response(500, content=b"oh")
        if fate == "done_but_garbage":
            return httpx.Response(200, content=b"}{")
        if fate == "truncated":
            return httpx.Response(200, stream=_Truncated(text))
        if fate == "endless":
            return httpx.Response(200, content=b" " * ENDLESS)
        return httpx.Response(200, content=text)

    async def _late_arrival(self, asked: Asked, wait: float) -> None:
        await asyncio.sleep(wait)
        self._trace.append(f"{asyncio.get_running_loop().time():10.3f} {asked.operation} arrives late")
        self._service.answer(asked)
        self._after(asked)

    def _before(self, asked: Asked, fate: str) -> None:
        token = asked.params.get("access_token")
        if fate == "token" and token:
            self._service.tokens.spoil(token, self._chance.choice(["expired", "revoked"]))
        if asked.operation == "upload_chunk" and self._chance.random() < self.weather.forgets:
            self._service.state.drop_file(asked.params["file_id"])

    def _after(self, asked: Asked) -> None:
        if asked.operation != "finish_upload" or not self.weather.lag:
            return
        record = self._service.state.files.get(asked.params["file_id"])
        if record is not None and record.finished_at is not None:
            until = record.finished_at + self.weather.lag
            self._service.state.put_file(attrs.evolve(record, lag_until=until))


class _Truncated(httpx.AsyncByteStream):
    """Half of an answer."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._text[: len(self._text) // 2]
        raise httpx.RemoteProtocolError("closed in the middle of an answer")
