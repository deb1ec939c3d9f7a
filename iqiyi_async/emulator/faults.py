"""Faults on purpose: what goes wrong, for which operation, and when.

What belongs here: the plan as a value (Python or JSON), its checks, and the decision whether a fault strikes. What
must
not: carrying a fault out (effects.py), and what HTTP cannot express (proxy.py).

A fault strikes on its n-th call (`call`), by chance (`probability`, decided by the plan's seed, the fault's place in
the plan and the number of the call, so that the order of concurrent requests does not matter), or, with neither, on
every call. Calls are counted for each fault apart, from 1, over the operations that it names, from the moment the
plan is put in.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, Literal, Self, cast

import attrs

from . import fault_checks as checks
from .contract import Operation

_SWITCH = checks.switch
_OPTIONAL_SECONDS = attrs.validators.optional(checks.seconds)
_OPTIONAL_COUNT = attrs.validators.optional(checks.count)
_OPTIONAL_AMOUNT = attrs.validators.optional(checks.amount)


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong. Effects may be combined where the combination has a meaning.

    Attributes:
        operation: the operation it strikes, by its name, or `*` for all.
        call: the n-th call, from 1, or several of them.
        probability: the chance of each call, above 0 and at most 1; not together with `call`.
        times: how often it may strike; by default once for each `call`, else without limit.
        after_bytes: strikes only when so many bytes of the request's body have come in. Goes with `drop`, `stall`,
            `delay`, `status`, `code`, `body` and `headers`.
        delay: seconds to wait before the request is handled.
        stall: seconds in which nothing is read, in the middle of the body.
        status: an HTTP status to answer instead of handling the request.
        code: a service code to answer instead of handling the request.
        body: a raw text to answer instead of handling the request.
        headers: headers to add to the answer.
        wrong_md5: one bit of the chunk turns over on its way: it is stored, and its MD5 answered, as it arrived.
        short_accept: accept so many bytes fewer of a chunk than were sent.
        drop: close the connection: in the middle of the body with `after_bytes`, else before anything is handled.
        lost_answer: handle and store, then close the connection without an answer.
        token: the presented access token becomes `expired` or `revoked` before the request is handled.
        drop_file: the service forgets the video that the request names before it is handled.
        lag: seconds during which full status still shows the video as it was before finish.
        truncate: cut the answer's body after so many bytes and close.
        oversize: answer with a JSON text of so many bytes instead of handling the request.

    Raises:
        ValueError: a field or a combination that means nothing; the text names the field.
    """

    operation: str = attrs.field(default="*", validator=checks.operation)
    call: tuple[int, ...] | None = attrs.field(default=None, converter=checks.calls)
    probability: float | None = attrs.field(default=None, validator=attrs.validators.optional(checks.probability))
    times: int | None = attrs.field(default=None, validator=_OPTIONAL_COUNT)
    after_bytes: int | None = attrs.field(default=None, validator=_OPTIONAL_AMOUNT)
    delay: float | None = attrs.field(default=None, validator=_OPTIONAL_SECONDS)
    stall: float | None = attrs.field(default=None, validator=_OPTIONAL_SECONDS)
    status: int | None = attrs.field(default=None, validator=attrs.validators.optional(checks.status))
    code: str | None = attrs.field(default=None, validator=attrs.validators.optional(checks.text))
    body: str | None = attrs.field(default=None, validator=attrs.validators.optional(checks.text))
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=checks.headers, hash=False)
    wrong_md5: bool = attrs.field(default=False, validator=_SWITCH)
    short_accept: int | None = attrs.field(default=None, validator=_OPTIONAL_COUNT)
    drop: bool = attrs.field(default=False, validator=_SWITCH)
    lost_answer: bool = attrs.field(default=False, validator=_SWITCH)
    token: Literal["expired", "revoked"] | None = attrs.field(default=None, validator=checks.token)
    drop_file: bool = attrs.field(default=False, validator=_SWITCH)
    lag: float | None = attrs.field(default=None, validator=_OPTIONAL_SECONDS)
    truncate: int | None = attrs.field(default=None, validator=_OPTIONAL_AMOUNT)
    oversize: int | None = attrs.field(default=None, validator=_OPTIONAL_COUNT)

    def __attrs_post_init__(self) -> None:
        checks.combination(self)

    @property
    def replaces(self) -> bool:
        """Whether an answer is given instead of handling the request."""
        return not (self.status is None and self.code is None and self.body is None and self.oversize is None)

    @property
    def limit(self) -> int | None:
        """How often it may strike at most; None is without limit."""
        if self.times is None and self.call is not None:
            return len(self.call)
        return self.times

    def touches(self, operation: str) -> bool:
        """Whether calls of this operation count for it."""
        return self.operation in ("*", operation)

    def picks(self, number: int, chance: str) -> bool:
        """Whether it strikes on this call; `chance` seeds the throw."""
        if self.call is not None:
            return number in self.call
        return self.probability is None or random.Random(chance).random() < self.probability  # noqa: S311

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in attrs.fields(Fault)}
        values = {name: value for name, value in values.items() if not checks.is_unset(value)}
        if self.headers:
            values["headers"] = dict(self.headers)
        if self.call is not None:
            values["call"] = self.call[0] if len(self.call) == 1 else list(self.call)
        return values


