"""From a call to an answer: one short function for each operation.

What belongs here: handing parameters to the rules and putting the result into the documented form. What must not: the
rules themselves, and addresses (app.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from anyio import CancelScope

from .calls import Call
from .contract import Code, Operation, Refusal
from .media import play, resolve
from .replies import Reply, json_reply, loosen
from .service import ChunkClaim
from .storage import RegionWriter
from .threads import in_thread

if TYPE_CHECKING:
    from .emulator import Emulator

Handler = Callable[["Emulator", Call], Awaitable[Reply]]


def _answer(emulator: Emulator, call: Call, payload: Mapping[str, Any]) -> Reply:
    loose = emulator.config.answer_style == "loose"
    return loosen(call.operation, payload) if loose else json_reply(payload)


def _success(emulator: Emulator, call: Call, **more: Any) -> Reply:
    return _answer(emulator, call, {"code": Code.SUCCESS, **more})


async def authorize(emulator: Emulator, call: Call) -> Reply:
    """Section 2."""
    return _success(emulator, call, data=emulator.grants.authorize(call.params))


async def refresh_token(emulator: Emulator, call: Call) -> Reply:
    """Section 3: the one answer without an envelope."""
    return _answer(emulator, call, emulator.grants.refresh(call.params))


async def request_upload(emulator: Emulator, call: Call) -> Reply:
    """Section 1.1."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    record = emulator.service.request_upload(app_key, call.params)
    emulator.requests.note(call.number, file_id=record.file_id)
    data = {"upload_url": f"{call.base}/upload", "file_id": record.file_id}
    return _success(emulator, call, data=data)


async def upload_chunk(emulator: Emulator, call: Call) -> Reply:
    """Section 1.2. The bytes go to a region of their own, and count only when all of them are there."""
    assert call.effects is not None
    claim = emulator.service.open_chunk(call.params)
    last = claim.first + claim.length - 1
    emulator.requests.note(call.number, file_id=claim.file_id, first=claim.first, last=last)
    offset = emulator.storage.allocate(claim.file_id, claim.length)
    writer = emulator.storage.writer(claim.file_id, offset, corrupt=call.effects.wrong_md5)
    accepted = 0
    try:
        await _receive(call, claim, writer)
        emulator.service.check_length(claim, writer.received)
        count = max(0, writer.received - call.effects.short_accept)
        emulator.service.accept(claim, offset, count)
        accepted = count
    finally:
        with CancelScope(shield=True):
            await writer.close()
        if not accepted:
            emulator.storage.give_back(claim.file_id, offset, claim.length)
    md5 = writer.md5
    return _success(emulator, call, range_md5=md5, file_range_accepted=accepted, file_id=claim.file_id)


async def _receive(call: Call, claim: ChunkClaim, writer: RegionWriter) -> None:
    """Stream the chunk to disk, refusing the first byte too many."""
    async for piece in call.body.data():
        if writer.received + len(piece) > claim.limit:
            raise Refusal(Code.BAD_PARAMETER, f"the range has room for {claim.limit} bytes; the body holds more")
        await writer.write(piece)
    if not call.body.has_file:
        raise Refusal(Code.BAD_PARAMETER, "the file part is missing")
    await writer.flush()


async def finish_upload(emulator: Emulator, call: Call) -> Reply:
    """Section 1.3."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    record = emulator.service.check_finish(app_key, call.params)
    digest = None
    if emulator.config.detect_duplicates and record.finished_at is None:
        held = emulator.state.extents[record.file_id]
        digest = await in_thread(emulator.storage.digest, record.file_id, held, record.size)
    emulator.service.finish(app_key, call.params, digest)
    return _success(emulator, call)


async def cancel_upload(emulator: Emulator, call: Call) -> Reply:
    """Section 1.4."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    record = emulator.service.cancel(app_key, call.params)
    await emulator.storage.remove([record.file_id])
    return _success(emulator, call)


async def set_metadata(emulator: Emulator, call: Call) -> Reply:
    """Section 1.5."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    emulator.service.set_metadata(app_key, call.params)
    return _success(emulator, call, msg="")


async def get_status(emulator: Emulator, call: Call) -> Reply:
    """Section 4."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    data = emulator.catalogue.status(app_key, call.params, call.base)
    return _success(emulator, call, data=data, msg="")


async def list_videos(emulator: Emulator, call: Call) -> Reply:
    """Section 5."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    total, rows = emulator.catalogue.videos(app_key, call.params, call.base)
    return _success(emulator, call, count=total, data=rows)


async def get_urls(emulator: Emulator, call: Call) -> Reply:
    """Section 6."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    return _success(emulator, call, data=emulator.catalogue.urls(app_key, call.params, call.base))


async def delete_videos(emulator: Emulator, call: Call) -> Reply:
    """Section 7."""
    app_key = emulator.grants.check(call.params.get("access_token"))
    await emulator.storage.remove(emulator.service.delete(app_key, call.params))
    return _success(emulator, call)


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
    Operation.GET_URLS: get_urls,
    Operation.DELETE_VIDEOS: delete_videos,
    Operation.RESOLVE_URL: resolve,
    Operation.PLAY: play,
}
