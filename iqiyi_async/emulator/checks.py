"""Validators that the emulator's values share.

Each refuses with a ValueError that names the field; a wrong type too, because plans come from JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, get_args

import attrs
from attrs import validators

Field: TypeAlias = "attrs.Attribute[Any]"
Validator: TypeAlias = Callable[[Any, Field, Any], None]


def number(_: object, field: Field, value: object) -> None:
    """An int or a float; True is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{field.name} must be a number, not {value!r}")  # noqa: TRY004


def whole(_: object, field: Field, value: object) -> None:
    """A whole number; True is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{field.name} must be a whole number, not {value!r}")  # noqa: TRY004


def switch(_: object, field: Field, value: object) -> None:
    """True or False, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise ValueError(f"{field.name} must be true or false, not {value!r}")  # noqa: TRY004


def label(_: object, field: Field, value: object) -> None:
    """Printable text that is not empty. The value may be a secret, so the error does not quote it."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{field.name} must be a string that is not empty")


def one_of(literal: object) -> Validator:
    """One of the words of a Literal type."""
    allowed = get_args(literal)

    def check(_: object, field: Field, value: object) -> None:
        if value not in allowed:
            raise ValueError(f"{field.name} must be one of {', '.join(allowed)}, not {value!r}")

    return check


#: A duration that ends.
seconds: Validator = validators.and_(number, validators.ge(0), validators.lt(float("inf")))
positive: Validator = validators.and_(number, validators.gt(0))
not_negative: Validator = validators.and_(number, validators.ge(0))
#: A count, from zero or from one.
amount: Validator = validators.and_(whole, validators.ge(0))
count: Validator = validators.and_(whole, validators.ge(1))