def _faults(value: object) -> tuple[Fault, ...]:
    if isinstance(value, str | bytes | Mapping | Fault):
        raise ValueError("faults must be a list of faults")  # noqa: TRY004
    faults = tuple(cast("tuple[object, ...]", value))
    for at, fault in enumerate(faults):
        if not isinstance(fault, Fault):
            raise ValueError(f"faults[{at}] must be a Fault, not {type(fault).__name__}")  # noqa: TRY004
    return cast("tuple[Fault, ...]", faults)


@attrs.define(eq=False)
class _Record:
    """How often each fault was considered and how often it struck."""

    calls: list[int]
    fired: list[int]


@attrs.frozen
class FaultPlan:
    """Faults in order, and the seed of their chances. The value is frozen; only its record of what fired moves.

    Args:
        faults: where several strike one request, the earlier one's effect of a kind counts.
        seed: for faults with a probability.

    Raises:
        ValueError: something in it means nothing; the text names the field.
    """

    faults: tuple[Fault, ...] = attrs.field(default=(), converter=_faults)
    seed: int = attrs.field(default=0, validator=checks.whole)
    _record: _Record = attrs.field(
        init=False,
        eq=False,
        repr=False,
        default=attrs.Factory(lambda self: _Record([0] * len(self.faults), [0] * len(self.faults)), takes_self=True),
    )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a plan: `{"seed": 7, "faults": [{"operation": "upload_chunk", "call": 2, "status": 503}]}`.

        Raises:
            ValueError: no JSON, or not a plan; the text names the field.
        """
        try:
            plan: object = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("a fault plan must be JSON text") from None
        return cls.from_value(plan)

    @classmethod
    def from_value(cls, plan: object) -> Self:
        """Make a plan of what JSON gives: an object with `faults` and `seed`, or the bare list of faults.

        Raises:
            ValueError: not a plan; the text names the field.
        """
        fields = _fields(plan)
        for name in fields:
            if name not in ("faults", "seed"):
                raise ValueError(f"unknown field {name!r} of a fault plan")
        listed = fields.get("faults")
        if not isinstance(listed, list):
            raise ValueError("faults must be a list of faults")  # noqa: TRY004
        faults = tuple(_fault(at, item) for at, item in enumerate(cast("list[object]", listed)))
        return cls(faults, fields.get("seed", 0))

    def to_json(self) -> str:
        """The plan as `from_json` reads it, without its record."""
        return json.dumps({"seed": self.seed, "faults": [fault.to_dict() for fault in self.faults]})

    @property
    def fired(self) -> tuple[int, ...]:
        """How often each fault has struck, in the plan's order."""
        return tuple(self._record.fired)

    def unfired(self) -> tuple[Fault, ...]:
        """The faults that have not struck as often as planned: never, or on fewer calls than `call` names."""
        return tuple(
            fault
            for fault, fired in zip(self.faults, self._record.fired, strict=True)
            if fired < (len(fault.call) if fault.call is not None and fault.times is None else 1)
        )

    def restart(self) -> None:
        """Count calls and strikes from nothing again."""
        self._record.calls[:] = [0] * len(self.faults)
        self._record.fired[:] = [0] * len(self.faults)

    def meet(self, operation: Operation) -> tuple[int, ...]:
        """Count a call; returns the places of the faults that pick it. They have struck only after `strike`."""
        picked: list[int] = []
        for at, fault in enumerate(self.faults):
            if not fault.touches(operation):
                continue
            self._record.calls[at] += 1
            number = self._record.calls[at]
            if fault.picks(number, f"{self.seed}:{at}:{number}") and self._may_strike(at):
                picked.append(at)
        return tuple(picked)

    def strike(self, at: int) -> Fault | None:
        """Note that the fault in place `at` strikes now; None if it has struck as often as it may."""
        if not self._may_strike(at):
            return None
        self._record.fired[at] += 1
        return self.faults[at]

    def _may_strike(self, at: int) -> bool:
        limit = self.faults[at].limit
        return limit is None or self._record.fired[at] < limit


def _fields(plan: object) -> dict[str, Any]:
    """An object as it is; a bare list stands for its faults."""
    return cast("dict[str, Any]", plan) if isinstance(plan, dict) else {"faults": plan}


def _fault(at: int, item: object) -> Fault:
    if not isinstance(item, dict):
        raise ValueError(f"faults[{at}] must be an object")  # noqa: TRY004
    fields = cast("dict[str, Any]", item)
    known = {field.name for field in attrs.fields(Fault)}
    for name in fields:
        if name not in known:
            raise ValueError(f"faults[{at}]: unknown field {name!r}")
    try:
        return Fault(**fields)
    except ValueError as error:
        raise ValueError(f"faults[{at}]: {error}") from None
