"""Carrying out the faults of one request: before it is handled, in the middle of its body, after it is handled."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from anyio import Event, move_on_after

from .clock import Clock
from .contract import Operation
from .faults import Fault
from .plans import FaultPlan
from .replies import TEXT, Reply, Severed, json_reply, oversized
from .state import State
from .tokens import TokenIssuer


class Replaced(Exception):  # noqa: N818 - an end of a request, not a fault of the program
    """Another answer is to be given instead of handling the request."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class World:
    """What faults reach into, and the server's closing, which ends their waits.

    Args:
        tokens: tokens that faults spoil.
        state: videos that faults drop.
        clock: the service's time.
    """

    def __init__(self, tokens: TokenIssuer, state: State, clock: Clock) -> None:
        self.tokens = tokens
        self.state = state
        self.clock = clock
        self._closing = Event()

    def open(self) -> None:
        """Waits may begin (again)."""
        self._closing = Event()

    def close(self) -> None:
        """End every wait."""
        self._closing.set()

    async def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Severed: the server closes meanwhile.
        """
        if seconds > 0:
            with move_on_after(seconds):
                await self._closing.wait()
                raise Severed


class Effects:
    """The faults of one request.

    Args:
        plan: where they come from.
        operation: what the request asks for.
        world: what they reach into.
        note: called with the places of the faults that have fired, after each.
    """

    def __init__(
        self, plan: FaultPlan, operation: Operation, world: World, note: Callable[[tuple[int, ...]], None]
    ) -> None:
        self._plan = plan
        self._world = world
        self._note = note
        self._places: tuple[int, ...] = ()
        self._active: list[Fault] = []
        picked = [(at, plan.faults[at]) for at in plan.matching(operation)]
        self._waiting = [pair for pair in picked if pair[1].after_bytes is not None or pair[1].stall is not None]
        self._at_once = [pair for pair in picked if pair not in self._waiting]

    async def before(self, token: str | None, file_id: str | None) -> None:
        """Everything that happens before the request is handled.

        Raises:
            Severed: the connection closes now.
            Replaced: this is the answer.
        """
        fired: list[Fault] = []
        for at, fault in self._at_once:
            # A fault that has nothing to act on has not fired, and must not look as if it had.
            idle = (fault.token and not token) or ((fault.drop_file or fault.lag is not None) and not file_id)
            if not idle and self._fire(at):
                fired.append(fault)
        for fault in fired:
            await self._world.wait(fault.delay or 0.0)
            if fault.token and token:
                self._world.tokens.spoil(token, fault.token)
            if fault.drop_file and file_id:
                self._world.state.drop_file(file_id)
        for fault in fired:
            self._end(fault)

    async def gate(self, received: int) -> None:
        """Everything that happens when `received` bytes of the body have come in. Raises as `before` does."""
        while self._waiting and any((fault.after_bytes or 0) <= received for _, fault in self._waiting):
            at, fault = next(pair for pair in self._waiting if (pair[1].after_bytes or 0) <= received)
            self._waiting.remove((at, fault))
            if not self._fire(at):
                continue
            await self._world.wait((fault.delay or 0.0) + (fault.stall or 0.0))
            self._end(fault)

    def after(self, reply: Reply, file_id: str | None) -> Reply:
        """Everything that happens to the answer of a request that was handled.

        Raises:
            Severed: the answer is lost.
        """
        for fault in self._active:
            record = self._world.state.files.get(file_id) if file_id else None
            if fault.lag is not None and record is not None:
                until = self._world.clock.now() + fault.lag
                self._world.state.put_file(attrs.evolve(record, lag_until=until, lag_code=fault.lag_code))
        if any(fault.lost_answer for fault in self._active):
            raise Severed
        return self._finished(reply)

    @property
    def wrong_md5(self) -> bool:
        """Whether a bit of the chunk turns over."""
        return any(fault.wrong_md5 for fault in self._active)

    @property
    def short_accept(self) -> int:
        """How many bytes fewer to accept."""
        return next((fault.short_accept for fault in self._active if fault.short_accept), 0)

    def _fire(self, at: int) -> bool:
        fault = self._plan.fire(at)
        if fault is None:
            return False
        self._active.append(fault)
        self._places += (at,)
        self._note(self._places)
        return True

    def _end(self, fault: Fault) -> None:
        if fault.drop:
            raise Severed
        if fault.replaces:
            raise Replaced(self._finished(_instead(fault)))

    def _finished(self, reply: Reply) -> Reply:
        for fault in reversed(self._active):
            reply.add_headers(fault.headers)
            if fault.truncate is not None:
                reply.cut_after(fault.truncate)
        return reply


def _instead(fault: Fault) -> Reply:
    """The answer that a fault gives by itself."""
    status = fault.status or 200
    if fault.oversize is not None:
        return Reply(oversized(fault.oversize), status, dict(TEXT))
    if fault.body is not None:
        return Reply(fault.body.encode("utf-8", "replace"), status, dict(TEXT), code=fault.code)
    if fault.code is not None:
        return json_reply({"code": fault.code, "msg": "a planned fault"}, status)
    text = b"" if status in (204, 304) else b"a planned fault\n"
    return Reply(text, status, dict(TEXT))
