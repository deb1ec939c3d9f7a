"""Exceptions that hold no secrets: without the frames of an HTTP library, whose local variables hold whole requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

__all__ = ["iter_causes", "strip_tracebacks"]


def strip_tracebacks(problem: BaseException, outside: BaseException | None) -> BaseException:
    """Take the frames off an exception and off everything that led to it.

    Args:
        problem: the exception.
        outside: what the caller was handling before; it is not ours and stays as it is.

    Returns:
        The same exception.
    """
    for each in iter_causes(problem, outside):
        each.__traceback__ = None
    return problem


def iter_causes(problem: BaseException, outside: BaseException | None) -> Iterator[BaseException]:
    """An exception and everything that led to it, shown or suppressed, but for `outside` and what is behind it."""
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
