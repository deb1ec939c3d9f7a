"""How an emulator behaves: one frozen value, checked when it is made.

What belongs here: options with their units and the reason for each default. What must not: anything that moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import attrs

from .faults import FaultPlan

#: The credentials an emulator takes unless told otherwise. Fixed and documented, so that examples run as they stand.
DEFAULT_APP_KEY: Final = "emulator-app-key"
DEFAULT_APP_SECRET: Final = "emulator-app-secret"  # noqa: S105 - opens nothing but an emulator on loopback

ApplicationState = Literal["active", "pending", "rejected", "frozen", "deleted"]
AnswerStyle = Literal["documented", "loose"]

Field: TypeAlias = "attrs.Attribute[Any]"


def _text(_: object, field: Field, value: object) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"{field.name} must be a string that is not empty")


def _seconds(_: object, field: Field, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{field.name} must be a number of seconds, zero or more, not {value!r}")


def _amount(_: object, field: Field, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{field.name} must be a whole number, zero or more, not {value!r}")


def _one_of(kind: object) -> Any:
    allowed = get_args(kind)

    def check(_: object, field: Field, value: object) -> None:
        if value not in allowed:
            raise ValueError(f"{field.name} must be one of {', '.join(allowed)}, not {value!r}")

    return check


def _apps(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


def _plan(value: FaultPlan | None) -> FaultPlan:
    return FaultPlan() if value is None else value


def _folder(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _base_url(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("public_url must be an http:// or https:// address without query and fragment")
    return value.rstrip("/")


@attrs.frozen(kw_only=True)
class EmulatorConfig:
    """What an emulator is and how strict it is.

    Attributes:
        app_key: the application key (`client_id`) that authorizes.
        app_secret: its secret (`client_secret`).
        data_dir: the folder that keeps the state over a restart, made with mode 0700; without one, a temporary folder
            that is removed at the end.
        publish_after: seconds from finish to published.
        token_lifetime: seconds that an access token lives; answered as `expires_in`.
        refresh_lifetime: seconds that a refresh token lives.
        url_lifetime: seconds that a play URL lives; the document says about 15 minutes.
        public_url: what `upload_url` and play URLs begin with; without it, what the request was addressed to.
        quota_bytes: the most bytes that an application's videos may hold together; None is without limit.
        quota_files: the most videos of an application; None is without limit.
        application: the application's standing, which openupload answers with a code of section 1.1.
        other_apps: further applications, key to secret. Each sees its own videos only.
        detect_duplicates: a video with the bytes of an earlier published one fails to publish and names the earlier
            one (`is_repeat`). Off by default, because tests send the same bytes again and again.
        answer_style: `documented`, or `loose`: with the oddities seen on the wire, such as keys with trailing spaces,
            numbers as strings, a callback around the JSON. A tolerant client reads the same out of them.
        history_limit: how many requests the history keeps; the oldest go first.
        faults: what goes wrong.

    Raises:
        ValueError: an option that means nothing; the text names it.
    """

    app_key: str = attrs.field(default=DEFAULT_APP_KEY, validator=_text)
    app_secret: str = attrs.field(default=DEFAULT_APP_SECRET, validator=_text, repr=False)
    data_dir: Path | None = attrs.field(default=None, converter=_folder)
    publish_after: float = attrs.field(default=1.0, validator=_seconds)
    token_lifetime: float = attrs.field(default=3600.0, validator=_seconds)
    refresh_lifetime: float = attrs.field(default=30 * 86_400.0, validator=_seconds)
    url_lifetime: float = attrs.field(default=900.0, validator=_seconds)
    public_url: str | None = attrs.field(default=None, converter=_base_url)
    quota_bytes: int | None = attrs.field(default=None, validator=_amount)
    quota_files: int | None = attrs.field(default=None, validator=_amount)
    application: ApplicationState = attrs.field(default="active", validator=_one_of(ApplicationState))
    other_apps: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_apps, repr=False)
    detect_duplicates: bool = False
    answer_style: AnswerStyle = attrs.field(default="documented", validator=_one_of(AnswerStyle))
    history_limit: int = attrs.field(default=100_000, validator=_amount)
    faults: FaultPlan = attrs.field(factory=FaultPlan, converter=_plan)
