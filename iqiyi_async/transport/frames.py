"""Exceptions without their frames.

A traceback may be printed with the local variables of its frames, and those of an HTTP library hold whole requests,
secrets and all. So what leaves the door to the network leaves without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast


def bare(problem: BaseException, outside: BaseException | None) -> BaseException:
    """An exception, and whatever led to it, without their frames: those hold whole requests, secrets and all."""
    for each in chain(problem, outside):
        each.__traceback__ = None
    return problem


def chain(problem: BaseException, outside: BaseException | None) -> Iterator[BaseException]:
    """An exception and whatever led to it, shown or suppressed; but for what the caller was handling before
    (`outside`), which is not ours."""
    left: list[BaseException | None] = [problem]
    seen = {id(None), id(outside)}
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        parts = (
            cast("BaseExceptionGroup[BaseException]", each).exceptions if isinstance(each, BaseExceptionGroup) else ()
        )
        left += [each.__cause__, each.__context__, *parts]
