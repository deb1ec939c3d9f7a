"""The emulator's inside as server-sent events: a snapshot whenever something has changed, for the page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import attrs

from .core import EmulatorCore
from .history import Exchange
from .inspection import FileView

#: Seconds between two looks; several changes in between are one event.
INTERVAL = 0.25
#: The newest videos, requests and ranges of a video that an event has.
FILES, EXCHANGES, RANGES = 60, 150, 500


async def events(core: EmulatorCore) -> AsyncIterator[bytes]:
    """The stream of events; it ends with the connection or the server."""
    last = b""
    while True:
        text = json.dumps(snapshot(core), separators=(",", ":")).encode()
        # A comment where nothing is new: only by writing a connection is seen to have gone.
        yield b":\n\n" if text == last else b"data: " + text + b"\n\n"
        last = text
        await core.world.wait(INTERVAL)


def snapshot(core: EmulatorCore) -> dict[str, Any]:
    """What the page shows. Nothing in it moves by itself: times are moments, not differences."""
    plan = core.faults
    return {
        "offset": round(core.clock.offset, 3),
        "lifetimes": {"access": core.config.token_lifetime, "refresh": core.config.refresh_lifetime},
        "counters": dict(core.requests.counters),
        "total": len(core.state.files),
        "files": [_file(core, view) for view in core.latest_files(FILES)],
        "tokens": [attrs.asdict(token, filter=_is_public) for token in core.tokens.living()],
        "faults": [{**fault.to_dict(), "fired": fired} for fault, fired in zip(plan.faults, plan.fired, strict=True)],
        "history": [_exchange(each) for each in core.history[: -EXCHANGES - 1 : -1]],
    }


def _is_public(field: attrs.Attribute[Any], _: object) -> bool:
    return field.name in ("kind", "app_key", "expires_at")


def _file(core: EmulatorCore, view: FileView) -> dict[str, Any]:
    record = core.state.files.get(view.file_id)
    shown = attrs.asdict(view)
    shown["ranges"] = view.ranges[:RANGES]
    shown["outcome"] = record.outcome if record is not None else view.state
    shown["listed"] = record is not None and core.service.is_listed(record)
    return shown


def _exchange(each: Exchange) -> dict[str, Any]:
    return attrs.asdict(each, filter=lambda _, value: value is not None and value != ())
