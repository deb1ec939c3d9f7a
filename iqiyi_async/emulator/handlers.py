"""From a call to an answer: one short function for each operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from anyio import CancelScope

from . import violations
from .calls import Call
from .chunks import ChunkClaim
from .contract import Code, Operation, Refusal
from .core import EmulatorCore
from .durations import duration_of
from .media import play, resolve
from .replies import Reply, json_reply, loosen
from .state import FileRecord
from .storage import RegionWriter
from .threads import in_thread

Handler = Callable[[EmulatorCore, Call], Awaitable[Reply]]

#: What the Android SDK puts behind the bytes of a range; it is no part of them.
_SURPLUS = b"\r\n"


def _answer(core: EmulatorCore, call: Call, payload: Mapping[str, Any]) -> Reply:
    loose = core.config.answer_style == "loose"
    return loosen(call.operation, payload) if loose else json_reply(payload)


def _success(core: EmulatorCore, call: Call, **more: Any) -> Reply:
    return _answer(core, call, {"code": Code.SUCCESS, **more})


def _app_of(core: EmulatorCore, call: Call) -> str:
    """The application whose token the call presents."""
    return core.tokens.check(call.params.get("access_token"))


async def authorize(core: EmulatorCore, call: Call) -> Reply:
    """Section 2."""
    return _success(core, call, data=core.tokens.authorize(call.params))


async def refresh_token(core: EmulatorCore, call: Call) -> Reply:
    """Section 3: the one answer without an envelope. At the address of authorize it has one."""
    granted = core.tokens.refresh(call.params)
    if call.path.rstrip("/").endswith("authorize"):
        return _success(core, call, data=granted)
    return _answer(core, call, granted)


async def request_upload(core: EmulatorCore, call: Call) -> Reply:
    """Section 1.1."""
    record = core.service.request_upload(_app_of(core, call), call.params)
    core.requests.note(call.number, file_id=record.file_id)
    data = {"upload_url": f"{call.base}/upload", "file_id": record.file_id}
    return _success(core, call, data=data)


async def upload_chunk(core: EmulatorCore, call: Call) -> Reply:
    """Section 1.2. The bytes go to a region of their own, and count only when all of them are there."""
    try:
        return await _take_chunk(core, call)
    finally:
        for text in violations.of_chunk(call):
            core.requests.violation(call.number, text)


async def _take_chunk(core: EmulatorCore, call: Call) -> Reply:
    claim = core.service.open_chunk(call.params)
    last = claim.first + claim.length - 1
    core.requests.note(call.number, file_id=claim.file_id, first=claim.first, last=last)
    offset = core.storage.allocate(claim.file_id, claim.length)
    writer = core.storage.writer(claim.file_id, offset, corrupt=call.effects.wrong_md5)
    accepted = 0
    try:
        await _receive(call, claim, writer)
        claim.check_length(writer.received)
        count = max(0, writer.received - call.effects.short_accept)
        core.service.accept(claim, offset, count)
        accepted = count
    finally:
        with CancelScope(shield=True):
            await writer.close()
        if not accepted:
            core.storage.give_back(claim.file_id, offset, claim.length)
    md5 = writer.md5
    return _success(core, call, range_md5=md5, file_range_accepted=accepted, file_id=claim.file_id)


async def _receive(call: Call, claim: ChunkClaim, writer: RegionWriter) -> None:
    """Stream the chunk to disk. What a form's file part holds beyond the range is refused, but for one CRLF."""
    surplus = b""
    async for piece in call.body.data():
        room = claim.limit - writer.received
        surplus += piece[room:]
        if surplus and not (call.body.is_form and _SURPLUS.startswith(surplus)):
            raise Refusal(Code.BAD_PARAMETER, f"the range has room for {claim.limit} bytes; the body holds more")
        if room:
            await writer.write(piece[:room])
    if surplus and surplus != _SURPLUS:
        raise Refusal(Code.BAD_PARAMETER, f"the range has room for {claim.limit} bytes; the body holds more")
    if not call.body.has_file:
        raise Refusal(Code.BAD_PARAMETER, "the file part is missing")
    await writer.flush()


