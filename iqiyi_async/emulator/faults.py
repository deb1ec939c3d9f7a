"""One fault on purpose: what goes wrong, for which operation, and when.

A fault fires on its n-th call (`call`), by chance (`probability`, decided by the plan's seed, the fault's place in
the plan and the number of the call, so that the order of concurrent requests does not matter), or, with neither, on
every call. Calls are counted for each fault apart, from 1, over the operations that it names, from the moment the
plan is put in.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from . import checks as values
from . import fault_checks as checks
from .contract import Code

_SWITCH = values.switch
_OPTIONAL_SECONDS = attrs.validators.optional(checks.seconds)
_OPTIONAL_COUNT = attrs.validators.optional(values.count)
_OPTIONAL_AMOUNT = attrs.validators.optional(values.amount)


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that goes wrong. Effects may be combined where the combination has a meaning.

    Attributes:
        operation: the operation that it is for, by its name, or `*` for all.
        call: the n-th call, from 1, or several of them.
        probability: the chance of each call, above 0 and at most 1; not together with `call`.
        times: how often it may fire; by default once for each `call`, else without limit.
        after_bytes: fires only when so many bytes of the request's body have come in. Goes with `drop`, `stall`,
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
        lag_code: what it answers during that time: A00004 (still uploading) or A00003 (no such video).
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
    lag_code: str = attrs.field(default=Code.UPLOADING, validator=checks.lag_code)
    truncate: int | None = attrs.field(default=None, validator=_OPTIONAL_AMOUNT)
    oversize: int | None = attrs.field(default=None, validator=_OPTIONAL_COUNT)

    def __attrs_post_init__(self) -> None:
        checks.combination({field.name: getattr(self, field.name) for field in attrs.fields(Fault)})

    @property
    def replaces(self) -> bool:
        """Whether an answer is given instead of handling the request."""
        return not (self.status is None and self.code is None and self.body is None and self.oversize is None)

    @property
    def limit(self) -> int | None:
        """How often it may fire at most; None is without limit."""
        if self.times is None and self.call is not None:
            return len(self.call)
        return self.times

    def touches(self, operation: str) -> bool:
        """Whether calls of this operation count for it."""
        return self.operation in ("*", operation)

    def picks(self, number: int, chance: str) -> bool:
        """Whether it fires on this call; `chance` seeds the random choice."""
        if self.call is not None:
            return number in self.call
        return self.probability is None or random.Random(chance).random() < self.probability  # noqa: S311

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in attrs.fields(Fault)}
        values = {name: value for name, value in values.items() if not checks.is_unset(value)}
        if self.lag_code == Code.UPLOADING:
            del values["lag_code"]
        if self.headers:
            values["headers"] = dict(self.headers)
        if self.call is not None:
            values["call"] = self.call[0] if len(self.call) == 1 else list(self.call)
        return values
