"""An answer's bytes into JSON fields, and fields into values.

What belongs here: how liberally JSON is read (contract, B8 and C): it is dug out of the text around it, keys lose
their spaces, numbers may be numeric strings, null and blank fields count as absent, unknown fields are ignored. What
must not: codes and HTTP statuses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import cattrs

from .._addresses import MAX_URL
from ..errors import ResponseError
from .wire import Answer

T = TypeVar("T")
Json = Mapping[str, Any]


class JsonObject(dict[str, Any]):
    """A JSON object. It may hold a token and stands in frames that a traceback shows, so it does not print its
    values."""

    def __repr__(self) -> str:
        return f"<{len(self)} fields>"


def object_in(content: bytes) -> Json | None:
    """The JSON object in a text: clients of the service cut from the first bracket to the last (contract, B8)."""
    text = content.decode("utf-8", "replace")
    # Nothing is left of a text without both, and that is no object either.
    text = text[text.find("{") : text.rfind("}") + 1]
    try:
        return mapping(_decoder.decode(text))
    except RecursionError:
        return None
    except ValueError:
        if '\\"' not in text:
            return None
    try:
        # JSON in a JSON string: one client undoes the quotes and backslashes around a whole answer.
        return mapping(_decoder.decode(_decoder.decode(f'"{text}"')))
    except (ValueError, TypeError, RecursionError):
        return None


def mapping(value: object) -> Json:
    """A JSON object, or an empty one for whatever else came."""
    return value if isinstance(value, JsonObject) else JsonObject()


def present(fields: Json) -> JsonObject:
    """The fields that say something: null and blank strings count as absent."""
    return JsonObject(
        {
            key: value
            for key, value in fields.items()
            if value is not None and not (isinstance(value, str) and not value.strip())
        }
    )


def clean_address(value: object) -> str | None:
    """A URL as the service gives it, without stray spaces and control characters; None for nothing, and for what is
    longer than any URL."""
    if not isinstance(value, str) or len(value) > MAX_URL:
        return None
    return "".join(filter(str.isprintable, _writable(value))) or None


def one_line(value: object) -> str:
    """Words of the service on one printable line, so that they can't forge another one in a log or a terminal."""
    text = value if isinstance(value, str) else ""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def structure(fields: Json, shape: type[T], answer: Answer) -> T:
    """Make a value of a known shape out of JSON fields.

    Raises:
        ResponseError: a field is missing or is not what it should be; the error names it, never its value.
    """
    fields = present(fields)
    try:
        return _converter.structure(fields, shape)
    except (cattrs.BaseValidationError, ValueError, TypeError) as problem:
        complaints = "; ".join(cattrs.transform_error(problem, path="answer", format_exception=_complaint))
    raise ResponseError(f"the answer can't be read: {complaints}", status=answer.status)


def tolerant(value: object, kind: type[T], absent: T) -> T | None:
    """A field that is no reason to refuse an answer: `absent` if it says nothing, None if it can't be read."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return absent
    try:
        return _converter.structure(value, kind)
    except (ValueError, TypeError, OverflowError):
        return None


def _stripped(fields: Json) -> JsonObject:
    return JsonObject({key.strip(): value for key, value in fields.items()})


def _writable(text: str) -> str:
    """JSON can spell half a surrogate pair; no file, terminal or database takes one."""
    return text.strip().encode("utf-8", "replace").decode()


def _number(value: object, kind: type[Any]) -> Any:
    if isinstance(value, str):
        value = float(value) if kind is float else int(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 2**62:
        raise ValueError("not a number")
    if kind is int and value != int(value):
        raise ValueError("not a whole number")
    return kind(value)


def _text(value: object, _: type[str]) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("not a text")  # noqa: TRY004 - cattrs gathers ValueErrors
    return _writable(str(value))


def _complaint(problem: BaseException, _: type[Any] | None) -> str:
    if isinstance(problem, KeyError):
        return f"{problem.args[0]} is missing"
    ours = ("not a number", "not a whole number", "not a text")
    return str(problem) if str(problem) in ours else "a field is not what it should be"


#: Not strict: a line end or a tab that stands in a text as it is costs nothing but its escape.
_decoder = json.JSONDecoder(object_hook=_stripped, strict=False)
_converter = cattrs.Converter()
_converter.register_structure_hook(int, _number)
_converter.register_structure_hook(float, _number)
_converter.register_structure_hook(str, _text)
