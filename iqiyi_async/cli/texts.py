"""The languages of the command line: English texts stand where they are used, `chinese.json` has the Chinese ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: dict[str, Language] = {"en": "en", "zh": "zh"}
#: The first of these that is set decides, as everywhere on POSIX.
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")

_chinese: dict[str, str] = {}


def language_of(environment: Mapping[str, str]) -> Language:
    """The language that the locale asks for; English unless it is Chinese and the terminal has the letters."""
    locale = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    return "zh" if locale.lower().startswith("zh") and _writable("中") else "en"


def speak(language: Language) -> None:
    """From now on texts are in this language."""
    _chinese.clear()
    if language == "zh":
        _chinese.update(catalogue())


def catalogue() -> dict[str, str]:
    """English texts and what they are in Chinese."""
    found: dict[str, str] = json.loads(files(__package__ or "").joinpath("chinese.json").read_text("utf-8"))
    return found


def spoken() -> Language:
    """The language that is spoken."""
    return "zh" if _chinese else "en"


def tr(text: str, **values: object) -> str:
    """A text in the language of the user.

    Args:
        text: in English, with ``{names}``; it is what the catalogue knows it by.
        values: what the names stand for.
    """
    found = _chinese.get(text, text)
    return found.format(**values) if values else found


def later(text: str) -> str:
    """A text that is translated where it is used; here it only marks it for the test that collects all texts."""
    return text


def about(subject: str, text: str) -> str:
    """What a text is about, and the text."""
    return f"{subject}：{text}" if _chinese else f"{subject}: {text}"


def joined(parts: Iterable[str]) -> str:
    """Several things in one line."""
    return ("，" if _chinese else ", ").join(parts)


def count(number: int, thing: str) -> str:
    """1 chunk, 2 chunks, 0 retries."""
    if _chinese:
        return f"{number:,} {_chinese.get(thing, thing)}"
    if number == 1:
        return f"1 {thing}"
    return f"{number:,} {thing[:-1]}ies" if thing.endswith("y") else f"{number:,} {thing}s"


def _writable(letters: str) -> bool:
    try:
        letters.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
