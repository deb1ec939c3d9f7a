"""Faults in order, as a value in Python or JSON, and the record of how often each has fired."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import attrs

from . import checks
from .contract import Operation
from .faults import Fault


@attrs.define(eq=False)
class FaultRecord:
    """How often each fault of a plan was considered and how often it fired."""

    calls: list[int]
    fired: list[int]

    @classmethod
    def new(cls, count: int) -> Self:
        """A record of `count` faults that have seen nothing yet."""
        return cls([0] * count, [0] * count)

    def selected(self, places: Iterable[int], new: int = 0) -> FaultRecord:
        """The record of some of the faults, and of `new` ones behind them."""
        chosen = list(places)
        return FaultRecord(*([counts[at] for at in chosen] + [0] * new for counts in (self.calls, self.fired)))

    def restart(self) -> None:
        """Count from zero again."""
        for counts in (self.calls, self.fired):
            counts[:] = [0] * len(counts)


def _faults(value: object) -> tuple[Fault, ...]:
    if isinstance(value, str | bytes | Mapping | Fault):
        raise ValueError("faults must be a list of faults")  # noqa: TRY004
    faults = tuple(cast("tuple[object, ...]", value))
    for at, fault in enumerate(faults):
        if not isinstance(fault, Fault):
            raise ValueError(f"faults[{at}] must be a Fault, not {type(fault).__name__}")  # noqa: TRY004
    return cast("tuple[Fault, ...]", faults)


@attrs.frozen
class FaultPlan:
    """Faults in order, and the seed of their chances. The value is frozen; only its record of what fired moves.

    Args:
        faults: where several fire on one request, the earlier one's effect of a kind counts.
        seed: for faults with a probability.
        record: how often each was considered and has fired; from zero unless given.

    Raises:
        ValueError: something in it means nothing; the text names the field.
    """

    faults: tuple[Fault, ...] = attrs.field(default=(), converter=_faults)
    seed: int = attrs.field(default=0, validator=checks.whole)
    _record: FaultRecord = attrs.field(
        alias="record",
        kw_only=True,
        eq=False,
        repr=False,
        default=attrs.Factory(lambda self: FaultRecord.new(len(self.faults)), takes_self=True),
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
        """How often each fault has fired, in the plan's order."""
        return tuple(self._record.fired)

    def unfired(self) -> tuple[Fault, ...]:
        """The faults that have not fired as often as planned: never, or on fewer calls than `call` names."""
        return tuple(
            fault
            for fault, fired in zip(self.faults, self._record.fired, strict=True)
            if fired < (len(fault.call) if fault.call is not None and fault.times is None else 1)
        )

    def restart(self) -> None:
        """Count calls and firings from zero again."""
        self._record.restart()

    def extended(self, faults: Iterable[Fault], seed: int | None = None) -> Self:
        """A plan with more faults behind those of this one, which keep their record.

        Args:
            faults: the new ones; their calls are counted from now on.
            seed: for faults with a probability; as it was unless given.
        """
        more = tuple(faults)
        record = self._record.selected(range(len(self.faults)), new=len(more))
        return type(self)((*self.faults, *more), self.seed if seed is None else seed, record=record)

    def without(self, at: int) -> Self:
        """A plan without the fault in place `at`; the others keep their record.

        Raises:
            IndexError: there is no such fault.
        """
        if not 0 <= at < len(self.faults):
            raise IndexError(at)
        kept = [place for place in range(len(self.faults)) if place != at]
        record = self._record.selected(kept)
        return type(self)(tuple(self.faults[place] for place in kept), self.seed, record=record)

    def matching(self, operation: Operation) -> tuple[int, ...]:
        """Count a call; returns the places of the faults that pick it. They have fired only after `fire`."""
        picked: list[int] = []
        for at, fault in enumerate(self.faults):
            if not fault.touches(operation):
                continue
            self._record.calls[at] += 1
            number = self._record.calls[at]
            if fault.picks(number, f"{self.seed}:{at}:{number}") and self._may_fire(at):
                picked.append(at)
        return tuple(picked)

    def fire(self, at: int) -> Fault | None:
        """Note that the fault in place `at` fires now; None if it has fired as often as it may."""
        if not self._may_fire(at):
            return None
        self._record.fired[at] += 1
        return self.faults[at]

    def _may_fire(self, at: int) -> bool:
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
