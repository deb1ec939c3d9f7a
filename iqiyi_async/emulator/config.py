"""How an emulator behaves: one frozen value, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs
from attrs import validators

from . import checks
from .contract import quality_keys
from .plans import FaultPlan

#: The credentials an emulator takes unless told otherwise. Fixed and documented, so that examples run as they stand.
DEFAULT_APP_KEY: Final = "emulator-app-key"
DEFAULT_APP_SECRET: Final = "emulator-app-secret"  # noqa: S105 - opens nothing but an emulator on loopback

ApplicationState = Literal["active", "pending", "rejected", "frozen", "deleted"]
AnswerStyle = Literal["documented", "loose"]
EarlyFinish = Literal["accepted", "refused"]
RepeatedFinish = Literal["A00000", "A00012"]

_optional_amount = validators.optional(checks.amount)


def _apps(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


def _plan(value: FaultPlan | None) -> FaultPlan:
    return FaultPlan() if value is None else value


def _folder(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _base_url(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("public_url cannot be read as an address") from None
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
        token_lifetime: seconds that an access token lives; what is left of them is answered as `expires_in`, in whole
            seconds, rounded up.
        refresh_lifetime: seconds that a refresh token lives.
        url_lifetime: seconds that a play URL lives; the document says about 15 minutes.
        public_url: what `upload_url` and play URLs begin with, and a host by which the control API may be called;
            without it, what the request was addressed to.
        quota_bytes: the most bytes that an application's videos may hold together; None is without limit.
        quota_files: the most videos of an application; None is without limit.
        application: the application's standing, which openupload answers with a code of section 1.1.
        other_apps: further applications, key to secret. Each sees its own videos only.
        detect_duplicates: a video with the bytes of an earlier published one fails to publish and names the earlier
            one (`is_repeat`). Off by default, because tests send the same bytes again and again.
        early_finish: what finish gets while bytes are missing. `accepted`, as by the service, which does not prove
            completeness: the video fails to publish unless they come after all, and the request counts as a
            violation. `refused` with A00010.
        repeated_finish: the code for finish of what is finished already: A00000, or A00012 as one client knows it.
        publish_before_review: a video is listed (`fileStatus` 1) and can be played from finish on, and stays listed
            (`fileStatus` 3) when the review fails.
        qualities: those of published videos, by name or key: topspeed (96), smooth (1), high (2), super (3), 720P (4),
            1080P (5). The bytes are the same for all: nothing is transcoded.
        answer_style: `documented`, or `loose`: with the oddities seen on the wire, such as keys with trailing spaces,
            numbers as strings, a callback around the JSON. A tolerant client reads the same out of them.
        history_limit: how many requests the history keeps; the oldest go first.
        faults: what goes wrong.

    Raises:
        ValueError: an option that means nothing; the text names it.
    """

    app_key: str = attrs.field(default=DEFAULT_APP_KEY, validator=checks.label)
    app_secret: str = attrs.field(default=DEFAULT_APP_SECRET, validator=checks.label, repr=False)
    data_dir: Path | None = attrs.field(default=None, converter=_folder)
    publish_after: float = attrs.field(default=1.0, validator=checks.seconds)
    token_lifetime: float = attrs.field(default=3600.0, validator=checks.seconds)
    refresh_lifetime: float = attrs.field(default=30 * 86_400.0, validator=checks.seconds)
    url_lifetime: float = attrs.field(default=900.0, validator=checks.seconds)
    public_url: str | None = attrs.field(default=None, converter=_base_url)
    quota_bytes: int | None = attrs.field(default=None, validator=_optional_amount)
    quota_files: int | None = attrs.field(default=None, validator=_optional_amount)
    application: ApplicationState = attrs.field(default="active", validator=checks.one_of(ApplicationState))
    other_apps: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_apps, repr=False)
    detect_duplicates: bool = attrs.field(default=False, validator=checks.switch)
    early_finish: EarlyFinish = attrs.field(default="accepted", validator=checks.one_of(EarlyFinish))
    repeated_finish: RepeatedFinish = attrs.field(default="A00000", validator=checks.one_of(RepeatedFinish))
    publish_before_review: bool = attrs.field(default=False, validator=checks.switch)
    qualities: tuple[str, ...] = attrs.field(default=("topspeed", "smooth", "high"), converter=quality_keys)
    answer_style: AnswerStyle = attrs.field(default="documented", validator=checks.one_of(AnswerStyle))
    history_limit: int = attrs.field(default=100_000, validator=checks.amount)
    faults: FaultPlan = attrs.field(factory=FaultPlan, converter=_plan)
