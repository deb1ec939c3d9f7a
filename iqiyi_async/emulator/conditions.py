"""What a fault proxy can do to a connection: conditions as values, and the pace and the limits they set."""

from __future__ import annotations

import asyncio

import attrs
from attrs import validators

from . import checks

#: A capped connection sends in steps of this many seconds, so that the rate is even.
STEP = 0.02


_positive: checks.Validator = validators.optional(checks.positive)
_not_negative: checks.Validator = validators.optional(checks.not_negative)


@attrs.frozen(kw_only=True)
class Flow:
    """What happens to one direction of a connection.

    Attributes:
        latency: seconds that every byte is late.
        bandwidth: bytes per second at most, of one connection.
        drip: bytes sent at a time, with `drip_pause` after each.
        drip_pause: seconds.
        reset_after: after so many bytes both sides get a reset (RST).
        close_after: after so many bytes the receiver sees the end of the stream, while the other direction goes on.
    """

    latency: float = attrs.field(default=0.0, validator=_not_negative)
    bandwidth: float | None = attrs.field(default=None, validator=_positive)
    drip: int | None = attrs.field(default=None, validator=_positive)
    drip_pause: float = attrs.field(default=0.0, validator=_not_negative)
    reset_after: int | None = attrs.field(default=None, validator=_not_negative)
    close_after: int | None = attrs.field(default=None, validator=_not_negative)


@attrs.frozen(kw_only=True)
class Conditions:
    """What happens to a connection.

    Attributes:
        up: from client to server.
        down: from server to client.
        black_hole: it is accepted, and then nothing moves in either direction.
    """

    up: Flow = attrs.field(factory=Flow)
    down: Flow = attrs.field(factory=Flow)
    black_hole: bool = False


class ResetError(Exception):
    """The connection ends with a reset."""


class Throttle:
    """Spreads bytes over time."""

    def __init__(self) -> None:
        self._free_at = 0.0

    async def pass_on(self, count: int, rate: float | None) -> None:
        """Return when `count` bytes may have gone at `rate` bytes per second."""
        if rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + count / rate
        await asyncio.sleep(self._free_at - now)


def flow_of(conditions: Conditions, *, up: bool) -> Flow:
    """The direction's share of the conditions."""
    return conditions.up if up else conditions.down


def next_step(flow: Flow, sent: int, left: int, total: float | None) -> tuple[int, bool]:
    """How many bytes may go now, and whether the direction is closed already."""
    if flow.reset_after is not None and sent >= flow.reset_after:
        raise ResetError
    if flow.close_after is not None and sent >= flow.close_after:
        return 0, True
    limits = [left, flow.drip or left]
    limits += [max(1, int(rate * STEP)) for rate in (flow.bandwidth, total) if rate is not None]
    limits += [edge - sent for edge in (flow.reset_after, flow.close_after) if edge is not None]
    return min(limits), False
