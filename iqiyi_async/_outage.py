"""While a service is down its client waits as one: gates, with one probe at a time.

A gate closes after three failures in a row of different calls. While it is closed only probes go through, one after
the other, ever less often; what waits is neither counted nor repeated. After a probe that got through it lets one call
through, then two, then four, until all are.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
from collections import deque
from collections.abc import Callable, Collection, Hashable
from contextvars import ContextVar

from .config import RetryPolicy
from .errors import ServiceUnavailableError, TransportError, VideoCloudError

__all__ = ["CALLER", "Caller", "Gate", "GateClosedError", "Outage"]

logger: logging.Logger = logging.getLogger(__name__)

#: A gate closes after failures of so many different calls.
FAILURES = 3
#: So many upload hosts that go down within so many seconds, with none up, are the service as a whole.
HOSTS, HOSTS_SECONDS = 3, 10.0
#: A call that has its turn and sends nothing for so many seconds (it waits for its source, for a worker) loses it.
TURN_SECONDS = 5.0
#: More calls than this at a time need not be let through one by one any more.
WIDE_OPEN = 64


class GateClosedError(Exception):
    """A call met a closed gate; nothing was sent.

    Attributes:
        gate: the gate.
        operation: what was to be done.
        repeatable: whether it may be a probe.
    """

    def __init__(self, gate: Gate, operation: str, repeatable: bool) -> None:
        super().__init__(operation)
        self.gate = gate
        self.operation = operation
        self.repeatable = repeatable


class Caller:
    """One call with all its attempts, as the gates know it.

    Args:
        patience: how long it waits for a gate to open, in seconds; with 0 no gate holds it up.
    """

    __slots__ = ("_excused", "_gate", "_let_through_by", "_since", "patience")

    def __init__(self, patience: float) -> None:
        self.patience: float = patience
        self._excused = False
        self._let_through_by: Gate | None = None
        self._gate: Gate | None = None
        self._since: float | None = None

    def excuse(self) -> None:
        """Its last attempt was a probe that failed: it counts for nothing."""
        self._excused = True

    def excused(self) -> bool:
        """Whether the last attempt counts for nothing. Asked once for each."""
        was, self._excused = self._excused, False
        return was

    def failed_at(self, gate: Gate) -> None:
        """Its last attempt failed at a gate."""
        self._gate = gate

    @property
    def shut_out(self) -> bool:
        """Whether the gate that its last attempt failed at is closed now."""
        return self._gate is not None and self._gate.closed

    def let_through(self, gate: Gate) -> None:
        """A gate counts it among those under way."""
        self._let_through_by = gate

    def leave(self) -> None:
        """Its last attempt is over."""
        gate, self._let_through_by = self._let_through_by, None
        if gate is not None:
            gate.abandoned(self)

    def deadline(self, now: float) -> float:
        """Until when it waits: counted from when it began to, in this outage."""
        if self._since is None:
            self._since = now
        return self._since + self.patience

    def through(self) -> None:
        """An attempt got through: the outage is over for it."""
        self._since = None


#: The call whose attempt is being made, if it is made in a retry loop.
CALLER: ContextVar[Caller | None] = ContextVar("iqiyi_async_caller", default=None)


class _Waiter:
    __slots__ = ("caller", "repeatable", "turn")

    def __init__(self, caller: Caller, repeatable: bool, turn: asyncio.Future[None]) -> None:
        self.caller = caller
        self.repeatable = repeatable
        self.turn = turn


class Gate:
    """The way to one service, or to one of its hosts.

    Args:
        policy: how long to wait between probes: its back-off.
        random: a number from 0 to 1.
        on_closed: called with the last failure when it closes because nothing gets through.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        random: Callable[[], float] = _random.random,
        on_closed: Callable[[VideoCloudError], None] = lambda error: None,
    ) -> None:
        self._policy = policy
        self._random = random
        self._on_closed = on_closed
        self._failed: set[Hashable] = set()
        self._error: VideoCloudError | None = None
        self._closed = False
        #: How many calls may be under way while it opens; None if it is open.
        self._window: int | None = None
        self._through: set[Caller] = set()
        #: Those of them that have sent nothing yet.
        self._called: set[Caller] = set()
        self._waiting: deque[_Waiter] = deque()
        self._probes = 0
        self._next_probe = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        """Whether only probes go through."""
        return self._closed

    @property
    def unused(self) -> bool:
        """Whether it is open and remembers nothing."""
        return not (self._closed or self._failed or self._waiting or self._through) and self._window is None

    def admit(self, caller: Caller | None, operation: str, repeatable: bool) -> None:
        """Let a request pass.

        Args:
            caller: on whose behalf; None if nobody would wait.
            operation: what is to be done.
            repeatable: whether it may be sent twice.

        Raises:
            GateClosedError: it has to `wait`.
            ServiceUnavailableError: it has to, and nobody would.
        """
        if not self._closed and self._window is None:
            return
        if caller in self._through:
            self._called.discard(caller)
            return
        if caller is not None and caller.patience <= 0:
            return
        if not self._closed and not self._waiting and len(self._through) < (self._window or 0):
            if caller is not None:
                self._through.add(caller)
                caller.let_through(self)
            return
        if caller is None:
            raise self._down(operation, 0.0)
        raise GateClosedError(self, operation, repeatable)

    def succeeded(self, caller: Caller | None) -> None:
        """A request was answered: the service is there."""
        self._failed.clear()
        if caller is not None:
            caller.through()
            self._through.discard(caller)
        if self._closed:
            logger.info("the service answers again")
            self._closed, self._window, self._probes = False, 1, 0
            self._cancel_timer()
        elif self._window is not None:
            self._window += 1
        if self._window is not None:
            self._let_through()

    def failed(
        self, caller: Caller | None, who: Collection[Hashable], error: VideoCloudError, *, certain: bool = True
    ) -> None:
        """A request did not get through.

        Args:
            caller: on whose behalf.
            who: the calls that it failed for, each by a name of its own.
            error: why.
            certain: whether it can't be about the request itself. Otherwise it counts as an attempt of the call, also
                as a probe: a call that fails whenever it is made must not keep the others waiting.
        """
        self._error = error
        if caller is not None:
            caller.failed_at(self)
        probe = caller in self._through
        if caller is not None and probe:
            self._through.discard(caller)
            if certain:
                caller.excuse()
        if probe and (self._closed or certain):
            # If it was open, it opened too early.
            self._close(error)
        elif not self._closed:
            self._failed.update(who)
            if len(self._failed) >= FAILURES:
                self.close(error, certain=certain)
            else:
                self._let_through()

    def close(self, error: VideoCloudError, *, certain: bool = True) -> None:
        """Let nothing through but probes from now on."""
        if not self._closed:
            logger.warning("the service is down (%s); its calls wait until a probe gets through", type(error).__name__)
            self._close(error)
            if certain:
                self._on_closed(error)

    def abandoned(self, caller: Caller | None) -> None:
        """An attempt ended and tells nothing: the next one may be the probe."""
        if caller is not None and caller in self._through:
            self._through.discard(caller)
            self._called.discard(caller)
            self._let_through()

    async def wait(self, caller: Caller, operation: str, repeatable: bool) -> None:
        """Wait for one's turn: as a probe, or when the gate has opened.

        Raises:
            VideoCloudError: the patience of the caller is over.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(caller, repeatable, loop.create_future())
        deadline = caller.deadline(loop.time())
        self._waiting.append(waiter)
        self._let_through()
        try:
            async with asyncio.timeout_at(deadline):
                await waiter.turn
        except TimeoutError:
            raise self._down(operation, caller.patience) from None
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _close(self, error: VideoCloudError) -> None:
        self._closed, self._window = True, None
        self._error = error
        self._failed.clear()
        self._probes += 1
        bound = min(self._policy.max_backoff, self._policy.initial_backoff * 2.0 ** min(self._probes - 1, 60))
        wait = bound * (0.5 + self._random() / 2)
        asked = error.retry_after if isinstance(error, ServiceUnavailableError) else None
        wait = max(wait, min(asked or 0.0, self._policy.retry_after_cap))
        self._next_probe = asyncio.get_running_loop().time() + wait
        self._cancel_timer()
        self._let_through()

    def _let_through(self) -> None:
        """Give those their turn who may have it: while it is closed one, when it is time for a probe."""
        if self._closed:
            self._schedule_probe()
            return
        while self._waiting and self._window is not None and len(self._through) < self._window:
            self._turn(self._waiting.popleft())
        if self._window is not None and not self._waiting and (not self._through or self._window >= WIDE_OPEN):
            self._window = None
            self._through.clear()

    def _schedule_probe(self) -> None:
        if self._timer is None and self._waiting and not self._through:
            self._timer = asyncio.get_running_loop().call_at(self._next_probe, self._probe)

    def _probe(self) -> None:
        self._timer = None
        if not self._closed or self._through or not self._waiting:
            return
        oldest = next((each for each in self._waiting if each.repeatable), self._waiting[0])
        self._waiting.remove(oldest)
        self._turn(oldest)

    def _turn(self, waiter: _Waiter) -> None:
        if not waiter.turn.done():
            self._through.add(waiter.caller)
            self._called.add(waiter.caller)
            waiter.caller.let_through(self)
            asyncio.get_running_loop().call_later(TURN_SECONDS, self._lose_turn, waiter.caller)
            waiter.turn.set_result(None)

    def _lose_turn(self, caller: Caller) -> None:
        if caller in self._called:
            self._called.discard(caller)
            self.abandoned(caller)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _down(self, operation: str, waited: float) -> VideoCloudError:
        error = self._error
        why = "it does not answer" if error is None else str(error)
        for_so_long = f" for {waited:.0f} s" if waited >= 1 else ""
        text = f"{operation}: nothing was sent, the service is down{for_so_long}: {why}"
        down: VideoCloudError
        if isinstance(error, ServiceUnavailableError):
            down = ServiceUnavailableError(text, code=error.code, message=error.message, operation=operation)
        else:
            down = TransportError(text, sent=False, operation=operation)
        down.exhausted = waited > 0
        if error is not None:
            down.__cause__ = error.__cause__
        return down


class Outage:
    """The gates of one client: one for the API and upload hosts together, one for each host that takes ranges.

    Args:
        service: the origins of the former.
        policy: how long to wait between probes.
        random: a number from 0 to 1.
    """

    def __init__(
        self, service: frozenset[str], policy: RetryPolicy, random: Callable[[], float] = _random.random
    ) -> None:
        self._origins = service
        self._policy = policy
        self._random = random
        self.service: Gate = Gate(policy, random)
        self._hosts: dict[str, Gate] = {}
        self._closings: deque[float] = deque(maxlen=HOSTS)

    @property
    def down(self) -> bool:
        """Whether the service as a whole is down."""
        return self.service.closed

    def is_down(self, origin: str) -> bool:
        """Whether nothing but probes is sent to an origin now."""
        gate = self.service if origin in self._origins else self._hosts.get(origin)
        return gate is not None and gate.closed

    def gate(self, origin: str) -> Gate:
        """The gate that a request to an origin goes through."""
        if origin in self._origins:
            return self.service
        gate = self._hosts.get(origin)
        if gate is None:
            gate = self._hosts[origin] = Gate(self._policy, self._random, self._host_closed)
        return gate

    def left(self, origin: str, *, answered: bool) -> None:
        """A request to an origin has ended. Gates that remember nothing are not kept."""
        if origin in self._origins:
            return
        if answered:
            self._closings.clear()
        gate = self._hosts.get(origin)
        if gate is not None and gate.unused:
            del self._hosts[origin]

    def _host_closed(self, error: VideoCloudError) -> None:
        now = asyncio.get_running_loop().time()
        self._closings.append(now)
        if len(self._closings) == HOSTS and now - self._closings[0] <= HOSTS_SECONDS:
            self.service.close(error)
