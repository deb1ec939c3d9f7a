"""The scenarios, one module each: which runs they consist of, what is read off them, what is to be reached."""

from __future__ import annotations

from . import big, far, imports, link, loop, memory, sink, small
from .base import Scenario

__all__ = ["ALL", "Scenario"]

#: In the order in which they are run.
ALL: dict[str, Scenario] = {
    each.name: each
    for each in (
        sink.SCENARIO,
        big.SCENARIO,
        small.SCENARIO,
        far.SCENARIO,
        loop.SCENARIO,
        memory.SCENARIO,
        link.SCENARIO,
        imports.SCENARIO,
    )
}
