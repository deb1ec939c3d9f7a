"""The control API under /__emulator__/: state, history, clock and faults, for tests in any language and for curl.

What belongs here: the same things that the Python face gives, as JSON. What must not: secrets: nothing here shows
a token. Only loopback may call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import attrs
from starlette.requests import Request

from .contract import Code, FileState
from .faults import FaultPlan
from .replies import Reply, json_reply

if TYPE_CHECKING:
    from .emulator import Emulator

CONTROL = "/__emulator__/"
#: A fault plan or a number; nothing longer is read.
MAX_BODY = 1024 * 1024
_FILE = re.compile(r"files/([0-9a-f]{1,64})/(content|outcome)")
_HELP = (
    'GET health, GET state, GET history, POST reset, POST clock {"advance": seconds}, GET | POST | DELETE faults, '
    'POST tokens {"spoil": "expired" | "revoked"}, GET files/{id}/content, POST files/{id}/outcome {"outcome": word}'
)


class _BadCallError(Exception):
    """The caller's mistake; the text says which."""


async def control(emulator: Emulator, request: Request) -> Reply:
    """Answer a control call."""
    client = request.client
    if client is not None and not _is_loopback(client.host):
        return _error(403, "the control API answers calls from loopback only")
    name = cast("str", request.scope["path"]).removeprefix(CONTROL)
    try:
        return await _dispatch(emulator, request, name)
    except _BadCallError as bad:
        return _error(400, str(bad))
    except ValueError as error:
        return _error(400, str(error))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _error(status: int, message: str) -> Reply:
    return json_reply({"code": Code.FAILED, "msg": message}, status)


async def _dispatch(emulator: Emulator, request: Request, name: str) -> Reply:
    match request.method, name:
        case "GET", "health":
            return json_reply({"ok": True, "clock": emulator.clock.now()})
        case "GET", "state":
            return json_reply(_state(emulator))
        case "GET", "history":
            return json_reply({"history": [attrs.asdict(exchange) for exchange in emulator.history]})
        case "POST", "reset":
            await emulator.reset()
            return json_reply({"ok": True})
        case "POST", "clock":
            emulator.clock.advance(_number(await _object(request), "advance"))
            await emulator.log.commit()
            return json_reply({"ok": True, "clock": emulator.clock.now()})
        case "POST", "tokens":
            await _spoil(emulator, await _object(request))
            return json_reply({"ok": True})
        case _, "faults":
            return await _faults(emulator, request)
        case _:
            return await _file(emulator, request, name)


def _state(emulator: Emulator) -> dict[str, Any]:
    files = [attrs.asdict(view) for view in emulator.files.values()]
    tokens = emulator.state.tokens.values()
    return {
        "files": files,
        "tokens": {kind: sum(token.kind == kind for token in tokens) for kind in ("access", "refresh")},
        "counters": dict(emulator.requests.counters),
        "clock": {"now": emulator.clock.now(), "offset": emulator.clock.offset},
    }


async def _faults(emulator: Emulator, request: Request) -> Reply:
    if request.method == "POST":
        emulator.faults = FaultPlan.from_json(await _text(request))
    elif request.method == "DELETE":
        emulator.faults = FaultPlan()
    elif request.method != "GET":
        return _error(405, "use GET, POST or DELETE for faults")
    plan = emulator.faults
    faults = [{**fault.to_dict(), "fired": fired} for fault, fired in zip(plan.faults, plan.fired, strict=True)]
    return json_reply({"seed": plan.seed, "faults": faults, "unfired": [fault.to_dict() for fault in plan.unfired()]})


async def _file(emulator: Emulator, request: Request, name: str) -> Reply:
    match = _FILE.fullmatch(name)
    if match is None:
        return _error(404, f"no such control call; there are {_HELP}")
    record = emulator.state.files.get(match[1])
    if record is None:
        return _error(404, "no such video")
    if (request.method, match[2]) == ("POST", "outcome"):
        fields = await _object(request)
        emulator.set_outcome(record.file_id, FileState(str(fields.get("outcome"))))
        await emulator.log.commit()
        return json_reply({"ok": True})
    if (request.method, match[2]) != ("GET", "content"):
        return _error(405, "use GET for content, POST for outcome")
    held = emulator.state.extents[record.file_id]
    stream = emulator.storage.stream(record.file_id, held, 0, record.size)
    return Reply(stream, headers={"content-type": "application/octet-stream"}, length=held.covered)


async def _spoil(emulator: Emulator, fields: Mapping[str, Any]) -> None:
    how, kind = fields.get("spoil"), fields.get("kind", "access")
    if how not in ("expired", "revoked") or kind not in ("access", "refresh"):
        raise _BadCallError("spoil must be 'expired' or 'revoked', kind 'access' or 'refresh'")
    emulator.spoil_tokens(how, kind)
    await emulator.log.commit()


def _number(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadCallError(f"{name} must be a number")
    return float(value)


async def _object(request: Request) -> dict[str, Any]:
    try:
        value: object = json.loads(await _text(request))
    except (ValueError, RecursionError):
        raise _BadCallError("the body must be JSON") from None
    if not isinstance(value, dict):
        raise _BadCallError("the body must be a JSON object")
    return cast("dict[str, Any]", value)


async def _text(request: Request) -> str:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise _BadCallError(f"the body is longer than {MAX_BODY} bytes")
    return body.decode("utf-8", "replace")
