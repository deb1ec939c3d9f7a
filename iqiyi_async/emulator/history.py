"""What was asked and answered: one entry for each request of an operation, without tokens, secrets and queries."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from typing import Any

import attrs

from .clock import Clock
from .contract import Operation

_requests = logging.getLogger("iqiyi_async.emulator.requests")

#: Longest file_id that is kept; what clients send in its place may be anything.
MAX_ID = 64


@attrs.frozen(kw_only=True)
class Exchange:
    """One request.

    Attributes:
        number: from 1, in the order of arrival.
        operation: what was asked for.
        method: the HTTP method.
        path: without query.
        connection: the number of the connection, from 1 for each server; 0 without a socket.
        started: when it came, in seconds since the epoch on the service's clock.
        file_id: the video that it named.
        first: first byte of the chunk's range.
        last: last byte of the chunk's range, inclusive.
        bytes: bytes of the request's body that came in.
        faults: places in the fault plan of the faults that fired.
        violations: what the service let pass although the contract forbids it, in words.
        status: the HTTP status of the answer; None while there is none.
        code: the service code of the answer, where it has one.
        ending: `answered`, `dropped` (by a fault), `disconnected` (by the client), `failed`, or None while it runs.
        ended: when it ended, on the same clock.
    """

    number: int
    operation: Operation
    method: str
    path: str
    connection: int
    started: float
    file_id: str | None = None
    first: int | None = None
    last: int | None = None
    bytes: int = 0
    faults: tuple[int, ...] = ()
    violations: tuple[str, ...] = ()
    status: int | None = None
    code: str | None = None
    ending: str | None = None
    ended: float | None = None


class History:
    """The latest requests, oldest first.

    Args:
        clock: for the times.
        limit: how many to keep.
    """

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._numbers = itertools.count(1)
        self._exchanges: dict[int, Exchange] = {}
        self._guard = threading.RLock()
        self.counters: Counter[str] = Counter()

    def begin(self, operation: Operation, method: str, path: str, connection: int) -> int:
        """Note that a request came; returns its number."""
        number = next(self._numbers)
        self.counters[operation.value] += 1
        exchange = Exchange(
            number=number,
            operation=operation,
            method=method,
            path=path,
            connection=connection,
            started=self._clock.now(),
        )
        with self._guard:
            self._exchanges[number] = exchange
            if len(self._exchanges) > self._limit:
                del self._exchanges[next(iter(self._exchanges))]
        return number

    def note(self, number: int, **facts: Any) -> None:
        """Add to what is known about a request."""
        if isinstance(facts.get("file_id"), str):
            facts["file_id"] = facts["file_id"][:MAX_ID]
        exchange = self._exchanges.get(number)
        if exchange is not None:
            self._exchanges[number] = attrs.evolve(exchange, **facts)

    def violation(self, number: int, text: str) -> None:
        """Note that a request breaks the contract, although it is served."""
        exchange = self._exchanges.get(number)
        if exchange is not None and text not in exchange.violations:
            self.note(number, violations=(*exchange.violations, text))

    def rename(self, number: int, operation: Operation) -> None:
        """Correct the operation, where it only shows in the query or the body."""
        exchange = self._exchanges.get(number)
        if exchange is not None and exchange.operation is not operation:
            self.counters[exchange.operation.value] -= 1
            self.counters[operation.value] += 1
            self.note(number, operation=operation)

    def end(self, number: int, ending: str, **facts: Any) -> None:
        """Note how a request ended; the first word counts."""
        exchange = self._exchanges.get(number)
        if exchange is not None and exchange.ending is None:
            self.note(number, ending=ending, ended=self._clock.now(), **facts)
            if _requests.isEnabledFor(logging.INFO):
                _requests.info("%s", _line(self._exchanges[number]))

    def exchanges(self) -> tuple[Exchange, ...]:
        """A snapshot; from any thread."""
        with self._guard:
            return tuple(self._exchanges.values())

    def clear(self) -> None:
        """Forget all; numbers go on."""
        with self._guard:
            self._exchanges.clear()
        self.counters.clear()


def _line(exchange: Exchange) -> str:
    """A request as one line of the log."""
    took = (exchange.ended or exchange.started) - exchange.started
    span = "" if exchange.first is None else f" {exchange.first}-{exchange.last}"
    parts = [
        f"{exchange.number} {exchange.method} {exchange.path} {exchange.operation}",
        f"{exchange.status or '-'} {exchange.code or '-'} {exchange.ending} {took * 1000:.0f} ms",
        f"{exchange.bytes} bytes",
        *([f"file_id {exchange.file_id}{span}"] if exchange.file_id else []),
        *([f"faults {list(exchange.faults)}"] if exchange.faults else []),
        *(f"VIOLATION: {text}" for text in exchange.violations),
    ]
    # Paths and ids are the client's words: no line of the log may be broken by them.
    return "".join(letter if letter.isprintable() else "?" for letter in ", ".join(parts))
