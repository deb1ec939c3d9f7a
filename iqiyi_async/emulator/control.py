"""The control API under /__emulator__/: state, history, clock and faults, for tests in any language and for curl.

It gives what the Python classes give, as JSON, and shows no token and no secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import attrs
from starlette.requests import Request

from .contract import Code, FileState
from .core import EmulatorCore
from .events import events
from .guard import refusal
from .links import Link
from .pages import asset
from .plans import FaultPlan
from .replies import Reply, json_reply

CONTROL = "/__emulator__/"
#: A fault plan or a number; nothing longer is read.
MAX_BODY = 1024 * 1024
_FAULT = re.compile(r"faults/([0-9]{1,6})")
_FILE = re.compile(r"files/([0-9a-f]{1,64})/(content|outcome|play)")
_HELP = (
    "GET health, GET state, GET history, GET violations, GET events (server-sent), POST reset, "
    'POST clock {"advance": seconds}, GET | POST | DELETE faults, POST faults/add, DELETE faults/{place}, '
    'POST tokens {"spoil": "expired" | "revoked"}, GET files/{id}/content, '
    'POST files/{id}/outcome {"outcome": word, "qualities": [names], "duration": seconds}'
)


class _BadCallError(Exception):
    """The caller's mistake; the text says which."""


async def control(core: EmulatorCore, request: Request) -> Reply:
    """Answer a control call."""
    refused = refusal(request, core.config.public_url)
    if refused is not None:
        return refused
    name = cast("str", request.scope["path"]).removeprefix(CONTROL)
    try:
        return await _dispatch(core, request, name)
    except _BadCallError as bad:
        return _error(400, str(bad))
    except ValueError as error:
        return _error(400, str(error))


def _error(status: int, message: str) -> Reply:
    return _json({"code": Code.FAILED, "msg": message}, status)


def _json(payload: Mapping[str, Any], status: int = 200) -> Reply:
    return json_reply(payload, status).add_headers({"content-type": "application/json; charset=utf-8"})


async def _dispatch(core: EmulatorCore, request: Request, name: str) -> Reply:
    if name in ("faults", "faults/add"):
        return await _faults(core, request, name)
    if match := _FAULT.fullmatch(name):
        return _remove_fault(core, request, int(match[1]))
    if match := _FILE.fullmatch(name):
        return await _file(core, request, match[1], match[2])
    if request.method in ("GET", "HEAD") and name in _SHOWN:
        return _SHOWN[name](core)
    if request.method == "POST" and name in _TOLD:
        return await _TOLD[name](core, request)
    if name in _SHOWN or name in _TOLD:
        return _error(405, f"use {'GET' if name in _SHOWN else 'POST'} for {name}")
    return _error(404, f"no such control call; there are {_HELP}")


def _health(core: EmulatorCore) -> Reply:
    return _json({"ok": True, "clock": core.clock.now()})


def _history(core: EmulatorCore) -> Reply:
    return _json({"history": [attrs.asdict(exchange) for exchange in core.history]})


def _violations(core: EmulatorCore) -> Reply:
    return _json({"violations": core.violations})


def _events(core: EmulatorCore) -> Reply:
    return Reply(events(core), headers={"content-type": "text/event-stream", "cache-control": "no-store"})


async def _reset(core: EmulatorCore, _: Request) -> Reply:
    await core.reset()
    return _json({"ok": True})


async def _turn_clock(core: EmulatorCore, request: Request) -> Reply:
    core.clock.advance(_number(await _object(request), "advance"))
    await core.log.commit()
    return _json({"ok": True, "clock": core.clock.now()})


def _state(core: EmulatorCore) -> Reply:
    files = [attrs.asdict(view) for view in core.files.values()]
    tokens = core.state.tokens.values()
    shown = {
        "files": files,
        "tokens": {kind: sum(token.kind == kind for token in tokens) for kind in ("access", "refresh")},
        "counters": dict(core.requests.counters),
        "violations": core.violations,
        "clock": {"now": core.clock.now(), "offset": core.clock.offset},
    }
    return _json(shown)


async def _faults(core: EmulatorCore, request: Request, name: str) -> Reply:
    if request.method == "POST" and name == "faults/add":
        core.fault_switch.use(core.faults.extended(FaultPlan.from_json(await _text(request)).faults))
    elif request.method == "POST":
        core.fault_switch.use(FaultPlan.from_json(await _text(request)))
    elif request.method == "DELETE" and name == "faults":
        core.fault_switch.use(FaultPlan())
    elif request.method != "GET":
        return _error(405, "use GET, POST or DELETE for faults, POST for faults/add")
    return _plan(core.faults)


def _remove_fault(core: EmulatorCore, request: Request, at: int) -> Reply:
    if request.method != "DELETE":
        return _error(405, "use DELETE for one fault")
    try:
        core.fault_switch.use(core.faults.without(at))
    except IndexError:
        return _error(404, f"the plan has no fault {at}; the first is 0")
    return _plan(core.faults)


def _plan(plan: FaultPlan) -> Reply:
    faults = [{**fault.to_dict(), "fired": fired} for fault, fired in zip(plan.faults, plan.fired, strict=True)]
    return _json({"seed": plan.seed, "faults": faults, "unfired": [fault.to_dict() for fault in plan.unfired()]})


async def _file(core: EmulatorCore, request: Request, file_id: str, what: str) -> Reply:
    record = core.state.files.get(file_id)
    if record is None:
        return _error(404, "no such video")
    if (request.method == "POST") != (what == "outcome"):
        return _error(405, "use GET for content and play, POST for outcome")
    if what == "outcome":
        fields = await _object(request)
        outcome = FileState(str(fields.get("outcome", "published")))
        qualities, duration = _names(fields.get("qualities")), fields.get("duration")
        core.set_outcome(file_id, outcome, qualities=qualities, duration=duration)
        await core.log.commit()
        return _json({"ok": True})
    if what == "play":
        place = core.links.real_url("../../..", Link(file_id, "mp4", "2"), record.file_type)
        return Reply(b"", 302, {"location": place, "cache-control": "no-store"})
    held = core.state.intervals[file_id]
    stream = core.storage.stream(file_id, held, 0, record.size)
    headers = {"content-type": "application/octet-stream", "x-content-type-options": "nosniff"}
    return Reply(stream, headers=headers, length=held.covered)


def _names(value: object) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in cast("list[object]", value)):
        raise _BadCallError("qualities must be a list of names")
    return cast("list[str]", value)


async def _spoil(core: EmulatorCore, request: Request) -> Reply:
    fields = await _object(request)
    how, kind = fields.get("spoil"), fields.get("kind", "access")
    if how not in ("expired", "revoked") or kind not in ("access", "refresh"):
        raise _BadCallError("spoil must be 'expired' or 'revoked', kind 'access' or 'refresh'")
    core.spoil_tokens(how, kind)
    await core.log.commit()
    return _json({"ok": True})


def _number(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadCallError(f"{name} must be a number")
    try:
        return float(value)
    except OverflowError:
        raise _BadCallError(f"{name} is too large") from None


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


_SHOWN: Mapping[str, Callable[[EmulatorCore], Reply]] = {
    "health": _health,
    "state": _state,
    "history": _history,
    "violations": _violations,
    "events": _events,
    "page.css": lambda _: asset("page.css"),
    "page.js": lambda _: asset("page.js"),
}
_TOLD: Mapping[str, Callable[[EmulatorCore, Request], Awaitable[Reply]]] = {
    "reset": _reset,
    "clock": _turn_clock,
    "tokens": _spoil,
}
