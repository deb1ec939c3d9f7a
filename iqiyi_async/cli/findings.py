"""What `doctor` finds: one thing each, with what to do about it."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at.
        level: it works; it may surprise; an upload would fail.
        text: what was found.
        remedy: what to do, or nothing.
    """

    check: str
    level: Literal["ok", "warning", "failure"]
    text: str
    remedy: str = ""


def fine(check: str, text: str) -> Finding:
    """It works."""
    return Finding(check, "ok", text)


def warned(check: str, text: str, remedy: str) -> Finding:
    """It may surprise."""
    return Finding(check, "warning", text, remedy)


def failed(check: str, text: str, remedy: str) -> Finding:
    """An upload would fail."""
    return Finding(check, "failure", text, remedy)
