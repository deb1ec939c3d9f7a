"""The emulator as an ASGI application: which address is which operation, and one request from arrival to answer.

What belongs here: dispatch, faults around the handling, the history. What must not: rules and wording of operations.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from .calls import Call
from .contract import Code, Operation, Refusal
from .control import CONTROL, control
from .effects import Effects, Replaced
from .handlers import HANDLERS
from .media import page, picture
from .multipart import UploadBody
from .replies import Reply, Severed, json_reply, refusal_reply, send_reply

if TYPE_CHECKING:
    from .emulator import Emulator

_logger = logging.getLogger(__name__)

#: How much of a refused request is read before the answer: clients that send all before they listen then hear it.
DRAIN = 64 * 1024 * 1024

#: Bytes of headers and query that a request may have: a description of 4,000 characters fits, in percent signs.
MAX_HEADERS = 64 * 1024

_CHUNK_HEADERS = frozenset({"file_id", "file_size", "range"})

ROUTES: Mapping[str, tuple[Operation, tuple[str, ...]]] = {
    "/openupload": (Operation.REQUEST_UPLOAD, ("GET",)),
    "/upload": (Operation.UPLOAD_CHUNK, ("POST",)),
    "/uploadfinish": (Operation.FINISH_UPLOAD, ("POST", "GET")),
    "/cancelupload": (Operation.CANCEL_UPLOAD, ("POST", "GET")),
    "/api/file/info": (Operation.SET_METADATA, ("GET",)),
    "/api/iqiyi/authorize": (Operation.AUTHORIZE, ("GET",)),
    "/api/oauth2/token": (Operation.REFRESH_TOKEN, ("GET",)),
    "/api/file/fullStatus": (Operation.GET_STATUS, ("GET",)),
    "/api/file/videoListForExternal": (Operation.LIST_VIDEOS, ("GET",)),
    "/api/file/urllist": (Operation.GET_URLS, ("GET",)),
    "/api/file/delete": (Operation.DELETE_VIDEOS, ("GET",)),
}
_PREFIXES: Mapping[str, tuple[Operation, tuple[str, ...]]] = {
    "/play/": (Operation.RESOLVE_URL, ("GET", "HEAD")),
    "/media/": (Operation.PLAY, ("GET", "HEAD")),
}


class Connection(Protocol):
    """What the server says about the connection of a request; absent where there is no socket."""

    number: int
    stopping: bool

    @property
    def gone(self) -> bool:
        """Whether it is closed, or about to be."""
        ...

    def sever(self, *, flush: bool) -> None:
        """Close it: at once, or after what was sent so far."""
        ...


class EmulatorApp:
    """The ASGI application of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifetime of a server that runs this application."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._exchange(Request(scope, receive), send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._emulator.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._emulator.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _exchange(self, request: Request, send: Send) -> None:
        connection = cast("Connection | None", request.scope.get("state", {}).get("connection"))
        number = [0]
        ending = "failed"
        started = False
        try:
            await self._emulator.start()
            reply = await self._reply(request, number)
            started = True
            self._emulator.requests.note(number[0], status=reply.status, code=reply.code)
            await send_reply(reply, _watched(send, connection), head_only=request.method == "HEAD")
            ending = "answered"
        except Severed:
            ending = "dropped"
            await _sever(connection, request, flush=started)
        except ClientDisconnect:
            ending = "disconnected"
        except OSError:
            _logger.exception("the emulator's disk failed")
            if started:
                await _sever(connection, request, flush=True)
            else:
                await send_reply(json_reply({"code": Code.FAILED, "msg": "the emulator's disk failed"}, 500), send)
        except CancelledError:
            ending = "disconnected"
            if connection is None or not connection.stopping:
                raise
        finally:
            self._emulator.requests.end(number[0], ending)

    async def _reply(self, request: Request, number: list[int]) -> Reply:
        """The answer to a request; its number in the history goes into `number`."""
        path, query = cast("str", request.scope["path"]), cast("bytes", request.scope["query_string"])
        if sum(len(name) + len(value) for name, value in request.headers.raw) + len(query) > MAX_HEADERS:
            too_long = f"headers and query are longer than {MAX_HEADERS} bytes"
            return json_reply({"code": Code.FAILED, "msg": too_long}, 431)
        if path.startswith(CONTROL):
            return await control(self._emulator, request)
        route = ROUTES.get(path) or next((known for start, known in _PREFIXES.items() if path.startswith(start)), None)
        if route is None:
            return self._elsewhere(request, path)
        operation, methods = route
        if request.method not in methods:
            reply = json_reply({"code": Code.FAILED, "msg": f"use {' or '.join(methods)} for {path}"}, 405)
            reply.headers["allow"] = ", ".join(methods)
            return reply
        connection = cast("Connection | None", request.scope.get("state", {}).get("connection"))
        number[0] = self._emulator.requests.begin(
            operation, request.method, path, connection.number if connection else 0
        )
        body = UploadBody(request.stream(), request.headers.get("content-type", ""))
        call = Call(operation, request, self._base(request), number[0], body)
        try:
            return await self._handle(call)
        finally:
            self._emulator.requests.note(number[0], bytes=body.received)

    async def _handle(self, call: Call) -> Reply:
        """Handle a call, with the faults that meet it."""
        emulator = self._emulator
        try:
            try:
                await _read_form(call)
                emulator.requests.rename(call.number, call.operation)
                effects = call.effects = Effects(
                    emulator.faults,
                    call.operation,
                    emulator.world,
                    lambda places: emulator.requests.note(call.number, faults=places),
                )
                file_id = call.params.get("file_id") or call.params.get("file_ids")
                emulator.requests.note(call.number, file_id=file_id)
                call.body.gate = effects.gate
                await effects.before(call.params.get("access_token"), file_id)
                await effects.gate(call.body.received)
                reply = await HANDLERS[call.operation](emulator, call)
            except Refusal as refusal:
                reply = refusal_reply(refusal)
            if not await call.body.drain(DRAIN):
                reply.headers["connection"] = "close"
            return call.effects.after(reply, call.params.get("file_id")) if call.effects is not None else reply
        except Replaced as replaced:
            return replaced.reply
        finally:
            await emulator.log.commit()

    def _base(self, request: Request) -> str:
        if self._emulator.config.public_url is not None:
            return self._emulator.config.public_url
        server = request.scope.get("server") or ("127.0.0.1", 80)
        host = request.headers.get("host") or f"{server[0]}:{server[1]}"
        return f"{request.scope['scheme']}://{host}"

    def _elsewhere(self, request: Request, path: str) -> Reply:
        """Addresses that are no operations."""
        if request.method in ("GET", "HEAD") and path.startswith("/pictures/"):
            return picture()
        if request.method in ("GET", "HEAD") and path.startswith("/page/"):
            return page(self._emulator, self._base(request), path.removeprefix("/page/"))
        known = ", ".join(ROUTES)
        return json_reply({"code": Code.FAILED, "msg": f"no such address; there are {known} and {CONTROL}"}, 404)


async def _read_form(call: Call) -> None:
    """Read form fields where parameters may stand in them, and see which operation they ask for."""
    if call.operation is Operation.UPLOAD_CHUNK:
        finish = {**call.query, **call.headers}.get("range_finished") == "true"
        if not finish and (call.in_body or not call.headers.keys() >= _CHUNK_HEADERS):
            call.form = await call.body.fields()
            finish = call.form.get("range_finished") == "true" and not call.body.has_file
        if finish:
            call.operation = Operation.FINISH_UPLOAD
    elif call.request.method == "POST":
        call.form = await call.body.fields()


def _watched(send: Send, connection: Connection | None) -> Send:
    """A server may take what is sent to a client that has gone, and say nothing: an endless answer would never
    end."""

    async def watched(message: Message) -> None:
        await send(message)
        if connection is not None and connection.gone and message.get("more_body"):
            raise ClientDisconnect

    return watched


async def _sever(connection: Connection | None, request: Request, *, flush: bool) -> None:
    """Close the connection and wait until it is closed."""
    if connection is None:
        raise ConnectionResetError("the emulator closed the connection, as a fault said")
    connection.sever(flush=flush)
    while (await request.receive())["type"] != "http.disconnect":
        pass
