"""`TusGateway`: an ASGI application that takes uploads of browsers by tus 1.0.0 and pipes them to the service."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from .. import AsyncVideoCloud, ConfigurationError, Metadata
from ..stores import GatewayRecord, GatewayState
from . import tus
from .ending import OnFinish
from .events import events
from .leases import Hold, stored
from .receiving import Body, Turns
from .records import BrowserUpload, Details, UploadGrant, check_kind, check_number, check_size, file_type_of, granted
from .running import Running
from .spool import Spool
from .tus import TusError, unavailable

__all__ = ["TusGateway"]

logger: logging.Logger = logging.getLogger(__name__)

OnCreate = Callable[[Request, BrowserUpload], Awaitable[UploadGrant | Metadata]]
Authenticate = Callable[[Request], Awaitable[str]]

#: A HEAD tries for so long to end an upload of which every byte is there, in seconds.
HEAD_SECONDS = 10.0

_ID = re.compile(r"[0-9a-f]{32}")


class TusGateway:
    """Takes videos from browsers, by tus 1.0.0, and pipes them to the service.

    An ASGI application, to be mounted by any framework, under a path that ends with a slash for clients. Bytes go into
    ranges as they come: there is nothing on this machine's disk, and the memory is that of the client's options. Any
    number of worker processes may serve it, if their clients share a journal: `SqliteJournal` on one machine,
    `PostgresJournal` on several.

    Args:
        cloud: the client, or a function that returns it when the first request comes. It is not closed.
        on_create: ``async on_create(request, upload) -> UploadGrant``, called with each new upload (a `BrowserUpload`):
            who may upload it, as what. A bare `Metadata` will do; a `starlette.exceptions.HTTPException` refuses.
        authenticate: ``async authenticate(request) -> str``, called with every request but OPTIONS: who asks. It must
            be the upload's owner, else the answer is 404. Without it, who knows an upload's URL may go on with it.
        on_finish: ``async on_finish(upload, receipt)``, called with each video before its last bytes are acknowledged,
            at least once: look at ``receipt.file_id``. If it raises, the client gets 500, and comes back.
        max_size: bytes of one upload at most.
        expires: an upload with which nobody goes on for so many seconds is cancelled.
        spool: where bodies go whose length is not known at first; they are refused without it.

    Raises:
        ConfigurationError: an argument is of the wrong kind.
    """

    def __init__(
        self,
        cloud: AsyncVideoCloud | Callable[[], AsyncVideoCloud],
        *,
        on_create: OnCreate,
        authenticate: Authenticate | None = None,
        on_finish: OnFinish | None = None,
        max_size: int | None = None,
        expires: float = 86400,
        spool: Spool | None = None,
    ) -> None:
        if not isinstance(cloud, AsyncVideoCloud) and not callable(cloud):
            raise ConfigurationError("cloud must be an AsyncVideoCloud, or a function that returns one")
        for name, function in (("on_create", on_create), ("authenticate", authenticate), ("on_finish", on_finish)):
            if function is not None and not _is_async(function):
                raise ConfigurationError(f"{name} must be an async function")
        if max_size is not None:
            check_number("max_size", max_size)
        check_number("expires", expires, int | float)
        if spool is not None:
            check_kind("spool", spool, Spool)
        self._cloud = cloud
        self._on_create = on_create
        self._authenticate = authenticate
        self._on_finish = on_finish
        self._max_size = max_size
        self._expires = float(expires)
        self._spool = spool
        self._clock: Callable[[], float] = time.time
        self._turns = Turns()
        self._running: Running | None = None
        self._closed = False

    async def aclose(self) -> None:
        """End the requests under way (what came is sent, clients go on later), and the gateway's own task. The client
        stays open. Mounted applications are not told of the end of the server: call it, or close the client."""
        self._closed = True
        running, self._running = self._running, None
        if running is not None:
            await running.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            raise RuntimeError(f"TusGateway serves http, not {scope['type']}")
        request = Request(scope, receive)
        body = Body(receive, turns=self._turns)
        failure: Exception | None = None
        try:
            response = await self._answer(request, body)
        except TusError as error:
            response = PlainTextResponse(f"{error}\n", error.status, dict(error.headers))
        except HTTPException as refusal:
            response = PlainTextResponse(f"{refusal.detail}\n", refusal.status_code, dict(refusal.headers or {}))
        except Exception as problem:  # noqa: BLE001 - raised again below: a page of another origin gets to see the answer
            response, failure = PlainTextResponse("the server failed; try again later\n", 500), problem
        response.headers.update(tus.CORS)
        response.headers.setdefault("Tus-Resumable", tus.VERSION)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")
        whole = not _has_body(request) or await body.ended(read_on=response.status_code >= 300)
        if not whole and scope.get("http_version", "1.1").startswith("1"):
            # The rest of it will not be read. (HTTP/2 knows no such header.)
            response.headers["Connection"] = "close"
        await response(scope, receive, send)
        if failure is not None:
            raise failure

    async def _answer(self, request: Request, body: Body) -> Response:
        # Whatever the method itself is: so the protocol says.
        method = (tus.only(request.headers, "x-http-method-override") or request.method).upper()
        if method == "OPTIONS":
            return self._options(request)
        key, rest = _parts(request)
        if method != "GET" and tus.only(request.headers, "tus-resumable") != tus.VERSION:
            raise TusError(412, f"Tus-Resumable must be {tus.VERSION}", {"Tus-Version": tus.VERSION})
        asks = "" if self._authenticate is None else str(await self._authenticate(request))
        running = self._start()
        if key == "" and method == "POST":
            return await self._create(running, request, body, asks)
        handlers = {"HEAD": self._head, "PATCH": self._patch, "DELETE": self._delete}
        if key == "" or (rest == "" and method not in handlers):
            raise TusError(405, f"{method} means nothing here", {"Allow": tus.METHODS})
        record = await self._record(running, key, asks)
        if rest == "events" and method == "GET":
            return events(running.cloud, running.store, record, request, running.closed)
        if rest:
            raise TusError(404, "there is nothing here")
        return await handlers[method](running, request, body, record)

    def _options(self, request: Request) -> Response:
        extensions = tus.EXTENSIONS + ("" if self._spool is None else f",{tus.DEFERRED}")
        headers = {
            "Tus-Version": tus.VERSION,
            "Tus-Extension": extensions,
            "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
        }
        if self._max_size is not None:
            headers["Tus-Max-Size"] = str(self._max_size)
        if "access-control-request-method" in request.headers:
            headers.update(tus.preflight(request.headers))
        return Response(status_code=204, headers=headers)

    async def _create(self, running: Running, request: Request, body: Body, asks: str) -> Response:
        size = tus.size_of_new(request.headers, deferred=self._spool is not None)
        said = tus.only(request.headers, "upload-metadata") or ""
        told = tus.metadata(said)
        checksum = tus.checksum(tus.only(request.headers, "upload-checksum"))
        check_size(size, self._max_size)
        key = secrets.token_hex(16)
        running.check_room()
        grant = await self._granted(request, BrowserUpload(key, size, told, asks))
        most = min((each for each in (self._max_size, grant.max_size) if each is not None), default=None)
        check_size(size, most)
        owner = grant.owner or asks
        file_type = file_type_of(grant, told)
        details = Details(grant.metadata, file_type, grant.group, said, told, most, spooled=size is None)
        record = GatewayRecord(key, owner, details.as_json(), size, self._clock() + self._expires)
        if not await stored(running.store.create_upload(record)):
            raise unavailable("the upload could not be noted; try again")
        offset = 0
        if tus.is_bytes(request.headers):
            try:
                offset = await self._receive(running, request, body, record, 0, checksum)
            except TusError as error:
                # The upload is there: what could not be taken now, or be told to the application, comes with the next
                # request. A client that does not get the URL begins a second upload of the same video.
                if error.status not in (408, 409, 423, 500, 503):
                    await running.discard(record)
                    raise
                offset = 0
        location = f"{tus.origin(request.headers, request.url.scheme, request.url.netloc)}{_base(request)}/{key}"
        state = self._state(offset, self._clock() + self._expires)
        return Response(status_code=201, headers={"Location": location, **state})

    async def _granted(self, request: Request, upload: BrowserUpload) -> UploadGrant:
        """What the application says of a new upload."""
        try:
            answer = await self._on_create(request, upload)
        except ConfigurationError as problem:
            # Of what the browser said, such as a name that can't be one: it would be the same the next time.
            logger.warning("an upload of a browser was refused: %s", problem)
            raise TusError(422, str(problem)) from problem
        return granted(answer)

    async def _head(self, running: Running, request: Request, body: Body, record: GatewayRecord) -> Response:
        self._check_alive(record)
        offset = record.size or 0
        if record.state is not GatewayState.DONE:
            async with running.leases.hold(record) as hold:
                self._check_alive(hold.record)
                offset = await self._look(running, hold)
                record = hold.record
        headers = {"Cache-Control": "no-store", **self._state(offset, record.expires)}
        if record.size is None:
            headers["Upload-Defer-Length"] = "1"
        else:
            headers["Upload-Length"] = str(record.size)
        if said := Details.of(record).said:
            headers["Upload-Metadata"] = said
        return Response(status_code=200, headers=headers)

    async def _look(self, running: Running, hold: Hold) -> int:
        """Where the client goes on. What only lacks its end is ended."""
        if hold.record.untold:
            await running.ending.tell(hold)
        if hold.record.state is GatewayState.OPEN:
            way = await running.way(hold)
            if not await way.all_there(hold):
                return await way.offset(hold)
            try:
                await way.conclude(hold, HEAD_SECONDS)
            except TusError as error:
                if error.status not in (409, 503):
                    raise
                return await way.offset(hold)
        return hold.record.size or 0

    async def _patch(self, running: Running, request: Request, body: Body, record: GatewayRecord) -> Response:
        self._check_alive(record)
        if not tus.is_bytes(request.headers):
            raise TusError(415, f"Content-Type must be {tus.CONTENT_TYPE}")
        offset = tus.number(request.headers, "upload-offset")
        if offset is None:
            raise TusError(400, "Upload-Offset is needed")
        checksum = tus.checksum(tus.only(request.headers, "upload-checksum"))
        offset = await self._receive(running, request, body, record, offset, checksum)
        return Response(status_code=204, headers=self._state(offset, self._clock() + self._expires))

    async def _receive(
        self,
        running: Running,
        request: Request,
        body: Body,
        record: GatewayRecord,
        offset: int,
        checksum: tus.Checksum | None,
    ) -> int:
        """Take the body of a request: the offset that is acknowledged."""
        running.check_usable()
        length = tus.number(request.headers, "content-length")
        body.expect(checksum)
        async with running.leases.hold(record) as hold:
            self._check_alive(hold.record)
            if hold.record.state is not GatewayState.OPEN:
                if length == 0 and offset == hold.record.size:
                    return await self._look(running, hold)
                raise TusError(409, "the upload is complete", {"Upload-Offset": str(hold.record.size)})
            await self._take_length(running, request, hold)
            watch = asyncio.create_task(
                running.leases.watch(hold, self._expires, self._clock), name="iqiyi-async gateway watch"
            )
            try:
                return await (await running.way(hold)).receive(hold, body, offset, length)
            finally:
                watch.cancel()
                await asyncio.wait([watch])

    async def _take_length(self, running: Running, request: Request, hold: Hold) -> None:
        """The length of an upload that was created without."""
        length = tus.number(request.headers, "upload-length")
        record = hold.record
        if length is None or length == record.size:
            return
        if record.size is not None:
            raise TusError(400, f"the upload has {record.size} bytes; its length can't change")
        check_size(length, Details.of(record).max_size)
        if length == 0:
            raise TusError(400, "an empty file can't become a video")
        there = await (await running.way(hold)).offset(hold)
        if length < there:
            raise TusError(400, f"{there} bytes of the upload have come; its length can't be {length}")
        await running.set_size(hold, length)

    async def _delete(self, running: Running, request: Request, body: Body, record: GatewayRecord) -> Response:
        if record.state in (GatewayState.CANCELLED, GatewayState.EXPIRED):
            raise TusError(410, "the upload is gone")
        async with running.leases.hold(record) as hold:
            if hold.record.state in (GatewayState.CANCELLED, GatewayState.EXPIRED):
                raise TusError(410, "the upload is gone")
            await (await running.way(hold)).cancel(hold)
        return Response(status_code=204)

    async def _record(self, running: Running, key: str, asks: str) -> GatewayRecord:
        record = await stored(running.store.load_upload(key)) if _ID.fullmatch(key) else None
        if record is None or (
            self._authenticate is not None
            and not secrets.compare_digest(
                hashlib.sha256(record.owner.encode()).digest(), hashlib.sha256(asks.encode()).digest()
            )
        ):
            raise TusError(404, "there is no such upload")
        return record

    def _check_alive(self, record: GatewayRecord) -> None:
        if record.state is GatewayState.REFUSED:
            raise TusError(422, record.problem)
        expired = record.state is GatewayState.OPEN and record.expires < self._clock()
        if expired or (record.state in (GatewayState.CANCELLED, GatewayState.EXPIRED) and not record.untold):
            raise TusError(410, "the upload is gone")

    def _state(self, offset: int, expires: float) -> dict[str, str]:
        return {"Upload-Offset": str(offset), "Upload-Expires": tus.moment(expires)}

    def _start(self) -> Running:
        """With the first request: the client is there by then, and so is its event loop."""
        if self._closed:
            raise unavailable("the server is shutting down")
        if self._running is None:
            cloud = self._cloud if isinstance(self._cloud, AsyncVideoCloud) else self._cloud()
            self._running = Running(cloud, self._on_finish, self._expires, self._clock, self._spool)
        return self._running


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _base(request: Request) -> str:
    """The path of the gateway itself."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _parts(request: Request) -> tuple[str, str]:
    """The upload that a path names, and what of it. Some frameworks leave the path of the mount in it, some don't."""
    path, base = str(request.scope["path"]), _base(request)
    if base and (path == base or path.startswith(f"{base}/")):
        path = path[len(base) :]
    key, _, rest = path.strip("/").partition("/")
    return key, rest


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
