"""`--max-bandwidth`: a limit that may follow the clock on the wall."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

from iqiyi_async import AsyncVideoCloud, ConfigurationError, Timetable

from .failures import UsageError
from .messages import told
from .texts import about, tr

#: A machine may be suspended and its clock set: the time is looked at so often, in seconds.
LOOK = 20.0


def timetable_of(text: str | None) -> Timetable | None:
    """The timetable that an option gives.

    Raises:
        UsageError: it can't be read.
    """
    try:
        return None if text is None else Timetable.parse(text)
    except ConfigurationError as error:
        hint = tr("such as --max-bandwidth 20MB, or 08:00-20:00=10MB,else=off")
        raise UsageError(about("--max-bandwidth", told(str(error))), hint) from None


@asynccontextmanager
async def limited(cloud: AsyncVideoCloud, timetable: Timetable | None) -> AsyncGenerator[None, None]:
    """While it lasts, the client sends no faster than the timetable says."""
    if timetable is None:
        yield
        return
    cloud.set_bandwidth(timetable.rate_at(datetime.now()))  # noqa: DTZ005 - the clock on the wall
    task = asyncio.create_task(_follow(cloud, timetable), name="timetable")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _follow(cloud: AsyncVideoCloud, timetable: Timetable) -> None:
    while True:
        now = datetime.now()  # noqa: DTZ005 - the clock on the wall
        change = timetable.next_change(now)
        until = LOOK if change is None else (change - now).total_seconds()
        await asyncio.sleep(min(max(until, 0.01), LOOK))
        cloud.set_bandwidth(timetable.rate_at(datetime.now()))  # noqa: DTZ005
