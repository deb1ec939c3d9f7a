"""Checks of what callers hand in: each returns the clean value or raises ConfigurationError, before any request.

What belongs here: checks that name the parameter, what it was and what it should be. What must not: rules of the wire
(those are the protocol's), and anything that could print a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import attrs

from .errors import ConfigurationError

T = TypeVar("T")

#: Control characters but for tab and line ends; halves of surrogate pairs, which no encoding takes.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

#: What would end a file_id in a list, a query or a header.
_NOT_IN_IDS = re.compile(r"""[ ,;&=?#/\\"']""")

#: A name longer than this is a mistake; the token and the names of one call must fit into a URL.
MAX_TEXT = 4000


def text(name: str, value: object, *, empty: bool = False, limit: int = MAX_TEXT) -> str:
    """A string of printable characters, not blank unless `empty`."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a string, not {type(value).__name__}")
    if not empty and not value.strip():
        raise ConfigurationError(f"{name} must not be empty")
    if len(value) > limit:
        raise ConfigurationError(f"{name} has {len(value)} characters; the most is {limit}")
    if not value.isprintable() and _UNPRINTABLE.search(value):
        raise ConfigurationError(f"{name} holds a control character or half a surrogate pair")
    return value


def whole(name: str, value: object, *, least: int, most: int | None = None, unit: str = "") -> int:
    """A whole number within bounds; True and 4.0 are not whole numbers."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        # Python refuses to write numbers of thousands of digits.
        shown = str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
        raise ConfigurationError(f"{name} must be {bounds}{unit and ' ' + unit}, not {shown}")
    return value


def seconds(name: str, value: object, *, least: float = 0.0) -> float:
    """A finite number of seconds."""
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and least <= value < math.inf:
            return float(value)
    except OverflowError:
        raise ConfigurationError(f"{name} must be a number of seconds that a float can hold") from None
    raise ConfigurationError(f"{name} must be a number of seconds, at least {least:g}, not {value!r}")


def boolean(name: str, value: object) -> bool:
    """True or False, and nothing that only counts as such."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")
    return value


def one_of(name: str, value: object, *allowed: str) -> None:
    """One word of a closed set."""
    if value not in allowed:
        raise ConfigurationError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")


def file_ids(value: object, *, empty: bool) -> tuple[str, ...]:
    """A collection of file_ids, each an identifier that can stand in a comma-separated list."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError("file_ids must be a collection of strings, such as [file_id]")
    ids = tuple(file_id(each) for each in cast("Iterable[object]", value))
    if not ids and not empty:
        raise ConfigurationError("file_ids must name at least one video")
    return ids


def file_id(value: object) -> str:
    """One file_id: the service's word, but never able to split a header, a query or a list."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"file_id must be a non-empty string, not {type(value).__name__}")
    if not value.isascii() or not value.isprintable() or _NOT_IN_IDS.search(value) or len(value) > 256:
        raise ConfigurationError("file_id holds a character that no file_id has (or is longer than 256)")
    return value


def field(check: Callable[[str, Any], Any]) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """Turn one of these checks into an attrs validator."""

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        check(attribute.name, value)

    return validate


def octets(name: str, value: object) -> memoryview:
    """Bytes, or a view of some that lie side by side, as single bytes; not copied."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ConfigurationError(f"{name} must be bytes, not {type(value).__name__}")
    view = memoryview(cast("bytes", value))
    if not view.c_contiguous:
        raise ConfigurationError(f"{name} must be contiguous bytes, not a view with gaps")
    return view.cast("B")


def kind(name: str, value: object, expected: type[Any]) -> None:
    """An object of a kind."""
    if not isinstance(value, expected):
        raise ConfigurationError(f"{name} must be a {expected.__name__}, not {type(value).__name__}")


def given(name: str, value: T | None, expected: type[Any], default: Callable[[], T]) -> T:
    """An object of a kind, or a new default where none was given."""
    if value is None:
        return default()
    kind(name, value, expected)
    return value