async def finish_upload(core: EmulatorCore, call: Call) -> Reply:
    """Section 1.3. The answer to a form names the file."""
    app_key = _app_of(core, call)
    record = core.service.check_finish(app_key, call.params)
    digest, duration = None, 0
    if record.finished_at is None:
        digest, duration = await in_thread(_examine, core, record)
    before = core.service.finish(app_key, call.params, digest, duration)
    missing = core.service.missing(before)
    if before.finished_at is None and missing:
        text = f"finish was said while {missing} of {before.size} bytes had not been accepted"
        core.requests.violation(call.number, text)
    return _success(core, call, **({"file_id": before.file_id} if call.in_body else {}))


def _examine(core: EmulatorCore, record: FileRecord) -> tuple[str | None, int]:
    """The MD5 of a video, where duplicates are looked for, and how long it runs. Blocking."""
    held = core.state.intervals[record.file_id]
    if held.covered < record.size:
        return None, 0
    digest = core.storage.digest(record.file_id, held, record.size) if core.config.detect_duplicates else None
    return digest, duration_of(lambda first, end: core.storage.read(record.file_id, held, first, end), record.size)


async def cancel_upload(core: EmulatorCore, call: Call) -> Reply:
    """Section 1.4."""
    record = core.service.cancel(_app_of(core, call), call.params)
    await core.storage.remove([record.file_id])
    return _success(core, call)


async def set_metadata(core: EmulatorCore, call: Call) -> Reply:
    """Section 1.5."""
    hint = core.service.set_metadata(_app_of(core, call), call.params)
    if hint:
        core.requests.violation(call.number, hint)
    return _success(core, call, msg=hint)


async def get_status(core: EmulatorCore, call: Call) -> Reply:
    """Section 4."""
    return _success(core, call, data=core.catalogue.status(_app_of(core, call), call.params, call.base))


async def list_videos(core: EmulatorCore, call: Call) -> Reply:
    """Section 5, and one video by itself."""
    app_key = _app_of(core, call)
    if "videoForExternal" in call.path:
        return _success(core, call, data=core.catalogue.video(app_key, call.params, call.base))
    total, rows = core.catalogue.videos(app_key, call.params, call.base)
    return _success(core, call, count=total, data=rows)


async def count_videos(core: EmulatorCore, call: Call) -> Reply:
    """How many videos the user has; not in the document."""
    return _success(core, call, data={"count": core.catalogue.count(_app_of(core, call))})


async def get_urls(core: EmulatorCore, call: Call) -> Reply:
    """Section 6."""
    return _success(core, call, data=core.catalogue.urls(_app_of(core, call), call.params, call.base))


async def delete_videos(core: EmulatorCore, call: Call) -> Reply:
    """Section 7."""
    await core.storage.remove(core.service.delete(_app_of(core, call), call.params))
    return _success(core, call)


HANDLERS: Mapping[Operation, Handler] = {
    Operation.AUTHORIZE: authorize,
    Operation.REFRESH_TOKEN: refresh_token,
    Operation.REQUEST_UPLOAD: request_upload,
    Operation.UPLOAD_CHUNK: upload_chunk,
    Operation.SET_METADATA: set_metadata,
    Operation.FINISH_UPLOAD: finish_upload,
    Operation.CANCEL_UPLOAD: cancel_upload,
    Operation.GET_STATUS: get_status,
    Operation.LIST_VIDEOS: list_videos,
    Operation.COUNT_VIDEOS: count_videos,
    Operation.GET_URLS: get_urls,
    Operation.DELETE_VIDEOS: delete_videos,
    Operation.RESOLVE_URL: resolve,
    Operation.PLAY: play,
}
