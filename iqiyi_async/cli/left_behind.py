"""`unfinished`: what earlier commands have left at the service, and the end of it."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from iqiyi_async import AsyncVideoCloud, SqliteJournal, UnknownFileError, VideoCloudError

from . import words
from .failures import FAILED, failure_of
from .screen import Screen


async def show(cloud: AsyncVideoCloud, journal: SqliteJournal, screen: Screen, *, cancel: bool) -> int:
    """List what was begun and not finished; on wish cancel it at the service.

    Returns:
        0, or 1 if something could not be cancelled.
    """
    code = 0
    found = [each async for each in cloud.iter_unfinished()]
    for each in found:
        moment = datetime.fromtimestamp(each.changed, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        if screen.machine:
            screen.record({"event": "unfinished", **attrs.asdict(each)})
        else:
            share = f"{words.size(each.accepted)} of {words.size(each.size)}"
            screen.result(f"{each.file_id}  {share}  {moment}  {each.name}")
        if cancel:
            try:
                await cloud.cancel_upload(each.file_id)
            except UnknownFileError:
                pass  # the service has dropped it already
            except VideoCloudError as error:
                screen.failure(failure_of(error), each.name)
                code = FAILED
                continue
            if not await journal.forget(each.key):
                screen.note(f"{each.name}: cancelled, but an upload of it is under way just now")
    if not found:
        screen.note("nothing was left unfinished")
    elif not cancel:
        screen.note("upload the same file again to go on; --cancel ends them at the service")
    return code
