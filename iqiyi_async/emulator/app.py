"""The emulator as an ASGI application: one request from arrival to answer."""

from __future__ import annotations

import logging
import re
from asyncio import CancelledError
from typing import Protocol, cast

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from . import violations
from .calls import Call
from .contract import Code, Refusal
from .control import CONTROL, control
from .core import EmulatorCore
from .effects import Effects, Replaced
from .handlers import HANDLERS
from .media import page, picture
from .pages import front_page
from .replies import Reply, Severed, json_reply, refusal_reply, send_reply, with_callback
from .routes import API_CORS, API_HOSTS, ROUTES, UPLOAD_CORS, Route, route_of

_logger = logging.getLogger(__name__)

#: How much of a refused request is read before the answer: clients that send all before they listen then hear it.
DRAIN = 64 * 1024 * 1024

#: Bytes of headers and query that a request may have: a description of 4,000 characters fits, in percent signs.
MAX_HEADERS = 64 * 1024

#: The name of a function, as `cb` gives it.
_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]{0,63}")


class Connection(Protocol):
    """What the server says about the connection of a request; absent where there is no socket."""

    number: int

    @property
    def stopping(self) -> bool:
        """Whether the server closes it."""
        ...

    @property
    def gone(self) -> bool:
        """Whether it is closed, or about to be."""
        ...

    def sever(self, *, flush: bool) -> None:
        """Close it: at once, or after what was sent so far."""
        ...


class EmulatorApp:
    """The ASGI application of one emulator."""

    def __init__(self, core: EmulatorCore) -> None:
        self._core = core

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
                await self._core.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._core.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _exchange(self, request: Request, send: Send) -> None:
        connection = cast("Connection | None", request.scope.get("state", {}).get("connection"))
        number = [0]
        ending = "failed"
        started = False
        try:
            await self._core.start()
            reply = await self._reply(request, number)
            started = True
            self._core.requests.note(number[0], status=reply.status, code=reply.code)
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
                failed = json_reply({"code": Code.FAILED, "msg": "the emulator's disk failed"}, 500)
                await send_reply(failed.default_headers(_cors(request)), send)
        except CancelledError:
            ending = "disconnected"
            if connection is None or not connection.stopping:
                raise
        finally:
            self._core.requests.end(number[0], ending)

    async def _reply(self, request: Request, number: list[int]) -> Reply:
        """The answer to a request; its number in the history goes into `number`."""
        path, query = cast("str", request.scope["path"]), cast("bytes", request.scope["query_string"])
        if path.startswith(CONTROL):
            return await control(self._core, request)
        cors = _cors(request)
        if sum(len(name) + len(value) for name, value in request.headers.raw) + len(query) > MAX_HEADERS:
            too_long = f"headers and query are longer than {MAX_HEADERS} bytes"
            return json_reply({"code": Code.FAILED, "msg": too_long}, 431).default_headers(cors)
        route = route_of(path)
        if route is None:
            return self._elsewhere(request, path).default_headers(cors)
        if request.method == "OPTIONS":
            return Reply(b"", headers=dict(cors))
        if request.method not in route.methods:
            reply = json_reply({"code": Code.FAILED, "msg": f"use {' or '.join(route.methods)} for {path}"}, 405)
            return reply.add_headers({"allow": ", ".join(route.methods)}).default_headers(cors)
        connection = cast("Connection | None", request.scope.get("state", {}).get("connection"))
        number[0] = self._core.requests.begin(
            route.operation, request.method, path, connection.number if connection else 0
        )
        call = Call(route.operation, request, self._base(request), number[0])
        try:
            return (await self._handle(call, route)).default_headers(cors)
        finally:
            self._core.requests.note(number[0], bytes=call.body.received)

    async def _handle(self, call: Call, route: Route) -> Reply:
        """Handle a call, with the faults that meet it."""
        core, effects = self._core, None
        try:
            try:
                await call.read_form()
                core.requests.rename(call.number, call.operation)
                effects = Effects(
                    core.faults,
                    call.operation,
                    core.world,
                    lambda places: core.requests.note(call.number, faults=places),
                )
                call.expose_to(effects)
                file_id = call.params.get("file_id") or call.params.get("file_ids")
                core.requests.note(call.number, file_id=file_id)
                for text in violations.of_call(call, route, core.config.public_url):
                    core.requests.violation(call.number, text)
                await effects.before(call.params.get("access_token"), file_id)
                await effects.gate(call.body.received)
                reply = await HANDLERS[call.operation](core, call)
            except Refusal as refusal:
                reply = refusal_reply(refusal)
            if route.hosts is API_HOSTS and _CALLBACK.fullmatch(call.query.get("cb", "")):
                reply = with_callback(reply, call.query["cb"])
            if not await call.body.drain(DRAIN):
                reply.add_headers({"connection": "close"})
            return effects.after(reply, call.params.get("file_id")) if effects is not None else reply
        except Replaced as replaced:
            return replaced.reply
        finally:
            await core.log.commit()

    def _base(self, request: Request) -> str:
        if self._core.config.public_url is not None:
            return self._core.config.public_url
        server = request.scope.get("server") or ("127.0.0.1", 80)
        host = request.headers.get("host") or f"{server[0]}:{server[1]}"
        return f"{request.scope['scheme']}://{host}"

    def _elsewhere(self, request: Request, path: str) -> Reply:
        """Addresses that are no operations."""
        looked_at = request.method in ("GET", "HEAD")
        if looked_at and path == "/":
            return front_page(request, self._base(request))
        if looked_at and path.startswith("/pictures/"):
            return picture()
        if looked_at and path.startswith("/page/"):
            return page(self._core, self._base(request), path.removeprefix("/page/"))
        known = ", ".join(ROUTES)
        return json_reply({"code": Code.FAILED, "msg": f"no such address; there are {known} and {CONTROL}"}, 404)


def _cors(request: Request) -> dict[str, str]:
    """What browsers are told about the service's answer, of whatever kind it is."""
    path = cast("str", request.scope["path"])
    route = route_of(path)
    if route is not None:
        return dict(route.cors)
    return dict(UPLOAD_CORS if "upload" in path else API_CORS)


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
