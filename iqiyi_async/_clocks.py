"""The clocks that the library goes by. Each is handed to what it is for, so that tests and simulations bring their
own."""

from __future__ import annotations

import asyncio
import time

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def boottime() -> float:
    """Seconds on a clock that goes on while the machine is suspended, where there is one."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


def loop_time() -> float:
    """The time of the running loop, in seconds."""
    return asyncio.get_running_loop().time()
