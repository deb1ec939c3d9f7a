"""`unfinished`: uploads that were begun and neither finished nor cancelled, to be seen or ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from iqiyi_async import AsyncVideoCloud, ServiceError, UploadJournal, VideoCloudError, VideoState
from iqiyi_async.stores import Phase

from . import words
from .failures import FAILED, UsageError, failure_of
from .screen import Screen
from .texts import count, joined, tr

#: Seconds that others are kept from an upload which is being cancelled.
LEASE_SECONDS = 60.0


async def show(
    cloud: AsyncVideoCloud, journal: UploadJournal, screen: Screen, file_ids: Sequence[str], *, cancel: bool
) -> int:
    """List what is unfinished, or cancel it at the service and forget it.

    Args:
        cloud: the client.
        journal: the client's journal.
        screen: where it is shown.
        file_ids: only these; all if there are none.
        cancel: end them.
    """
    found = [each async for each in cloud.iter_unfinished() if not file_ids or each.file_id in file_ids]
    if missing := set(file_ids) - {each.file_id for each in found}:
        raise UsageError(
            tr("no unfinished upload is called {ids}", ids=joined(sorted(missing))),
            tr("iqiyi-async unfinished lists all that this machine knows of"),
        )
    if cancel:
        return max([await _cancel(cloud, journal, screen, each) for each in found], default=0)
    if screen.machine:
        for each in found:
            screen.record({"event": "unfinished", **attrs.asdict(each)})
        return 0
    if found:
        rows = [
            (
                each.file_id,
                each.name,
                tr("{done} of {total}", done=words.size(each.accepted), total=words.size(each.size)),
                f"{datetime.fromtimestamp(each.changed).astimezone():%Y-%m-%d %H:%M}",
            )
            for each in found
        ]
        screen.table((tr("upload"), tr("source"), tr("at the service"), tr("last change")), rows)
    screen.note(count(len(found), "unfinished upload"))
    if found:
        screen.note(tr("upload the same file again to go on with it; --cancel ends them at the service"))
    return 0


async def _cancel(cloud: AsyncVideoCloud, journal: UploadJournal, screen: Screen, each: Any) -> int:
    """End one upload, unless somebody is at it: the journal hands out the right to do so."""
    fence = await journal.acquire(each.key, f"cancel-{os.getpid()}", LEASE_SECONDS)
    if fence is None:
        return _report(screen, each, tr("{name}: is under way in another process; it was left alone", name=each.name))
    try:
        # What can't be undone is announced first: a process that finds this entry later asks the service.
        if not await journal.advance(each.key, fence, Phase.CANCELLING):
            return _report(screen, each, tr("{name}: is gone already", name=each.name))
        try:
            await _end(cloud, each.file_id)
        except VideoCloudError as error:
            screen.failure(failure_of(error), each.name)
            return _report(screen, each, "")
        await journal.forget(each.key, fence)
    finally:
        await journal.release(each.key, fence)
    if screen.machine:
        screen.record({"event": "cancelled", "ok": True, "file_id": each.file_id, "name": each.name})
    else:
        screen.result(tr("cancelled {file_id} ({name})", file_id=each.file_id, name=each.name))
    return 0


async def _end(cloud: AsyncVideoCloud, file_id: str) -> None:
    """Cancel an upload; one that the service has dropped or cancelled before is no failure."""
    try:
        await cloud.cancel_upload(file_id)
    except ServiceError:
        status = await cloud.get_status(file_id)
        if status.state not in (VideoState.ABSENT, VideoState.CANCELLED):
            raise


def _report(screen: Screen, each: Any, text: str) -> int:
    if text:
        screen.say(text)
    if screen.machine:
        screen.record({"event": "cancelled", "ok": False, "file_id": each.file_id, "name": each.name})
    return FAILED
