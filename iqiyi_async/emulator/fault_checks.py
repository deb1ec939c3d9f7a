"""Checks of a fault's fields: each refuses with a ValueError that names the field.

A wrong type is a ValueError too: plans come from JSON, where types are values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from . import checks
from .checks import Field
from .contract import Code, Operation

#: Longest wait of a fault, in seconds: a day. Longer ones are typing mistakes.
MAX_SECONDS = 86_400.0

_HEADER_NAME = re.compile("[A-Za-z0-9_-]+")
_MID_BODY = ("drop", "stall", "delay", "status", "code", "body", "headers")
_CHUNK_ONLY = ("wrong_md5", "short_accept", "stall")
_EFFECTS = (
    *("delay", "stall", "status", "code", "body", "headers", "wrong_md5", "short_accept", "drop", "lost_answer"),
    *("token", "drop_file", "lag", "truncate", "oversize"),
)
_WITH_BODY = (
    *("*", Operation.REQUEST_UPLOAD, Operation.UPLOAD_CHUNK, Operation.FINISH_UPLOAD, Operation.CANCEL_UPLOAD),
)


def is_unset(value: object) -> bool:
    """Whether a field was left as it is by default."""
    return value is None or value is False or (isinstance(value, Mapping) and not value)


def operation(_: object, field: Field, value: object) -> None:
    """A name of an operation, or a star."""
    if value != "*" and value not in frozenset(Operation):
        raise ValueError(f"{field.name} must be '*' or one of {', '.join(Operation)}, not {value!r}")


def status(owner: object, field: Field, value: int) -> None:
    """A status that ends an exchange."""
    checks.whole(owner, field, value)
    if not 200 <= value <= 599:
        raise ValueError(f"{field.name} must be an HTTP status from 200 to 599, not {value}")


def seconds(_: object, field: Field, value: object) -> None:
    """A wait that ends."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"{field.name} must be seconds from 0 to {MAX_SECONDS:g}, not {value!r}")


def probability(_: object, field: Field, value: object) -> None:
    """A chance that can happen."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 < value <= 1
    if not fits:
        raise ValueError(f"{field.name} must be above 0 and at most 1, not {value!r}")


def text(_: object, field: Field, value: object) -> None:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{field.name} must be a string, not {value!r}")  # noqa: TRY004


def token(_: object, field: Field, value: object) -> None:
    """What can become of a token."""
    if value not in (None, "expired", "revoked"):
        raise ValueError(f"{field.name} must be 'expired' or 'revoked', not {value!r}")


def lag_code(_: object, field: Field, value: object) -> None:
    """What full status may answer of a video that lags behind."""
    if value not in (Code.UPLOADING, Code.NO_SUCH_VIDEO):
        raise ValueError(f"{field.name} must be {Code.UPLOADING} or {Code.NO_SUCH_VIDEO}, not {value!r}")


def calls(value: object) -> tuple[int, ...] | None:
    """One number of a call, or several."""
    if value is None:
        return None
    numbers: list[object] = list(cast("Iterable[object]", value)) if _is_several(value) else [value]
    valid = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool) and n >= 1]
    if not valid or len(valid) != len(numbers):
        raise ValueError(f"call must be a number from 1, or a list of them, not {value!r}")
    return tuple(sorted(set(valid)))


def _is_several(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def headers(value: object) -> Mapping[str, str]:
    """Header names and values that can be put on the wire."""
    if not isinstance(value, Mapping):
        raise ValueError(f"headers must map names to strings, not {value!r}")  # noqa: TRY004
    pairs: dict[str, str] = {}
    for name, content in cast("Mapping[object, object]", value).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers must have names such as Retry-After, not {name!r}")
        if not isinstance(content, str) or not content.isascii() or not content.isprintable():
            raise ValueError(f"headers must have printable ASCII strings as values, not {content!r}")
        if name.lower() in ("content-length", "transfer-encoding"):
            raise ValueError(f"headers must not hold {name}: truncate and oversize are for that")
        pairs[name] = content
    return MappingProxyType(pairs)


def combination(fields: Mapping[str, Any]) -> None:
    """Refuse fields of a fault that contradict each other, do nothing, or can never fire."""
    used = [name for name in _EFFECTS if not is_unset(fields[name])]
    if not used:
        raise ValueError("a fault needs an effect: one of " + ", ".join(_EFFECTS))
    if fields["call"] is not None and fields["probability"] is not None:
        raise ValueError("call and probability cannot both be given")
    if fields["after_bytes"] is not None:
        for name in used:
            if name not in _MID_BODY:
                raise ValueError(f"after_bytes does not go with {name}")
        if fields["operation"] not in _WITH_BODY:
            raise ValueError(f"after_bytes does not go with operation {fields['operation']!r}: it has no body")
    for name in _CHUNK_ONLY:
        if name in used and fields["operation"] != Operation.UPLOAD_CHUNK:
            raise ValueError(f"{name} goes with operation 'upload_chunk' only")
    if fields["lag_code"] != Code.UPLOADING and fields["lag"] is None:
        raise ValueError("lag_code needs lag: for how many seconds it is answered")
    _one_answer(fields["status"], used)


def _one_answer(status: int | None, used: list[str]) -> None:
    """There is one answer, and it can be spoiled in one way only."""
    fates = [name for name in ("drop", "lost_answer", "truncate", "oversize") if name in used]
    if len(fates) > 1:
        raise ValueError(f"{fates[0]} and {fates[1]} cannot both be given")
    instead = [name for name in ("status", "code", "body", "oversize", "drop") if name in used]
    if "drop" in instead and len(instead) > 1:
        raise ValueError(f"drop and {instead[0]} cannot both be given")
    handled = [name for name in ("wrong_md5", "short_accept", "lost_answer", "lag") if name in used]
    if instead and handled:
        raise ValueError(f"{handled[0]} needs the request to be handled; {instead[0]} prevents that")
    if status in (204, 304) and {"code", "body", "truncate", "oversize"} & set(used):
        raise ValueError(f"status {status} has no body")
