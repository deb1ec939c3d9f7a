"""Texts of the library and of the system in the user's language: errors, their reasons, records of the log.

The library speaks English. `chinese_messages.json` has what its texts are in Chinese, with `{names}` for what varies;
a text that is not there stays English.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files

import attrs

from .texts import about, spoken

#: What stands for these is a text of its own.
_TEXTS = frozenset({"operation", "why", "reason", "problem"})
_NAME = re.compile(r"\{(\w+)\}")
#: Texts come apart in at most so many steps: an error quotes its reason, which quotes the system.
_DEPTH = 6


@attrs.frozen
class Message:
    """One text of the library.

    Attributes:
        english: with names in braces for what varies.
        chinese: with the same names.
        pattern: what the text looks like with values for the names.
    """

    english: str
    chinese: str
    pattern: re.Pattern[str]

    def translated(self, text: str, depth: int) -> str | None:
        """The text in Chinese, or None if it is another one."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        values = {
            name: _told(value, depth - 1) if name in _TEXTS else value for name, value in match.groupdict().items()
        }
        return _NAME.sub(lambda name: values[name[1]], self.chinese)


def _pattern_of(english: str) -> re.Pattern[str]:
    parts = _NAME.split(english)
    looks = [f"(?P<{part}>.+?)" if at % 2 else re.escape(part) for at, part in enumerate(parts)]
    if not parts[0] and parts[1] not in _TEXTS:
        # What a text begins with is one thing: not a file and what is wrong with it.
        looks[1] = f"(?P<{parts[1]}>(?:(?!: ).)+?)"
    return re.compile("".join(looks), re.DOTALL)


@cache
def messages() -> tuple[Message, ...]:
    """All that are known; those with more fixed text first, since they say more."""
    found: dict[str, str] = json.loads(files(__package__ or "").joinpath("chinese_messages.json").read_text("utf-8"))
    known = [Message(english, chinese, _pattern_of(english)) for english, chinese in found.items()]
    return tuple(sorted(known, key=lambda message: -len(_NAME.sub("", message.english))))


def told(text: str) -> str:
    """A text of the library or of the system in the user's language; one that is not known stays as it is."""
    return text if spoken() == "en" else _told(text, _DEPTH)


def _told(text: str, depth: int) -> str:
    if depth == 0:
        return text
    for message in messages():
        found = message.translated(text, depth)
        if found is not None:
            return found
    # What an error is about stands before it: an operation, a file, an option.
    subject, colon, rest = text.partition(": ")
    translated = _told(subject, depth - 1), _told(rest, depth - 1)
    return about(*translated) if colon and translated != (subject, rest) else text
